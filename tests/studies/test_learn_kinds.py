"""`lamina learn --layer KIND` from end to end: every kind learns, predicts, encodes and is drawn, on a few rows."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
import torch

from lamina.core.errors import SettingError
from lamina.core.storage import read_arrays, read_json, write_json
from lamina.models import MLP
from lamina.models.networks import FeatureClassifier
from lamina.report import write_report
from lamina.storage import load
from lamina.studies import LearnOptions, learn, pictures
from lamina.studies.apply import encode, predict, sample
from lamina.studies.run_folder import read_scaling
from lamina.training.layer_kinds import KINDS
from small_studies import archive, cli, image_folder, unit_rows

OTHERS = [kind for kind in KINDS if kind != "rbm"]
SEARCHED = ("sparse-coding", "predictive-sparse")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return archive(tmp_path_factory.mktemp("rows") / "a.npz", 60, 15)


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """One run of each kind but the usual one: the frozen protocol beside the baselines."""
    folder = tmp_path_factory.mktemp("kinds")
    with pytest.MonkeyPatch.context() as patch:
        from small_studies import make_quick

        make_quick(patch.setattr)
        patch.setattr(pictures, "N_MAPPED", 5)  # too few for a map: the dear part of a short run
        for kind in OTHERS:
            options = LearnOptions(
                str(data), labels=12, hidden=(9, 5), epochs=1, protocol="frozen", layer=kind, label_curve=False
            )
            document = learn(options, out=str(folder / kind), command=f"lamina learn --layer {kind}")
            write_report(document["run"])
    return folder


@pytest.mark.parametrize("kind", OTHERS)
def test_a_run_holds_layers_of_its_kind_and_says_so(runs, kind):
    document, arrays = read_json(runs / kind / "records.json"), read_arrays(runs / kind / "records.safetensors")
    assert document["layer"]["kind"] == kind
    assert document["layer"]["title"] == KINDS[kind].title
    assert document["layer"]["filters"] == ("atoms" if kind in SEARCHED else "weights")
    stack = load(runs / kind / "stack")
    assert stack.sizes == (9, 5)
    assert type(stack[0]).__name__ == type(KINDS[kind].build(6, 9, "bernoulli")).__name__
    assert [code["units"] for code in document["codes"]] == [9, 5]
    assert all(code["error_test"] > 0 for code in document["codes"])
    directions = (stack[0].D if kind in SEARCHED else stack[0].W).detach().numpy()
    assert {row.tobytes() for row in arrays["filters"]} == {
        np.ascontiguousarray(column).tobytes() for column in directions.T
    }
    assert [r["name"] for r in document["results"]] == ["frozen features", "logistic regression", "pca + svm"]


@pytest.mark.parametrize("kind", OTHERS)
def test_between_rows_stand_decoded_codes_and_no_samples(runs, kind):
    arrays = read_arrays(runs / kind / "records.safetensors")
    assert "samples" not in arrays
    pairs = torch.from_numpy(arrays["interpolations"])
    assert pairs.shape == (7, 9, 6)  # 15 test rows make 7 pairs
    stack = load(runs / kind / "stack")
    with torch.no_grad():
        ends = [stack.encode(pairs[:, k]) for k in (0, -1)]
        middle = stack.decode((ends[0] + ends[1]) / 2)
        assert torch.allclose(pairs[:, 1], stack.decode(ends[0]), atol=1e-4)
        assert torch.allclose(pairs[:, 4], middle, atol=1e-4)
        assert torch.allclose(pairs[:, 7], stack.decode(ends[1]), atol=1e-4)


@pytest.mark.parametrize("kind", OTHERS)
def test_new_rows_are_predicted_and_encoded(runs, kind, tmp_path):
    X = unit_rows(11, seed=8)[0]
    np.save(tmp_path / "new.npy", X)
    scaled = torch.from_numpy(read_scaling(runs / kind).apply(X.astype(np.float32)))
    model, stack = load(runs / kind), load(runs / kind / "stack")
    assert isinstance(model, FeatureClassifier if kind in SEARCHED else MLP)
    answer = predict(runs / kind, str(tmp_path / "new.npy"))
    with torch.no_grad():
        assert np.allclose(answer["probabilities"], torch.softmax(model(scaled), 1), atol=1e-4)
        for depth, width in ((1, 9), (2, 5)):
            codes = encode(runs / kind, str(tmp_path / "new.npy"), layer=depth)
            assert codes.shape == (11, width)
            assert np.allclose(codes, stack.encode(scaled, depth), atol=1e-4)


@pytest.mark.parametrize("kind", OTHERS)
def test_sampling_is_refused_with_what_to_do(runs, kind, capsys):
    with pytest.raises(SettingError, match=f"learnt {kind} layers, which compute codes and cannot be sampled"):
        sample(runs / kind, 3)
    assert cli("sample", runs / kind, "-n", 3) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert "--layer rbm" in said.err


@pytest.mark.parametrize("kind", ["sparse-coding"])
def test_the_report_is_drawn_from_the_records_alone(runs, kind, tmp_path):
    for name in ("records.json", "records.safetensors"):
        shutil.copy(runs / kind / name, tmp_path / name)
    page = write_report(tmp_path).read_text()
    assert page == (runs / kind / "report.html").read_text()
    assert 'id="codes"' in page
    assert 'id="interpolations"' in page
    assert 'id="samples"' not in page


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("way", ["adversarial", "label spreading", "supervised"])
@pytest.mark.parametrize("kind", ["sparse", "sparse-coding"])
def test_every_way_to_fine_tune(data, tmp_path, kind, way):
    options = LearnOptions(
        str(data), labels=12, hidden=(7,), epochs=1, protocol="fine-tuned", way=way, layer=kind, repeats=1
    )
    document = learn(options, out=str(tmp_path / "run"))
    network = load(tmp_path / "run")
    assert isinstance(network, MLP)
    assert network.activation == ("sigmoid" if kind == "sparse" and way != "adversarial" else "relu")
    assert document["results"][0]["what"].endswith(f"({way})")


@pytest.mark.usefixtures("quick")
def test_the_command_line_resumes_and_answers(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(import_module("lamina.studies.learn"), "CURVE", (3,))
    wanted = ("learn", data, "--labels", 12, "--layer", "denoising", "--hidden", "7", "--epochs", 1)
    wanted = (*wanted, "--protocol", "frozen", "--label-curve", "--quiet", "--json")
    assert cli(*wanted, "--out", tmp_path / "run") == 0
    answer = json.loads(capsys.readouterr().out)
    assert [r["name"] for r in answer["results"]] == ["frozen features", "logistic regression", "pca + svm"]
    assert cli("learn", "--resume", tmp_path / "run", "--quiet", "--json") == 0
    assert json.loads(capsys.readouterr().out) == answer
    assert read_json(tmp_path / "run" / "settings.json")["layer"] == "denoising"


@pytest.mark.usefixtures("quick")
def test_a_run_begun_before_there_were_kinds_goes_on(data, tmp_path):
    options = LearnOptions(str(data), labels=12, hidden=(7,), epochs=1, protocol="frozen")
    before = learn(options, out=str(tmp_path / "run"))
    settings = read_json(tmp_path / "run" / "settings.json")
    write_json(tmp_path / "run" / "settings.json", {k: v for k, v in settings.items() if k != "layer"})
    after = learn(options, out=str(tmp_path / "run"), resume=True)
    assert [r["errors"] for r in after["results"]] == [r["errors"] for r in before["results"]]


@pytest.mark.usefixtures("quick")
def test_images_without_labels(tmp_path):
    folder = image_folder(tmp_path / "images", n=0, unlabelled=24)
    document = learn(LearnOptions(str(folder), hidden=(5,), epochs=1, layer="contractive"), out=str(tmp_path / "run"))
    assert document["results"] == []
    assert document["codes"][0]["error_test"] is None
    assert read_arrays(tmp_path / "run" / "records.safetensors")["interpolations"].shape == (8, 9, 16)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--layer", "denoise"), "did you mean 'denoising'"),
        (("--layer", "denoising", "--model", "dbm"), "--layer is for the study of labels"),
        (("--layer", "sparse-coding", "--hidden", "0"), "--hidden"),
    ],
)
def test_bad_input_is_one_line(data, tmp_path, capsys, arguments, words):
    assert cli("learn", data, *arguments, "--out", tmp_path / "run", "--quiet") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert words in said.err
    assert not (tmp_path / "run").exists()


def test_resuming_with_another_kind_is_refused(runs, data, capsys, tmp_path):
    wanted = ("learn", data, "--labels", 12, "--hidden", "9,5", "--epochs", 1, "--protocol", "frozen")
    shutil.copytree(runs / "denoising", tmp_path / "run")
    assert cli(*wanted, "--layer", "sparse", "--out", tmp_path / "run", "--resume") == 2
    assert "other settings (layer)" in capsys.readouterr().err


def test_the_help_names_the_kinds_there_are():
    from lamina.cli.parser import _KINDS

    assert tuple(KINDS) == _KINDS


def test_runs_are_named_after_their_kind(tmp_path, monkeypatch):
    study = import_module("lamina.studies.learn")
    from lamina.studies.preparation import open_data, prepare

    prepared = prepare(open_data(str(archive(tmp_path / "a.npz"))))
    options = LearnOptions("a.npz", labels=12)
    assert study._name(options, prepared) == "a-12"
    assert study._name(replace(options, layer="sparse"), prepared) == "a-12-sparse"
