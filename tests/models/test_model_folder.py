"""Model folders: they come back as they were, and whatever is missing, cut off or altered is refused."""

from __future__ import annotations

import json
import os
import pickle

import autoencoder_layer_models
import convolutional_network_models
import convolutional_recurrent_models
import deep_autoencoder_models
import feature_classifier_models
import map_models
import numpy as np
import perceptron_models
import pytest
import recurrent_network_models
import sparse_coding_models
import sparse_encoder_models
import torch
import variational_models
import view_models
from safetensors.numpy import load_file, save_file

import lamina
import oracles
from lamina import RBM, Bernoulli, Gaussian, Stack, storage
from lamina.core.errors import ModelFileError
from lamina.models import MLP, energy, maps, registry
from lamina.units import Binomial, Concatenated, Rectified, Softmax, Spin


def energy_models() -> dict:
    """One small model of every energy-based class and every family of units, float64, all values drawn at random."""
    side = Concatenated([Binomial(2, trials=3), Softmax(3, n_groups=2)])
    found = {
        "spin and rectified": RBM(Spin(3), Rectified(2), dtype=torch.float64),
        "noisy rectified": RBM(3, Rectified(2, sampler="noisy"), dtype=torch.float64),
        "concatenated": RBM(side, 3, dtype=torch.float64),
        "classification": energy.ClassificationRBM(4, 3, 2, dtype=torch.float64),
        "conditional": energy.ConditionalRBM(Gaussian(2, learn_sigma=True), 3, 4, dtype=torch.float64),
        "temporal": energy.TemporalRBM(Gaussian(2), 3, 2, dtype=torch.float64),
        "convolutional": energy.ConvolutionalRBM(2, 3, (2, 3), (2, 1), dtype=torch.float64),
        "convolutional, 1-D": energy.ConvolutionalRBM(Gaussian(1), 3, 3, dimensions=1, dtype=torch.float64),
        "convolutional network": energy.ConvolutionalDBN(
            [
                energy.ConvolutionalRBM(1, 3, 3, 2, dtype=torch.float64),
                energy.ConvolutionalRBM(3, 2, 2, 2, dtype=torch.float64),
            ]
        ),
        "boltzmann": energy.BoltzmannMachine(3, 2, dtype=torch.float64),
        "semi-restricted": energy.BoltzmannMachine(3, 2, "semi-restricted", dtype=torch.float64),
        "belief network": energy.DBN([4, 3, 2], n_classes=3, dtype=torch.float64),
        "deep boltzmann": energy.DBM(Gaussian(4), 3, 2, 2, dtype=torch.float64),
        "hopfield": energy.Hopfield(4, dtype=torch.float64),
        "modern hopfield": energy.ModernHopfield(4, 3, beta=2.0, dtype=torch.float64),
        "bidirectional": energy.BidirectionalAssociativeMemory(4, 3, dtype=torch.float64),
        "hamming": maps.HammingNetwork(4, 3, dtype=torch.float64),
    }
    generator = torch.Generator().manual_seed(0)
    for model in found.values():
        for array in model.state_dict().values():
            array.copy_(torch.randn(array.shape, generator=generator, dtype=array.dtype))
    return found


FAMILIES = (
    autoencoder_layer_models,
    convolutional_network_models,
    convolutional_recurrent_models,
    deep_autoencoder_models,
    feature_classifier_models,
    map_models,
    perceptron_models,
    recurrent_network_models,
    sparse_coding_models,
    sparse_encoder_models,
    variational_models,
    view_models,
)


def network_models() -> dict:
    """One small model of every class of autoencoder and sparse coder."""
    return {f"{one.__name__}: {name}": model for one in FAMILIES for name, model in one.small_models().items()}


def models() -> dict:
    return (
        energy_models()
        | network_models()
        | {
            "rbm": RBM(5, 4),
            "rbm float64": oracles.random_binary(5, 4),
            "gaussian": oracles.random_gaussian(3, 4, learn_sigma=False),
            "gaussian learnt": oracles.random_gaussian(3, 4, learn_sigma=True),
            "gaussian hidden": RBM(4, Gaussian(2, sigma=0.5)),
            "stack": Stack([RBM(Gaussian(3), Bernoulli(4)), RBM(4, 2)]),
            "mlp": MLP([4, 3, 2], activation="tanh", dropout=0.5, input_dropout=0.25, dtype=torch.float64),
        }
    )


@pytest.mark.parametrize("name", sorted(models()))
def test_a_model_comes_back_bit_for_bit(name, tmp_path):
    model = models()[name]
    folder = lamina.save(model, tmp_path / "deep" / "folder")
    found = lamina.load(folder)
    assert type(found) is type(model)
    assert found.spec() == model.spec()
    ours, theirs = model.state_dict(), found.state_dict()
    assert set(ours) == set(theirs)
    for key in ours:
        assert theirs[key].dtype == ours[key].dtype
        assert torch.equal(theirs[key], ours[key])
    assert sorted(os.listdir(folder)) == ["model.json", "model.safetensors"]


def test_every_class_of_the_registry_is_among_them():
    seen = set()

    def look(spec):
        if isinstance(spec, dict):
            seen.add(spec.get("class"))
            spec = list(spec.values())
        if isinstance(spec, list):
            for part in spec:
                look(part)

    for model in models().values():
        look(model.spec())
    assert seen - {None} == set(registry._HOMES)


def test_extra_documents_are_kept(tmp_path):
    extra = {"classes": ["a", "b"], "scale": np.float32(0.5), "n": np.int64(3), "by number": {1: float("nan")}}
    storage.save(RBM(3, 2), tmp_path, extra=extra)
    expected = {"classes": ["a", "b"], "scale": 0.5, "n": 3, "by number": {"1": None}}
    assert storage.read_description(tmp_path)["extra"] == expected


