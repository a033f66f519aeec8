"""Variational learning: both estimators against quadrature, slopes against differences, resume, settings."""

from __future__ import annotations

import math

import pytest
import torch

from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.models.autoencoders import VariationalAutoencoder
from lamina.training import RedrawnInput, Variational, fit, loop
from lamina.training.sources import Batch
from lamina.units import Bernoulli

ROWS = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]], dtype=torch.float64)


def small(likelihood: str = "bernoulli") -> VariationalAutoencoder:
    """3 visible units, 1 latent one: expectations over it are a quadrature."""
    model = VariationalAutoencoder(3, 1, hidden=(2,), likelihood=likelihood, dtype=torch.float64, random_state=4)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


def batch(v: torch.Tensor) -> Batch:
    return Batch((v,), torch.arange(len(v)), len(v))


def nodes() -> tuple[torch.Tensor, torch.Tensor]:
    """Points and weights of a standard normal variable: the trapezoidal rule, exact for smooth functions."""
    x = torch.linspace(-9, 9, 301, dtype=torch.float64)
    return x, torch.softmax(-x.square() / 2, 0)


def exact_bound(model: VariationalAutoencoder, v: torch.Tensor) -> torch.Tensor:
    """ELBO summed over rows, the expectation by quadrature."""
    x, weights = nodes()
    mean, log_variance = model.posterior(v)
    h = mean + (0.5 * log_variance).exp() * x.view(-1, 1, 1)
    expected = (model.log_p_v_given_h(v, h) * weights.view(-1, 1)).sum(0)
    return (expected - model.kl(mean, log_variance)).sum()


def exact_importance_bound(model: VariationalAutoencoder, v: torch.Tensor) -> torch.Tensor:
    """E log (w₁ + w₂)/2 summed over rows, by quadrature over both draws."""
    x, weights = nodes()
    mean, log_variance = model.posterior(v)
    h = mean + (0.5 * log_variance).exp() * x.view(-1, 1, 1)
    log_w = model.log_p_v_given_h(v, h) + model.log_p_h(h) - model.log_q_h(h, mean, log_variance)
    pairs = torch.logaddexp(log_w[:, None], log_w[None]) - math.log(2)
    return torch.einsum("ijn,i,j->", pairs, weights, weights)


def gradient(value: torch.Tensor, model: VariationalAutoencoder) -> torch.Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, list(model.parameters()))])


def estimates(rule: Variational, model: VariationalAutoencoder, repeats: int) -> torch.Tensor:
    """Gradients of the loss at fresh draws, (repeats, parameters): one for each copy of the rows."""
    found = []
    for step in range(repeats):
        loss, _ = rule.loss(model, batch(ROWS), Random(1).at(step, torch.arange(len(ROWS))))
        found.append(gradient(loss, model))
    return torch.stack(found)


def assert_mean(drawn: torch.Tensor, exact: torch.Tensor) -> None:
    """Means within six standard errors of what they should be (the error itself is known to a tenth)."""
    error = drawn.std(0) / len(drawn) ** 0.5
    assert ((drawn.mean(0) - exact).abs() < 6 * error + 1e-9).all()
    assert error.max() < 0.03 * exact.abs().max()  # else this shows nothing


@pytest.mark.parametrize(
    ("options", "repeats"),
    [
        ({"samples": 300}, 40),
        ({"estimator": "score-function", "samples": 2000}, 40),
        ({"estimator": "score-function", "samples": 1000, "baseline": "running"}, 40),
        ({"estimator": "score-function", "samples": 4, "baseline": "leave-one-out"}, 400),
    ],
)
def test_the_gradient_is_unbiased(options, repeats):
    model = small("gaussian" if options.get("baseline") == "running" else "bernoulli")
    exact = -gradient(exact_bound(model, ROWS), model)
    assert_mean(estimates(Variational(**options), model, repeats), exact)


def test_the_importance_weighted_gradient_is_unbiased():
    model = small()
    exact = -gradient(exact_importance_bound(model, ROWS), model)
    assert_mean(estimates(Variational(importance=2, samples=200), model, 50), exact)
    assert exact_importance_bound(model, ROWS) > exact_bound(model, ROWS)


def test_baselines_lower_the_variance_and_reparametrisation_lowers_it_more():
    model, variance = small(), {}
    for name, options in {
        "plain": {"estimator": "score-function"},
        "running": {"estimator": "score-function", "baseline": "running"},
        "leave-one-out": {"estimator": "score-function", "baseline": "leave-one-out"},
        "reparametrised": {},
    }.items():
        drawn = estimates(Variational(samples=8, **options), model, 150)[30:]
        variance[name] = float(drawn[:, : model.encoder.W[0].numel()].var(0).sum())
    for baseline in ("running", "leave-one-out"):  # which of the two is better depends on the rows
        assert variance["plain"] > 2 * variance[baseline]
        assert variance[baseline] > 1.3 * variance["reparametrised"]


