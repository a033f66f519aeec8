"""``lamina learn --model vae``: sizes, likelihoods by the kind of rows, and what the report says of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lamina.core.random import Random
from lamina.models.autoencoders import VariationalAutoencoder
from lamina.report import read_records
from lamina.storage import load
from lamina.studies.apply import encode, sample
from lamina.studies.goodness import Effort, Material, goodness, trace_value
from small_studies import cli, rows


@pytest.mark.parametrize("hidden", ["5,2", "2"])
def test_real_valued_rows(hidden, quick, tmp_path):
    np.save(tmp_path / "rows.npy", 3 * rows(60)[0] + 10)
    run = tmp_path / "run"
    small = ("--hidden", hidden, "--epochs", 2, "--quiet", "--out", run)
    assert cli("learn", tmp_path / "rows.npy", "--model", "vae", *small) == 0
    model = load(run)
    assert (model.likelihood, model.n_hidden, len(model.hidden)) == ("gaussian", 2, hidden.count(","))
    document = read_records(run).document
    assert document["title"].startswith("A variational autoencoder")
    assert "at least" in document["summary"]
    assert document["captions"]["samples"].startswith("Independent draws")
    drawn = sample(run, 200)
    X = np.load(tmp_path / "rows.npy")
    assert drawn.shape == (200, X.shape[1])
    assert abs(drawn.mean() - X.mean()) < X.std()  # in the data's own units
    assert encode(run, str(tmp_path / "rows.npy")).shape == (60, 2)


def test_bounds_in_the_report_against_quadrature():
    model = VariationalAutoencoder(6, 1, hidden=(4,), dtype=torch.float64, random_state=3)
    v = Random(3).bernoulli(torch.full((150, 6), 0.5, dtype=torch.float64))
    h = torch.linspace(-9, 9, 1001, dtype=torch.float64).view(-1, 1, 1)
    log_p = torch.logsumexp(model.log_p_v_given_h(v, h) + model.log_p_h(h), 0) + torch.log(h[1, 0, 0] - h[0, 0, 0])
    truth = log_p.mean().item()
    effort = Effort(temperatures=3000)
    found = {row["what"]: row["ours"] for row in goodness(model, Material(v, None, v), effort, Random(0)).measured}
    tight = found["lower bound on the log-likelihood, test rows"]
    assert tight == pytest.approx(truth, abs=0.01)
    assert found["evidence lower bound of test rows"] < truth
    assert trace_value(model, v, v, effort, Random(0)) == pytest.approx(tight, abs=1e-12)