@pytest.fixture
def folder(tmp_path):
    return lamina.save(oracles.random_gaussian(3, 4), tmp_path / "model")


@pytest.mark.parametrize("file", ["model.json", "model.safetensors"])
def test_a_missing_file_is_named(folder, file):
    (folder / file).unlink()
    with pytest.raises(ModelFileError, match=rf"{file} is missing"):
        lamina.load(folder)


@pytest.mark.parametrize("file", ["model.json", "model.safetensors"])
def test_any_truncation_is_refused(folder, file):
    whole = (folder / file).read_bytes()
    for length in (0, 1, len(whole) // 2, len(whole) - 2):
        (folder / file).write_bytes(whole[:length])
        with pytest.raises(ModelFileError):
            lamina.load(folder)


def test_every_single_altered_byte_of_the_arrays_is_refused(folder):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for place in range(0, len(whole), 17):
        altered = bytearray(whole)
        altered[place] ^= 1
        path.write_bytes(altered)
        with pytest.raises(ModelFileError):
            lamina.load(folder)


def test_every_altered_entry_of_the_description_is_refused(folder):
    path = folder / "model.json"
    text = path.read_text()
    for old, new in [
        ('"n": 4', '"n": 5'),
        ('"learn_sigma": true', '"learn_sigma": false'),
        ('"RBM"', '"MLP"'),
        ('"format": 1', '"format": 2'),
    ]:
        assert old in text
        path.write_text(text.replace(old, new))
        with pytest.raises(ModelFileError):
            lamina.load(folder)
    path.write_text("[1, 2]")
    with pytest.raises(ModelFileError, match="no model description"):
        lamina.load(folder)


def forge(folder, arrays: dict | None = None, **altered) -> None:
    """Alter the folder as somebody would who knows the checksums."""
    document = storage.read_description(folder)
    if arrays is not None:
        save_file(arrays, folder / "model.safetensors")
    document |= altered
    document["arrays_sha256"] = storage._digest(folder / "model.safetensors")
    document["sha256"] = storage._document_digest(document)
    (folder / "model.json").write_text(json.dumps(document))


BERNOULLI = {"class": "Bernoulli", "n": 4}


@pytest.mark.parametrize(
    "spec",
    [
        {"class": "os.system", "visible": BERNOULLI, "hidden": BERNOULLI},
        {"class": "lamina.models.RBM", "visible": BERNOULLI, "hidden": BERNOULLI},
        {"class": "RBM", "visible": {"class": "RBM", "n": 4}, "hidden": BERNOULLI},
        {"class": "RBM", "visible": BERNOULLI},
        {"class": "RBM", "visible": {"class": "Bernoulli", "n": -4}, "hidden": BERNOULLI},
        {"class": "RBM", "visible": {"class": "Bernoulli", "n": "4"}, "hidden": BERNOULLI},
        {"class": "RBM", "visible": {"class": "Bernoulli", "n": 4, "device": "cuda"}, "hidden": BERNOULLI},
        {"class": "RBM", "visible": BERNOULLI, "hidden": {"class": "Bernoulli", "n": 10**15}},
        {"class": "MLP", "sizes": "abc", "activation": "relu", "dropout": 0.0, "input_dropout": 0.0},
        {"class": "MLP", "sizes": [3, 2], "activation": "eval", "dropout": 0.0, "input_dropout": 0.0},
        {"class": "Stack", "layers": []},
        {"class": "Stack", "layers": [None]},
        {"class": None},
        "RBM",
        None,
    ],
    ids=str,
)
def test_descriptions_of_no_model_of_ours_are_refused(folder, spec):
    with pytest.raises(ModelFileError):
        registry.build(spec)
    forge(folder, model=spec)
    with pytest.raises(ModelFileError):
        lamina.load(folder)


def test_an_unknown_class_is_named_and_never_imported(folder):
    forge(folder, model={"class": "antigravity"})
    with pytest.raises(ModelFileError, match=r"'antigravity'; expected one of Autoencoder, .*Stack, TemporalRBM"):
        lamina.load(folder)


def test_arrays_of_other_shapes_names_and_types_are_refused(folder):
    arrays = load_file(folder / "model.safetensors")
    without = {name: a for name, a in arrays.items() if name != "b"}
    for wrong, message in [
        ({**arrays, "W": arrays["W"].T.copy()}, "array W has shape"),
        ({**arrays, "extra": arrays["b"]}, "extra"),
        (without, "do not match"),
        ({**arrays, "b": np.zeros(3, dtype=np.int64)}, "expected a floating type"),
    ]:
        forge(folder, arrays=wrong)
        with pytest.raises(ModelFileError, match=message):
            lamina.load(folder)


def test_nothing_is_unpickled(folder, monkeypatch):
    """A pickle in place of the arrays is refused, and no unpickler runs even where all is well."""

    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(folder / "exploded"),))

    def refuse(*arguments, **options):
        raise AssertionError("something was unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    lamina.load(folder)
    (folder / "model.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelFileError):
        lamina.load(folder)
    assert not (folder / "exploded").exists()


def test_an_exception_while_writing_leaves_the_old_model(folder, monkeypatch):
    before = lamina.load(folder).state_dict()

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(lamina.core.errors.RunFolderError, match="No space left"):
            lamina.save(oracles.random_gaussian(3, 4, seed=9), folder)
    after = lamina.load(folder).state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert sorted(os.listdir(folder)) == ["model.json", "model.safetensors"]