@pytest.mark.parametrize("options", [{}, {"samples": 3, "beta": 0.5}, {"samples": 2, "importance": 3}])
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_slopes_are_those_of_differences(options, likelihood):
    """With its random numbers fixed, the reparametrised loss is a plain function of the parameters."""
    model = small(likelihood)
    module = Wrapped(model, Variational(**options))
    names = [name for name, _ in module.named_parameters()]

    def loss(*values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(module, dict(zip(names, values, strict=True)), ())

    assert torch.autograd.gradcheck(loss, tuple(p.detach().clone().requires_grad_() for p in model.parameters()))


class Wrapped(torch.nn.Module):
    """The rule's loss as a module, whose parameters can be handed in."""

    def __init__(self, model: VariationalAutoencoder, rule: Variational) -> None:
        super().__init__()
        self.m, self.rule = model, rule

    def forward(self) -> torch.Tensor:
        return self.rule.loss(self.m, batch(ROWS), Random(2).at(0, torch.arange(len(ROWS))))[0]


def test_measures_are_the_bound_and_its_kl_term():
    model, rule = small(), Variational(samples=3, beta=4.0)
    loss, measures = rule.loss(model, batch(ROWS), Random(0).at(0, torch.arange(2)))
    kl = model.kl(*model.posterior(ROWS)).sum()
    torch.testing.assert_close(measures["kl"], kl)
    torch.testing.assert_close(-loss, measures["bound"] - 3 * kl)
    found = rule.validate(model, (ROWS.repeat(5000, 1),), (ROWS,))
    assert found["validation loss"] == -found["validation bound"]
    assert found["validation bound"] == pytest.approx(exact_bound(model, ROWS).item() / 2, abs=0.05)


@pytest.mark.parametrize("rows", [[0], [0, 1]])
def test_a_row_has_the_same_draws_whatever_rows_stand_beside_it(rows):
    """So that several processes learn what one would."""
    model, rule, chosen = small(), Variational(samples=2), torch.tensor(rows)
    whole = sum(
        rule.loss(model, Batch((ROWS[k : k + 1],), torch.tensor([k]), 2), Random(3).at(5, torch.tensor([k])))[0]
        for k in rows
    )
    together, _ = rule.loss(model, Batch((ROWS[chosen],), chosen, 2), Random(3).at(5, chosen))
    torch.testing.assert_close(together, whole, rtol=1e-12, atol=1e-12)


# learning -----------------------------------------------------------------------------------------------------------


def stripes(n: int = 64) -> torch.Tensor:
    """Rows of 8 grey values with two causes."""
    causes = (torch.randn((n, 2), generator=torch.Generator().manual_seed(1)).double() > 0).double()
    return (causes.repeat_interleave(4, 1) * 0.9 + 0.05).contiguous()


def learn(rule, folder=None, **options):
    model = VariationalAutoencoder(8, 2, hidden=(6,), dtype=torch.float64).initialise(0)
    options = {"epochs": 4, "batch_size": 10, "learning_rate": 0.02, "optimiser": "adam", **options}
    return model, fit(model, stripes(), rule, random_state=0, checkpoint=folder, **options)


@pytest.mark.parametrize("estimator", ["reparametrised", "score-function"])
def test_it_learns(estimator):
    baseline = "none" if estimator == "reparametrised" else "leave-one-out"
    rule = RedrawnInput(Variational(estimator, samples=4, baseline=baseline), Bernoulli(8))
    _, history = learn(rule, epochs=20, learning_rate=0.05)
    independent = -8 * math.log(2)  # what is reached without a code
    assert history["bound"][0] < independent
    assert history["bound"][-1] > independent + 0.8
    assert history["kl"][-1] > 0.3


class KilledError(Exception):
    pass


class Dying(Variational):
    """Dies at a step in the middle of an epoch."""

    def gradients(self, model, batch, step, random):
        if step == 17:
            raise KilledError
        return super().gradients(model, batch, step, random)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"importance": 3, "samples": 2},
        {"estimator": "score-function", "baseline": "running", "samples": 2},
        {"estimator": "score-function", "baseline": "leave-one-out", "samples": 2},
    ],
)
def test_a_killed_run_goes_on_bit_for_bit(options, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "WATCH_EVERY", 1)
    unbroken, _ = learn(Variational(**options))
    with pytest.raises(KilledError):
        learn(Dying(**options), tmp_path, checkpoint_seconds=0.0)
    resumed, history = learn(Variational(**options), tmp_path, checkpoint_seconds=0.0)
    assert len(history) == 4
    for ours, theirs in zip(unbroken.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_running_baseline_begins_anew_with_every_run():
    rule = Variational("score-function", baseline="running")
    first, _ = learn(rule)
    assert float(rule.mean) < 0
    second, _ = learn(rule)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


# what is refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"estimator": "reparametrized"}, "did you mean 'reparametrised'"),
        ({"estimator": "score-function", "baseline": "runing"}, "did you mean 'running'"),
        ({"samples": 0}, "samples is 0"),
        ({"importance": 1.5}, "importance is 1.5"),
        ({"beta": -1.0}, "beta is -1.0"),
        ({"importance": 2, "beta": 0.5}, "no KL term to weigh"),
        ({"importance": 2, "estimator": "score-function"}, "expected 'reparametrised'"),
        ({"baseline": "running"}, "expected 'none' with the reparametrised estimator"),
        ({"estimator": "score-function", "baseline": "leave-one-out"}, "expected samples of at least 2"),
    ],
)
def test_bad_settings_are_refused(options, message):
    with pytest.raises(SettingError, match=message):
        Variational(**options)


def test_rows_outside_the_unit_interval_are_refused():
    model = VariationalAutoencoder(8, 2, hidden=(6,), dtype=torch.float64)
    with pytest.raises(DataError, match="divide by"):
        fit(model, 255 * stripes(), Variational(), epochs=1)
    with pytest.raises(DataError, match=r"expected \(\.\.\., 8\)"):
        fit(model, stripes()[:, :7], Variational(), epochs=1)


def test_settings_are_described():
    described = Variational("score-function", samples=2, baseline="leave-one-out").describe()
    assert described == {
        "rule": "Variational",
        "estimator": "score-function",
        "samples": 2,
        "beta": 1.0,
        "importance": 1,
        "baseline": "leave-one-out",
    }
