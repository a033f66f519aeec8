"""Using a finished run: the right model on the right columns, and folders that cannot be trusted refused."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from lamina.core.errors import DataError, FileFormatError, ModelFileError, RunFolderError, SettingError
from lamina.core.storage import write_arrays
from lamina.frontends import choose_scaling
from lamina.storage import load
from lamina.studies.apply import encode, open_rows, predict, sample, sample_shape
from lamina.studies.run_folder import read_scaling, write_scaling
from small_studies import CLASSES, cli, rows, write_table


@pytest.fixture
def table(finished, tmp_path):
    """Thirty new rows, without a label or a site."""
    return write_table(tmp_path / "new.csv", rows(30, seed=8)[0])


def network_on(finished, X) -> np.ndarray:
    """Probabilities straight from the saved network and the saved scaling."""
    run = finished["table"].run
    with torch.no_grad():
        scaled = torch.from_numpy(read_scaling(run).apply(X.astype(np.float32)))
        return torch.softmax(load(run)(scaled), 1).numpy()


def test_predictions_are_the_networks(finished, table):
    answer = predict(finished["table"].run, str(table))
    expected = network_on(finished, rows(30, seed=8)[0])
    assert sorted(answer["classes"]) == sorted(CLASSES)
    assert np.allclose(answer["probabilities"], expected, atol=1e-4)
    assert answer["predicted"] == [answer["classes"][k] for k in expected.argmax(1)]
    assert np.allclose(answer["probabilities"].sum(1), 1, atol=1e-5)
    assert answer["error"] is None


def test_a_network_predicts_a_row_alone_as_among_others(finished, table, tmp_path):
    """Dropout is off and batch statistics are those of training."""
    one = write_table(tmp_path / "one.csv", rows(30, seed=8)[0][4:5])
    together = predict(finished["table"].run, str(table))["probabilities"]
    alone = predict(finished["table"].run, str(one))["probabilities"]
    assert np.allclose(alone[0], together[4], atol=1e-5)


def test_columns_of_a_table_are_matched_by_name(finished, table, tmp_path):
    X = rows(30, seed=8)[0]
    names = [f"f{k}" for k in range(6)]
    order = [3, 0, 5, 1, 4, 2]
    lines = [",".join(["more", *(names[k] for k in order)])]
    lines += [",".join(["7", *(f"{row[k]:.6f}" for k in order)]) for row in X]
    (tmp_path / "other.csv").write_text("\n".join(lines) + "\n")
    one, other = (predict(finished["table"].run, str(path)) for path in (table, tmp_path / "other.csv"))
    assert np.array_equal(one["probabilities"], other["probabilities"])


def test_a_table_that_lacks_a_column(finished, tmp_path):
    path = write_table(tmp_path / "few.csv", rows(30)[0][:, :5])
    for use in (predict, encode):
        with pytest.raises(DataError, match=r"lacks 1 column\(s\) that the run learnt from \(f5\)"):
            use(finished["table"].run, str(path))


def test_another_number_of_features(finished, tmp_path):
    np.save(tmp_path / "few.npy", rows(30)[0][:, :5])
    for use in (predict, encode):
        with pytest.raises(DataError, match="have 5 features; the model was fitted with 6"):
            use(finished["table"].run, str(tmp_path / "few.npy"))


def test_new_rows_in_another_unit(finished, tmp_path):
    np.save(tmp_path / "bytes.npy", np.random.default_rng(0).integers(0, 255, (9, 10)).astype(np.float32))
    with pytest.raises(DataError, match="same unit"):
        encode(finished["unlabelled"].run, str(tmp_path / "bytes.npy"))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_new_rows_that_hold_no_numbers(finished, tmp_path, value):
    X = rows(9)[0]
    X[2, 3] = value
    np.save(tmp_path / "a.npy", X)
    with pytest.raises(DataError, match=r"row\(s\) 2, column\(s\) 3"):
        predict(finished["table"].run, str(tmp_path / "a.npy"))


def test_the_error_counts_labelled_rows_by_the_names_of_their_classes(finished, table, tmp_path):
    run = finished["table"].run
    predicted = predict(run, str(table))["predicted"]
    truth = [*predicted[:20], *["another"] * 5, *[""] * 5]  # five of a class never seen, five not known
    path = write_table(tmp_path / "told.csv", rows(30, seed=8)[0], {"label": truth})
    assert predict(run, str(path))["error"] == pytest.approx(5 / 25)
    path = write_table(tmp_path / "named.csv", rows(30, seed=8)[0], {"kind": predicted})
    assert predict(run, str(path), label="kind")["error"] == 0.0


def test_class_names_with_commas_and_quotes_survive_the_file(finished, table, tmp_path, capsys):
    assert cli("predict", finished["table"].run, table, "--out", tmp_path / "classes.csv") == 0
    assert capsys.readouterr().out == f"30 rows: {tmp_path / 'classes.csv'}\n"
    with (tmp_path / "classes.csv").open(newline="") as file:
        head, *body = list(csv.reader(file))
    answer = predict(finished["table"].run, str(table))
    assert head == ["predicted", *(f"p({name})" for name in answer["classes"])]
    assert [line[0] for line in body] == answer["predicted"]
    assert np.allclose(np.array([line[1:] for line in body], float), answer["probabilities"], rtol=1e-5, atol=1e-9)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_codes_are_the_stacks(finished, table, tmp_path):
    run = finished["table"].run
    stack = load(run / "stack")
    scaled = torch.from_numpy(read_scaling(run).apply(rows(30, seed=8)[0].astype(np.float32)))
    with torch.no_grad():
        for layer, width in ((None, 8), (1, 12), (2, 8)):
            codes = encode(run, str(table), layer=layer)
            assert codes.shape == (30, width)
            assert np.allclose(codes, stack.encode(scaled, layer or 2).numpy(), atol=1e-4)
    for layer in (0, 3, -1):
        with pytest.raises(SettingError, match="--layer"):
            encode(run, str(table), layer=layer)


def test_codes_of_a_table_with_labels_leave_its_label_out(finished, tmp_path, table):
    path = write_table(tmp_path / "kind.csv", rows(30, seed=8)[0], {"kind": list("abc") * 10})
    codes = encode(finished["table"].run, str(path), label="kind")
    assert np.array_equal(codes, encode(finished["table"].run, str(table)))


def test_named_sets_are_used_with_the_part_they_have():
    assert len(open_rows("digits").X) == 1797


def test_images_are_predicted_from_a_folder(finished):
    answer = predict(finished["images"].run, str(finished["images"].data))
    assert len(answer["predicted"]) == 90
    assert 0 <= answer["error"] <= 1


def test_samples_are_in_the_datas_own_units(finished):
    drawn = sample(finished["table"].run, 200, steps=20)
    assert drawn.shape == (200, 6)
    assert drawn.dtype == np.float32
    X = rows(120)[0]
    assert np.abs(drawn.mean(0) - X.mean(0)).max() < 1.5 * X.std(0).max()
    drawn = sample(finished["images"].run, 5, steps=3)
    assert drawn.min() >= 0
    assert 1 < drawn.max() <= 255
    assert sample_shape(finished["images"].run) == (1, 4, 4)


def test_samples_are_the_seeds(finished):
    run = finished["images"].run
    one, same, other = (sample(run, 4, steps=5, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("options", [{"n": 0}, {"n": -3}, {"n": 4, "steps": 0}, {"n": 4, "seed": -1}])
def test_numbers_of_samples(finished, options):
    with pytest.raises(SettingError):
        sample(finished["images"].run, **options)


def test_a_picture_of_samples(finished, tmp_path, capsys):
    out = tmp_path / "deep" / "samples.png"
    assert cli("sample", finished["images"].run, "-n", 5, "--steps", 2, "--grid", "--out", out) == 0
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        assert picture.mode == "L"
        assert picture.size == ((3 * 6 - 2) * 14, (2 * 6 - 2) * 14)  # 3 x 2 images of 4 pixels, gaps of 2, enlarged


def test_samples_as_an_array(finished, tmp_path):
    out = tmp_path / "samples.npy"
    assert cli("sample", finished["table"].run, "-n", 7, "--steps", 2, "--out", out) == 0
    assert np.load(out).shape == (7, 6)


def test_layers_alone_cannot_predict(finished):
    run = finished["unlabelled"]
    with pytest.raises(SettingError, match="without labels"):
        predict(run.run, str(run.data))
    assert encode(run.run, str(run.data)).shape == (80, 8)


# folders that cannot be trusted -------------------------------------------------------------------------------------


def missing(path):
    path.unlink()


def truncated(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def emptied(path):
    path.write_bytes(b"")


def tampered(path):
    content = bytearray(path.read_bytes())
    k = len(content) - 3 if path.suffix == ".safetensors" else content.rindex(b"0")
    content[k] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("harm", [missing, truncated, emptied, tampered])
@pytest.mark.parametrize("file", ["model.json", "model.safetensors", "scaling.safetensors"])
def test_a_damaged_model_is_never_used(finished, table, tmp_path, harm, file):
    run = tmp_path / "run"
    shutil.copytree(finished["table"].run, run)
    harm(run / file)
    expected = RunFolderError if (file, harm) == ("model.json", missing) else ModelFileError
    with pytest.raises(expected, match=file if expected is ModelFileError else "no finished model"):
        predict(run, str(table))
    if file == "scaling.safetensors":
        for use in (lambda: encode(run, str(table)), lambda: sample(run, 2, steps=1)):
            with pytest.raises(ModelFileError):
                use()


def test_a_model_of_another_scaling(finished, table, tmp_path):
    """Two runs' files mixed: each is whole, and they do not fit together."""
    run = tmp_path / "run"
    shutil.copytree(finished["table"].run, run)
    shutil.copy(finished["images"].run / "scaling.safetensors", run / "scaling.safetensors")
    with pytest.raises((ModelFileError, DataError)):
        predict(run, str(table))


