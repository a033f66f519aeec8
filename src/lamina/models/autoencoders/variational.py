"""The variational autoencoder (Kingma & Welling 2014): a directed generative model and a network that inverts it.

The problem: in p(v, h) = N(h; 0, I) p(v | h) with p(v | h) given by a network, neither the posterior of h nor the
likelihood of v can be had. A second network gives a Gaussian q(h | v) in place of the posterior; both learn together
by raising a lower bound of log p(v), the evidence lower bound

    ELBO(v) = E_q[log p(v | h)] − KL(q(h | v) ‖ N(0, I)).

Conventions: the *encoder* is a perceptron v → hidden → (mean, log variance) of q, the *decoder* its mirror image,
h → hidden reversed → the field of p(v | h). As a layer, the code of v is the mean of q(h | v), and a code is decoded
to the mean of p(v | h). Densities in nats; ``log_variance`` is log σ².

The likelihood is ``"bernoulli"`` (values in [0, 1], the field is the logit) or ``"gaussian"`` (real values, the field
is the mean). A Gaussian's variance is a number (fixed), ``"learnt"`` (one per visible unit, the same for all rows) or
``"predicted"`` (by the decoder, for each row and unit).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number, check_unit_interval
from lamina.core.errors import DataError, SettingError, nearest_names
from lamina.core.numerics import logit
from lamina.core.random import Random, as_random
from lamina.models.autoencoders.bernoulli_likelihood import bernoulli_log_likelihood
from lamina.models.networks.mlp import MLP

LIKELIHOODS = ("bernoulli", "gaussian")
LOG_TWO_PI = math.log(2 * math.pi)


class VariationalAutoencoder(nn.Module):
    """``n_visible`` values of data, ``n_hidden`` Gaussian latent units, ``hidden`` sizes of the encoder's layers.

    The decoder's layers are the encoder's in reverse. Weights start by Glorot & Bengio (2010), biases at 0;
    `initialise` with the mean of the data sets the bias of the visible units from it.

    Raises `SettingError` for sizes below 1, an unknown activation or likelihood, or a variance that is no positive
    number nor a known word.
    """

    def __init__(
        self,
        n_visible: int,
        n_hidden: int,
        *,
        hidden: Sequence[int] = (200, 200),
        activation: str = "tanh",
        likelihood: str = "bernoulli",
        variance: float | str = "learnt",
        dtype: torch.dtype = torch.float32,
        random_state: int | Random | None = 0,
    ) -> None:
        super().__init__()
        _check_sizes(n_visible, n_hidden, hidden)
        if likelihood not in LIKELIHOODS:
            raise SettingError(f"likelihood is {likelihood!r}; {nearest_names(str(likelihood), list(LIKELIHOODS))}")
        _check_variance(variance)
        self.n_visible, self.n_hidden = int(n_visible), int(n_hidden)
        self.hidden = tuple(int(n) for n in hidden)
        self.activation, self.likelihood = activation, likelihood
        self.variance: float | str = variance if isinstance(variance, str) else float(variance)
        n_field = self.n_visible * (2 if self._predicts_variance else 1)
        options: dict[str, Any] = {"activation": activation, "dtype": dtype, "random_state": None}
        self.encoder = MLP((self.n_visible, *self.hidden, 2 * self.n_hidden), **options)
        self.decoder = MLP((self.n_hidden, *reversed(self.hidden), n_field), **options)
        if likelihood == "gaussian" and variance == "learnt":
            self.s = nn.Parameter(torch.zeros(self.n_visible, dtype=dtype))  # log variance of the visible units
        self.initialise(random_state)

    @property
    def _predicts_variance(self) -> bool:
        return self.likelihood == "gaussian" and self.variance == "predicted"

    def extra_repr(self) -> str:
        variance = f", variance={self.variance!r}" if self.likelihood == "gaussian" else ""
        return f"{self.n_visible}, {self.n_hidden}, hidden={self.hidden}, likelihood={self.likelihood!r}{variance}"

    @torch.no_grad()
    def initialise(
        self, random_state: int | Random | None = 0, data_mean: Tensor | None = None
    ) -> VariationalAutoencoder:
        """Draw the weights afresh; the visible bias from ``data_mean`` (n_visible,), the other biases 0."""
        random = as_random(random_state)
        self.encoder.initialise(random.child("encoder"))
        self.decoder.initialise(random.child("decoder"))
        if data_mean is not None:
            bias = self.decoder.b[-1]
            mean = data_mean.to(bias)
            bias[: self.n_visible] = logit(mean, margin=0.01) if self.likelihood == "bernoulli" else mean
        return self

    # inference: v → h -----------------------------------------------------------------------------------------------

    def posterior(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(h | v), each (..., n_hidden), for v (..., n_visible)."""
        _check_width(v, self.n_visible, "rows")
        out = self.encoder(v)
        return out[..., : self.n_hidden], out[..., self.n_hidden :]

    def mean_h_from_v(self, v: Tensor) -> Tensor:
        """E_q[h | v]: (..., n_visible) → (..., n_hidden). The code."""
        return self.posterior(v)[0]

    def sample_h_from_v(self, v: Tensor, random: Random) -> Tensor:
        """A draw of q(h | v), differentiable in v and the encoder: mean + σ ε, ε ~ N(0, I)."""
        mean, log_variance = self.posterior(v)
        return self.reparametrise(mean, log_variance, random)

    @staticmethod
    def reparametrise(mean: Tensor, log_variance: Tensor, random: Random) -> Tensor:
        """mean + exp(log_variance / 2) ε with ε ~ N(0, I); same shape."""
        noise = random.normal(mean.shape, mean.dtype, mean.device)
        return torch.addcmul(mean, (0.5 * log_variance).exp(), noise)

    # generation: h → v ----------------------------------------------------------------------------------------------

    def field_v(self, h: Tensor) -> Tensor:
        """What the decoder says of v, (..., n_hidden) → (..., n_visible): logits, or means; with a predicted variance
        (..., 2 n_visible), means then log variances."""
        _check_width(h, self.n_hidden, "codes")
        return self.decoder(h)

    def mean_v_from_h(self, h: Tensor) -> Tensor:
        """E[v | h]: (..., n_hidden) → (..., n_visible)."""
        field = self.field_v(h)[..., : self.n_visible]
        return torch.sigmoid(field) if self.likelihood == "bernoulli" else field

    def sample_v_from_h(self, h: Tensor, random: Random) -> Tensor:
        """A draw of p(v | h): (..., n_hidden) → (..., n_visible)."""
        if self.likelihood == "bernoulli":
            return random.bernoulli(self.mean_v_from_h(h))
        field = self.field_v(h)
        mean = field[..., : self.n_visible]
        return self.reparametrise(mean, self.log_variance_v(field).expand_as(mean), random)

    def log_variance_v(self, field: Tensor) -> Tensor:
        """Log variance of a Gaussian p(v | h), broadcastable to (..., n_visible)."""
        if self._predicts_variance:
            return field[..., self.n_visible :]
        if self.variance == "learnt":
            return self.s
        return field.new_tensor(math.log(float(self.variance)))

    @torch.no_grad()
    def sample(self, n: int, random: Random, *, mean: bool = False) -> Tensor:
        """``n`` draws from the model, (n, n_visible): h ~ N(0, I), then v ~ p(v | h), or its ``mean``."""
        check_number("n", n, low=1, integer=True)
        like = self.decoder.W[0]
        h = random.normal((n, self.n_hidden), like.dtype, like.device)
        return self.mean_v_from_h(h) if mean else self.sample_v_from_h(h, random)

    # densities ------------------------------------------------------------------------------------------------------

    @staticmethod
    def kl(mean: Tensor, log_variance: Tensor) -> Tensor:
        """KL(N(mean, σ²) ‖ N(0, I)) = ½ Σ (mean² + σ² − log σ² − 1): (..., n_hidden) → (...)."""
        return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(-1)

    def log_p_v_given_h(self, v: Tensor, h: Tensor) -> Tensor:
        """log p(v | h) in nats, (...), for v (..., n_visible) and h (..., n_hidden) that broadcast.

        Bernoulli: Σ v f − log(1 + e^f); a v between 0 and 1 is taken as an expectation.
        """
        return self.log_p_v_given_field(v, self.field_v(h))

    def log_p_v_given_field(self, v: Tensor, field: Tensor) -> Tensor:
        """`log_p_v_given_h` where the field of h is known."""
        if self.likelihood == "bernoulli":
            return bernoulli_log_likelihood(v, field)
        mean = field[..., : self.n_visible]
        log_variance = self.log_variance_v(field)
        return -0.5 * ((v - mean).square() * (-log_variance).exp() + log_variance + LOG_TWO_PI).sum(-1)

    @staticmethod
    def log_p_h(h: Tensor) -> Tensor:
        """Log density of the prior N(0, I): (..., n_hidden) → (...)."""
        return -0.5 * (h.square() + LOG_TWO_PI).sum(-1)

    @staticmethod
    def log_q_h(h: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        """Log density of q = N(mean, σ²) at h: (..., n_hidden) → (...)."""
        return -0.5 * ((h - mean).square() * (-log_variance).exp() + log_variance + LOG_TWO_PI).sum(-1)

    # files ----------------------------------------------------------------------------------------------------------

    def check(self, X: Any, name: str = "the data") -> None:
        """Raise `DataError` where rows (n, n_visible) cannot come from this likelihood."""
        _check_width(X, self.n_visible, name)
        if self.likelihood == "bernoulli":
            check_unit_interval(X, name=name)

    def spec(self) -> dict:
        """What JSON must hold to build this model again; the arrays are the state dict."""
        return {
            "class": "VariationalAutoencoder",
            "n_visible": self.n_visible,
            "n_hidden": self.n_hidden,
            "hidden": list(self.hidden),
            "activation": self.activation,
            "likelihood": self.likelihood,
            "variance": self.variance,
        }

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> VariationalAutoencoder:
        """The model that `spec` describes."""
        options = {name: spec[name] for name in ("hidden", "activation", "likelihood", "variance")}
        return cls(spec["n_visible"], spec["n_hidden"], **options)


def _check_sizes(n_visible: int, n_hidden: int, hidden: Sequence[int]) -> None:
    check_number("n_visible", n_visible, low=1, integer=True)
    check_number("n_hidden", n_hidden, low=1, integer=True)
    if isinstance(hidden, (int, str)):
        raise SettingError(f"hidden is {hidden!r}; expected a sequence of layer sizes such as (200, 200)")
    for n in hidden:
        check_number("hidden", n, low=1, integer=True)


def _check_variance(variance: float | str) -> None:
    if isinstance(variance, str):
        if variance not in ("learnt", "predicted"):
            raise SettingError(f"variance is {variance!r}; expected 'learnt', 'predicted' or a number above 0")
        return
    check_number("variance", variance, low=0.0)
    if variance == 0 or math.isinf(variance):
        raise SettingError(f"variance is {variance!r}; expected 'learnt', 'predicted' or a finite number above 0")


def _check_width(x: Any, width: int, what: str) -> None:
    if not x.shape or x.shape[-1] != width:
        raise DataError(f"{what} have shape {tuple(x.shape)}; expected (..., {width}): one column per unit")
