"""Learning a classification machine: discriminative, generative, both at once, and from rows without labels.

The objective that a step lowers, for a batch of n rows of which some are labelled (Larochelle & Bengio 2008; 2012),

    (1/n) [ λ_d Σ_labelled −log p(y | v)  +  λ_g Σ_labelled −log p(v, y)  +  λ_u Σ_unlabelled −log p(v) ]

The first sum and its gradient are exact; the other two are lowered by contrastive divergence, persistent or not. All
three share one form (docs/mathematics.md, eq. 42 to 44): with m_k = E[s_h(h) | v, y = k] and a weight g_k for each
row and class,

    ∂/∂W = −s_v(v)ᵀ Σ_k g_k m_k + samples,   ∂/∂U_k = −g_k m_k + samples,
    g_k = λ_d ([k = y] − p(k | v)) + λ_g [k = y]  where the row is labelled,   λ_u p(k | v)  where not.

A step costs 2 (discriminative) or 5 (CD-1) products of the batch with W, and 2 K passes over (rows, hidden units).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import DataError, LabelError, SettingError
from lamina.core.random import Random
from lamina.models.energy import RBM, ClassificationRBM
from lamina.training.rules import GradientRule, Setting
from lamina.training.sources import Batch

ROWS_AT_ONCE = 1000  # rows that validation takes through the machine together


class _Rows:
    """Joined rows and hidden values of both phases, one above the other: positive first."""

    def __init__(self, rbm: RBM, positive: int, negative: int) -> None:
        self.x = rbm.W.new_zeros(positive + negative, rbm.n_visible)
        self.h = rbm.W.new_zeros(positive + negative, rbm.n_hidden)
        self.field = rbm.W.new_empty(positive, rbm.n_hidden)
        self.mean = rbm.W.new_empty(positive, rbm.n_hidden)
        self.drawn_h = rbm.W.new_empty(negative, rbm.n_hidden)
        self.weights = rbm.W.new_zeros(
            positive + negative, 1
        )  # of each row in the objective; samples weigh less than 0
        self.positive, self.negative = slice(0, positive), slice(positive, positive + negative)


class HybridClassification(GradientRule):
    """Trains a `ClassificationRBM` on (rows, class codes); the code −1 marks a row without a label.

    ``discriminative_weight`` λ_d, ``generative_weight`` λ_g and ``unlabelled_weight`` λ_u: (1, 0, 0) is the
    discriminative machine, (0, 1, 0) the generative one, (1, 0.01, 0) the paper's hybrid, (1, 0.01, 0.1) its
    semi-supervised form. Each row counts, so where labels are few, λ_u weighs by the ratio of the numbers of rows.
    ``k`` Gibbs steps begin at the batch, or go on in ``n_chains`` persistent chains where that is given (paper: CD-1).
    ``sample_visible=False`` passes the visible means; classes and hidden units are always drawn. ``sparsity`` is a
    constant added to the gradient of the hidden biases: the paper subtracts δ = learning rate · ``sparsity`` per step.
    """

    watched = "validation error"

    def __init__(
        self,
        *,
        discriminative_weight: float = 1.0,
        generative_weight: float = 0.01,
        unlabelled_weight: float = 0.0,
        k: int = 1,
        n_chains: int | None = None,
        sample_visible: bool = True,
        sparsity: float = 0.0,
    ) -> None:
        self.weights = (discriminative_weight, generative_weight, unlabelled_weight)
        for name, weight in zip(("discriminative", "generative", "unlabelled"), self.weights, strict=True):
            check_number(f"{name}_weight", weight, low=0.0)
        if not any(self.weights):
            raise SettingError("all three weights are 0; expected at least one above 0: there is nothing to learn")
        check_number("k", k, low=1, integer=True)
        if n_chains is not None:
            check_number("n_chains", n_chains, low=1, integer=True)
        check_number("sparsity", sparsity, low=0.0)
        self.k, self.n_chains, self.sample_visible = int(k), n_chains, bool(sample_visible)
        self.sparsity = float(sparsity)
        self.chains: Tensor | None = None

    def describe(self) -> dict:
        return {
            "rule": "HybridClassification",
            "weights": list(self.weights),
            "k": self.k,
            "n_chains": self.n_chains,
            "sample_visible": self.sample_visible,
            "sparsity": self.sparsity,
        }

    # before ----------------------------------------------------------------------------------------------------------

    def check(self, model: nn.Module, values: tuple[Tensor, ...]) -> None:
        if not isinstance(model, ClassificationRBM):
            raise SettingError(f"HybridClassification trains a ClassificationRBM; {type(model).__name__} given")
        if getattr(model.visible, "learn_sigma", False) or getattr(model.hidden, "learn_sigma", False):
            raise SettingError("HybridClassification learns no variance; expected units with learn_sigma=False")
        if len(values) != 2:
            raise DataError(
                f"the data are {len(values)} array(s); expected two: rows, and class codes with −1 for none"
            )
        v, y = values
        if v.dim() != 2 or v.shape[1] != model.n_visible:
            raise DataError(
                f"the rows to learn from have shape {tuple(v.shape)}; expected (rows, {model.n_visible}): this machine "
                f"has {model.n_visible} visible units"
            )
        model.visible.check(v.cpu().numpy(), "the rows to learn from")
        _check_codes(y, model.n_classes)

    @torch.no_grad()
    def start(self, model: Any, setting: Setting) -> None:
        self.setting = setting
        self._rows: dict[tuple[int, int], _Rows] = {}
        if self._samples and self.n_chains is not None:
            self.chain_rows = torch.arange(self.n_chains, device=setting.device)
            free = model.joint.b.expand(self.n_chains, -1).clone()
            self.chains = model.joint.visible.sample(free, setting.random.child("chains"))

    @property
    def _samples(self) -> bool:
        """Whether any part of the objective needs samples of the machine."""
        return bool(self.weights[1] or self.weights[2])

    @property
    def _persistent(self) -> bool:
        return self._samples and self.n_chains is not None

    def state(self) -> dict[str, Tensor]:
        if self.chains is None:
            return {}
        whole = torch.zeros_like(self.chains)
        mine = self.setting.world.slice(len(whole))
        whole[mine] = self.chains[mine]
        self.setting.world.sum_([whole])
        return {"chains": whole}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        if "chains" in state:
            self.chains = state["chains"].to(self.setting.device)

    # a step ----------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def gradients(self, model: Any, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        v, y = batch.values
        rows = self._buffers(model.joint, len(v))
        log_p = self._log_p(model, v, rows)
        g = self._class_weights(log_p.exp(), y)
        class_gradients = self._class_activities(model, g, rows)
        if self._samples:
            random.at(step, batch.rows)
            self._begin_chains(model, y, log_p, rows, random, step)
            self._run_chains(model, rows, random)
        self._write(model, rows, g, batch.total)
        model.joint.W.grad[model.n_visible :].add_(class_gradients, alpha=-1.0 / batch.total)
        if self.sparsity:
            model.c.grad.add_(self.sparsity * len(v) / batch.total)
        labelled = y >= 0
        loss = -log_p.gather(1, y.clamp(min=0)[:, None])[:, 0]
        return {
            "training loss": torch.where(labelled, loss, 0.0).sum(),
            "training error": ((log_p.argmax(1) != y) & labelled).sum(),
        }

    def _buffers(self, rbm: RBM, positive: int) -> _Rows:
        negative = 0
        if self._persistent:
            mine = self.setting.world.slice(len(self.chain_rows))
            negative = mine.stop - mine.start
        elif self._samples:
            negative = positive
        found = self._rows.get((positive, negative))
        if found is None:
            found = self._rows[positive, negative] = _Rows(rbm, positive, negative)
        return found

    def _log_p(self, model: ClassificationRBM, v: Tensor, rows: _Rows) -> Tensor:
        """log p(y | v) (rows, n_classes), with v in the upper rows and c + s_v(v) W in ``rows.field``."""
        rows.x[rows.positive, : model.n_visible].copy_(v)
        torch.addmm(model.c, model.visible.interaction(v), model.W, out=rows.field)
        return torch.log_softmax(model.class_scores(rows.field), 1)

    def _class_weights(self, p: Tensor, y: Tensor) -> Tensor:
        """g (rows, n_classes), eq. 43: a row's sum over classes is λ_g where it is labelled, λ_u where not."""
        discriminative, generative, unlabelled = self.weights
        own = torch.zeros_like(p).scatter_(1, y.clamp(min=0)[:, None], discriminative + generative)
        return torch.where((y >= 0)[:, None], own.sub_(p, alpha=discriminative), p * unlabelled)

    def _class_activities(self, model: ClassificationRBM, g: Tensor, rows: _Rows) -> Tensor:
        """Σ over rows of g_k m_k (n_classes, n_hidden); Σ over classes of the same goes to the upper rows of h."""
        sums = torch.empty_like(model.U)
        activity = rows.h[rows.positive].zero_()
        for k in range(model.n_classes):
            mean = model.hidden.mean_(torch.add(rows.field, model.U[k], out=rows.mean))
            seen = model.hidden.interaction(mean)
            activity.addcmul_(seen, g[:, k : k + 1])
            torch.mv(seen.T, g[:, k], out=sums[k])
        rows.weights[rows.positive] = g.sum(1, keepdim=True)
        return sums

    def _begin_chains(
        self, model: ClassificationRBM, y: Tensor, log_p: Tensor, rows: _Rows, random: Random, step: int
    ) -> None:
        """The first hidden field of the samples in the lower rows of h, and what each sampled row weighs."""
        h, own = rows.h[rows.negative], rows.weights[rows.positive]
        if not self._persistent:
            torch.add(rows.field, self._first_classes(model, y, log_p, random) @ model.U, out=h)
            rows.weights[rows.negative] = -own
            return
        assert self.chains is not None
        mine = self.setting.world.slice(len(self.chains))
        random.at(step, self.chain_rows[mine])
        model.joint.field_h(self.chains[mine], out=h)
        whole = own.sum()
        self.setting.world.sum_([whole])
        rows.weights[rows.negative] = -whole / len(self.chains)

    def _first_classes(self, model: ClassificationRBM, y: Tensor, log_p: Tensor, random: Random) -> Tensor:
        """One-of-K classes at which the chains begin: the label, or a draw from p(y | v) where there is none."""
        own = torch.zeros_like(log_p).scatter_(1, y.clamp(min=0)[:, None], 1.0)
        if not self.weights[2]:
            return own
        return torch.where((y >= 0)[:, None], own, model.classes.sample_from_mean(log_p.exp(), random))

    def _run_chains(self, model: ClassificationRBM, rows: _Rows, random: Random) -> None:
        """``k`` Gibbs steps: samples (v, y) to the lower rows of x, their weighted hidden means to those of h."""
        rbm, n = model.joint, model.n_visible
        x, h = rows.x[rows.negative], rows.h[rows.negative]
        for _ in range(self.k):
            _, drawn_h = rbm.hidden.mean_and_sample_(h, random, out=rows.drawn_h)
            _, drawn = rbm.visible.mean_and_sample_(rbm.field_v(drawn_h, out=x), random)
            x[:, n:] = drawn[:, n:]
            if self.sample_visible:
                x[:, :n] = drawn[:, :n]
            rbm.field_h(x, out=h)
        if self._persistent:
            assert self.chains is not None
            self.chains[self.setting.world.slice(len(self.chains))] = x
        torch.mul(rbm.hidden.interaction(rbm.hidden.mean_(h)), rows.weights[rows.negative], out=h)

    def _write(self, model: ClassificationRBM, rows: _Rows, g: Tensor, total: int) -> None:
        """Gradients of the joint machine from both phases' rows; the data's part of U comes later.

        Weights of rows and samples sum to 0, so the sum of s_h(m) is the gradient of c in every family.
        """
        rbm: Any = model.joint
        n = model.n_visible
        rbm.W.grad.addmm_(rbm.visible.interaction(rows.x).T, rows.h, beta=0, alpha=-1.0 / total)
        torch.sum(rows.h, 0, out=rbm.c.grad).mul_(-1.0 / total)
        rbm.b.grad.zero_()
        rbm.b.grad[n:] = g.sum(0).mul_(-1.0 / total)
        if self._samples:
            statistic = model.visible.bias_statistic(rows.x[:, :n], model.b)
            rbm.b.grad[:n] = torch.mv(statistic.T, rows.weights[:, 0]).mul_(-1.0 / total)
            negative = rows.x[rows.negative, n:]
            rbm.b.grad[n:].add_(torch.mv(negative.T, rows.weights[rows.negative, 0]), alpha=-1.0 / total)

    # watching --------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def validate(self, model: Any, values: tuple[Tensor, ...], train: tuple[Tensor, ...]) -> dict[str, float]:
        """Error and mean −log p(y | v) on labelled validation rows; nothing where there are none."""
        v, y = values[0][values[1] >= 0], values[1][values[1] >= 0]
        if not len(v):
            return {}
        log_p = torch.cat([model.log_p_y_from_v(part) for part in v.split(ROWS_AT_ONCE)])
        return {
            "validation error": float((log_p.argmax(1) != y).double().mean()),
            "validation loss": float(nn.functional.nll_loss(log_p.double(), y)),
        }


def _check_codes(y: Tensor, n_classes: int) -> None:
    if y.dim() != 1 or y.is_floating_point():
        raise LabelError(
            f"class codes have shape {tuple(y.shape)} and type {y.dtype}; expected whole numbers (rows,), −1 for a row "
            f"without a label"
        )
    if int(y.min()) < -1 or int(y.max()) >= n_classes:
        raise LabelError(
            f"class codes lie in [{int(y.min())}, {int(y.max())}]; expected 0 to {n_classes - 1}, and −1 for a row "
            f"without a label"
        )