def test_scaling_comes_back_as_it_was(tmp_path):
    kept = choose_scaling(rows(20)[0])
    write_scaling(tmp_path, kept)
    found = read_scaling(tmp_path)
    assert (found.units, found.why) == (kept.units, kept.why)
    (tmp_path / "again").mkdir()
    write_scaling(tmp_path / "again", found)
    files = [folder / "scaling.safetensors" for folder in (tmp_path, tmp_path / "again")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert np.array_equal(found.shift, kept.shift)
    assert np.array_equal(found.factor, kept.factor)


def test_folders_that_are_no_runs(tmp_path, table):
    for folder in (tmp_path, tmp_path / "nowhere", table):
        with pytest.raises(RunFolderError, match="no run folder"):
            predict(folder, str(table))


def test_a_run_that_has_not_finished(finished, tmp_path, table):
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(finished["table"].run / "settings.json", run)
    with pytest.raises(RunFolderError, match="--resume"):
        predict(run, str(table))


@pytest.mark.parametrize("harm", [truncated, emptied])
@pytest.mark.parametrize("file", ["records.json", "records.safetensors"])
def test_damaged_records_are_not_drawn(finished, tmp_path, harm, file, capsys):
    run = tmp_path / "run"
    shutil.copytree(finished["table"].run, run)
    harm(run / file)
    (run / "report.html").unlink()
    assert cli("report", run) == 2
    assert file in capsys.readouterr().err
    assert not (run / "report.html").exists()


def test_a_report_is_drawn_again_from_the_records(finished, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(finished["images"].run, run)
    first = (run / "report.html").read_text()
    (run / "report.html").unlink()
    assert cli("report", run, "--json") == 0
    assert (run / "report.html").read_text() == first
    assert str(run / "report.html") in capsys.readouterr().out


def test_samples_need_the_example_rows_they_begin_at(finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished["images"].run, run)
    write_arrays(run / "records.safetensors", {"other": np.zeros(3)})
    with pytest.raises(FileFormatError, match=r"records.safetensors"):
        sample(run, 2, steps=1)
    (run / "records.safetensors").unlink()
    with pytest.raises(FileFormatError, match=r"records.safetensors is missing"):
        sample(run, 2, steps=1)


def test_more_samples_than_example_rows(finished):
    assert sample(finished["images"].run, 90, steps=1).shape == (90, 16)


def test_settings_that_were_altered(finished, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(finished["images"].run, run)
    for content in ('{"data": "x", "colour": 1}', "[1]", '{"data": 1', ""):
        (run / "settings.json").write_text(content)
        assert cli("learn", "--resume", run) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
