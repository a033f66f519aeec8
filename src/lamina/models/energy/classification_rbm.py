"""The classification machine (Larochelle & Bengio 2008): rows, one class of K, and hidden units that see both.

E(v, y, h) = E_v(v; b) − d_y + E_h(h; c) − s_v(v)ᵀ W s_h(h) − U_y s_h(h)               (docs/mathematics.md, eq. 40)

This is an RBM whose visible side is the row's units joined with one softmax group of K values; `as_rbm` gives it, and
all that is written for an RBM (Gibbs sampling, exact log Z, annealed importance sampling) holds for it. What it has
beyond an RBM: given the row, the hidden units can be summed for each class in turn, so that p(y | v) is exact, needs no
log Z and costs the product v W once and K passes over the hidden units.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import DataError, LabelError
from lamina.core.random import Random
from lamina.models.energy.rbm import RBM
from lamina.units import Concatenated, Family, Softmax, as_family


class ClassificationRBM(nn.Module):
    """A machine over (v, y); integers mean Bernoulli units: ``ClassificationRBM(784, 10, 1500)``.

    As a layer it hides the class: v stands for the row alone, ``mean_h_from_v`` averages over p(y | v). Classes are
    codes 0 .. n_classes − 1, in tensors (...,) int64 beside rows (..., n_visible).
    """

    def __init__(
        self,
        visible: int | Family,
        n_classes: int,
        hidden: int | Family,
        *,
        dtype: torch.dtype = torch.float32,
        random_state: int | Random | None = 0,
    ) -> None:
        super().__init__()
        check_number("n_classes", n_classes, low=2, integer=True)
        joint = Concatenated([as_family(visible), Softmax(int(n_classes))])
        self.joint = RBM(joint, hidden, dtype=dtype, random_state=random_state)

    # the joint machine's parameters, by their names in the paper ------------------------------------------------------

    @property
    def visible(self) -> Family:
        """The units of the row, without the class."""
        return self._sides()[0]

    @property
    def classes(self) -> Family:
        """The one-of-K units of the class."""
        return self._sides()[1]

    def _sides(self) -> tuple[Family, Family]:
        row, classes = self.joint.visible.parts  # type: ignore[union-attr, misc]
        return row, classes

    @property
    def hidden(self) -> Family:
        return self.joint.hidden

    @property
    def n_visible(self) -> int:
        return self.visible.n

    @property
    def n_hidden(self) -> int:
        return self.joint.n_hidden

    @property
    def n_classes(self) -> int:
        return self.classes.n

    @property
    def W(self) -> Tensor:  # noqa: N802 - the paper's name
        """Weights from row to hidden units, (n_visible, n_hidden): a view of the joint weights."""
        return self.joint.W[: self.n_visible]

    @property
    def U(self) -> Tensor:  # noqa: N802 - the paper's name
        """Weights from classes to hidden units, (n_classes, n_hidden): a view."""
        return self.joint.W[self.n_visible :]

    @property
    def b(self) -> Tensor:
        """Biases of the row's units, (n_visible,): a view."""
        return self.joint.b[: self.n_visible]

    @property
    def d(self) -> Tensor:
        """Biases of the classes, (n_classes,): a view."""
        return self.joint.b[self.n_visible :]

    @property
    def c(self) -> Tensor:
        """Biases of the hidden units, (n_hidden,)."""
        return self.joint.c

    def as_rbm(self) -> RBM:
        """The machine over joined rows (v, one-of-K y), (..., n_visible + n_classes); it shares the parameters."""
        return self.joint

    def join(self, v: Tensor, y: Tensor) -> Tensor:
        """Joined rows (..., n_visible + n_classes) of ``v`` (..., n_visible) and codes ``y`` (...,)."""
        self._check_row(v)
        self._check_codes(v, y)
        return torch.cat([v, nn.functional.one_hot(y, self.n_classes).to(v)], -1)

    @torch.no_grad()
    def initialise(
        self,
        random_state: int | Random | None,
        data_mean: Tensor | None = None,
        class_shares: Tensor | None = None,
        scale: float = 0.01,
    ) -> ClassificationRBM:
        """As `RBM.initialise`; ``class_shares`` (n_classes,) are the frequencies of the classes (None: equal)."""
        self.joint.initialise(random_state, scale=scale)
        if data_mean is not None:
            self.b.copy_(self.visible.bias_from_data(data_mean.to(self.b)))
        if class_shares is not None:
            self.d.copy_(torch.log(class_shares.to(self.d).clamp(min=1e-6)))
        return self

    # the class given the row -----------------------------------------------------------------------------------------

    def field_h(self, v: Tensor) -> Tensor:
        """c + s_v(v) W, the part of the hidden field that no class changes: (..., n_visible) → (..., n_hidden)."""
        self._check_row(v)
        return self.visible.interaction(v) @ self.W + self.c

    def class_scores(self, field: Tensor) -> Tensor:
        """d_k + Γ_h(field + U_k): log p(k | v) up to a constant of the row, (..., n_hidden) → (..., n_classes).

        One class at a time: the largest array has the shape of ``field``.
        """
        scores = [self.hidden.cumulant(field + self.U[k], self.c) for k in range(self.n_classes)]
        return torch.stack(scores, -1) + self.d

    def log_p_y_from_v(self, v: Tensor) -> Tensor:
        """log p(y = k | v), exact (docs/mathematics.md, eq. 41): (..., n_visible) → (..., n_classes)."""
        return torch.log_softmax(self.class_scores(self.field_h(v)), -1)

    def p_y_from_v(self, v: Tensor) -> Tensor:
        """p(y = k | v): (..., n_visible) → (..., n_classes)."""
        return self.log_p_y_from_v(v).exp()

    @torch.no_grad()
    def sample_y_from_v(self, v: Tensor, random: Random) -> Tensor:
        """Codes y ~ p(y | v): (..., n_visible) → (...,)."""
        p = self.p_y_from_v(v)
        return self.classes.sample_from_mean(p, random).argmax(-1)

    # energies --------------------------------------------------------------------------------------------------------

    def free_energies(self, v: Tensor) -> Tensor:
        """F(v, k) = −log Σ_h exp(−E(v, k, h)) for every class: (..., n_visible) → (..., n_classes)."""
        return self.visible.energy(v, self.b).unsqueeze(-1) - self.class_scores(self.field_h(v))

    def free_energy(self, v: Tensor) -> Tensor:
        """F(v) = −log Σ_y Σ_h exp(−E(v, y, h)), the class summed out: (..., n_visible) → (...)."""
        return -torch.logsumexp(-self.free_energies(v), -1)

    # the four functions of a layer -----------------------------------------------------------------------------------

    def mean_h_from_v(self, v: Tensor) -> Tensor:
        """E[h | v] = Σ_k p(k | v) E[h | v, k]: (..., n_visible) → (..., n_hidden)."""
        field = self.field_h(v)
        p = torch.softmax(self.class_scores(field), -1)
        mean = torch.zeros_like(field)
        for k in range(self.n_classes):
            mean = mean + p[..., k : k + 1] * self.hidden.mean(field + self.U[k])
        return mean

    def mean_v_from_h(self, h: Tensor) -> Tensor:
        """E[v | h]: (..., n_hidden) → (..., n_visible)."""
        return self.visible.mean(self._field_v(h))

    @torch.no_grad()
    def sample_h_from_v(self, v: Tensor, random: Random) -> Tensor:
        """h ~ p(h | v), by way of a class drawn from p(y | v): (..., n_visible) → (..., n_hidden)."""
        y = self.sample_y_from_v(v, random)
        return self.hidden.sample(self.field_h(v) + self.U[y], random)

    @torch.no_grad()
    def sample_v_from_h(self, h: Tensor, random: Random) -> Tensor:
        """v ~ p(v | h): (..., n_hidden) → (..., n_visible)."""
        return self.visible.sample(self._field_v(h), random)

    @torch.no_grad()
    def given_class(self, y: int) -> RBM:
        """p(v, h | y) as a machine of its own, with hidden biases c + U_y and copies of W and b.

        Gibbs sampling of it draws rows of the class: ``free_running(machine.given_class(3), 100, 1000, random)``.
        """
        check_number("y", y, low=0, high=self.n_classes - 1, integer=True)
        machine = RBM(self.visible, self.hidden, dtype=self.W.dtype).to(self.W.device)
        machine.W.copy_(self.W)
        machine.b.copy_(self.b)
        machine.c.copy_(self.c + self.U[y])
        return machine

    # files -----------------------------------------------------------------------------------------------------------

    def spec(self) -> dict:
        """What JSON must hold to build this machine again; the arrays are the state dict."""
        return {
            "class": "ClassificationRBM",
            "visible": self.visible.spec(),
            "n_classes": self.n_classes,
            "hidden": self.hidden.spec(),
        }

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> ClassificationRBM:
        """The machine that `spec` describes; ``build`` makes its families."""
        return cls(build(spec["visible"]), spec["n_classes"], build(spec["hidden"]))

    def extra_repr(self) -> str:
        return f"n_visible={self.n_visible}, n_classes={self.n_classes}, n_hidden={self.n_hidden}"

    # checks ----------------------------------------------------------------------------------------------------------

    def _field_v(self, h: Tensor) -> Tensor:
        if h.shape[-1] != self.n_hidden:
            raise DataError(
                f"hidden values have shape {tuple(h.shape)}; expected (..., {self.n_hidden}): this machine has "
                f"{self.n_hidden} hidden units"
            )
        return self.hidden.interaction(h) @ self.W.T + self.b

    def _check_row(self, v: Tensor) -> None:
        if v.shape[-1] != self.n_visible:
            raise DataError(
                f"visible values have shape {tuple(v.shape)}; expected (..., {self.n_visible}): this machine has "
                f"{self.n_visible} visible units beside its {self.n_classes} classes"
            )

    def _check_codes(self, v: Tensor, y: Tensor) -> None:
        if y.is_floating_point() or y.shape != v.shape[:-1]:
            raise LabelError(
                f"classes have shape {tuple(y.shape)} and type {y.dtype}; expected one whole number per row, "
                f"{tuple(v.shape[:-1])}"
            )
        if y.numel() and (int(y.min()) < 0 or int(y.max()) >= self.n_classes):
            raise LabelError(
                f"class codes lie in [{int(y.min())}, {int(y.max())}]; expected 0 to {self.n_classes - 1}: number the "
                f"classes from 0"
            )
