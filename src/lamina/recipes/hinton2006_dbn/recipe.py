"""A deep belief network learns digits together with their names: it reads them, and it dreams them on demand.

784-500-500-2000 units with ten label units beside the penultimate layer are trained greedily and then by the up-down
algorithm (contrastive wake-sleep), without a single back-propagated error. Reading a digit is one pass up and the label
of least free energy; writing one is Gibbs sampling in the top memory with a label held, and one pass down. As in the
paper, 10,000 of the training rows are kept for validation until the last stage, which learns from all 60,000.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.core.random import Random
from lamina.inference import Dream, deep_belief_bound, dream, log_partition
from lamina.models.energy import DBN
from lamina.recipes.context import Context
from lamina.recipes.digits import mnist
from lamina.recipes.hinton2006_dbn.hybrid_memory import teach_memory
from lamina.recipes.record import Images, Lines, Measured, Outcome
from lamina.training import ContrastiveDivergence, Schedule, UpDown, fit, pretrain_dbn

NAME = "hinton2006_dbn"
TITLE = "A deep belief network of digits and labels, trained greedily and by up-down"
PAPER = (
    "G. E. Hinton, S. Osindero, Y.-W. Teh (2006) A fast learning algorithm for deep belief nets. Neural Computation 18"
)
MINUTES = 25

SIDES, QUICK_SIDES = (784, 500, 500, 2000), (784, 200, 200, 500)
GREEDY_EPOCHS, QUICK_GREEDY_EPOCHS = (20, 20, 20), (5, 5, 8)
GREEDY_RATE = 0.1
STAGES = ((3, 8), (6, 6), (10, 10))  # the memory's Gibbs steps per update, and epochs
QUICK_STAGES = ((1, 4), (3, 3))
RATES = ((0.02, 0.02), (0.02, 0.014), (0.014, 0.0003))  # first and last learning rate of each stage
MOMENTUM = Schedule(((0.0, 0.5), (2.0, 0.9)))
WEIGHT_DECAY = 2e-4
CHAIN_STEPS = (1, 3, 10, 30, 100, 300, 1000, 2000, 3000, 4000)
TEMPERATURES, QUICK_TEMPERATURES = 10_000, 300
PUBLISHED = {"greedy": 2.49, "up-down": 1.25}  # error in %, MNIST test


def run(context: Context) -> Outcome:
    digits = Digits(context)
    greedy: Any = context.model("greedy", lambda: learn_greedily(context, digits), digits.about)
    network = greedy
    for stage in range(len(stages(context))):
        make = partial(learn_up_down, context, digits, deepcopy(network), stage)
        network = context.model(f"up-down {stage + 1}", make, digits.about)
    results = [test_error(context, digits, name, dbn) for name, dbn in (("greedy", greedy), ("up-down", network))]
    taught = context.model(
        "hybrid memory", lambda: teach_memory(context, network, torch.from_numpy(digits.X), digits.y), digits.about
    )
    results.append(test_error(context, digits, "up-down, memory by the hybrid objective", taught))
    results.append(average_of_draws(context, digits, network))
    results.append(bound(context, digits, network))
    return Outcome(results, deviations(context), [context.seed], [*dreams(context, network), curves(context)])


class Digits:
    """Grey values in [0, 1] and class codes: rows to learn from, rows kept for validation, official test rows."""

    about = {"shape": (1, 28, 28), "classes": [str(k) for k in range(10)]}

    def __init__(self, context: Context) -> None:
        parts = mnist(context, quick_rows=8000, quick_test=2000)
        self.X, self.y = parts.full.X, parts.full.y
        self.learnt = len(self.X) - len(self.X) // 6  # 50,000 of 60,000
        self.X_test, self.y_test = parts.test.X, parts.test.y

    @property
    def validation(self) -> tuple[np.ndarray, np.ndarray]:
        return self.X[self.learnt :], self.y[self.learnt :]


def stages(context: Context) -> tuple[tuple[int, int], ...]:
    return QUICK_STAGES if context.quick else STAGES


def falling(epochs: int, first: float, last: float, hold: float = 0.0) -> Schedule:
    """A rate that stays for the share ``hold`` of the epochs and then moves on a straight line to its last value."""
    return Schedule(((hold * epochs, first), (float(epochs), last)), linear=True)


def memory_rule(k: int) -> ContrastiveDivergence:
    """CD-k in centred parameters: with plain ones, 2,000 units that all move together diverge at this learning rate."""
    return ContrastiveDivergence(k, centred=True)


def learn_greedily(context: Context, digits: Digits) -> DBN:
    """Layer after layer by CD-1; the memory learns draws of the penultimate layer beside the labels."""
    dbn = DBN(QUICK_SIDES if context.quick else SIDES, n_classes=10)
    epochs = QUICK_GREEDY_EPOCHS if context.quick else GREEDY_EPOCHS
    context.say(f"greedy training: {epochs} epochs over {digits.learnt:,} rows")
    pretrain_dbn(
        dbn,
        digits.X[: digits.learnt],
        digits.y[: digits.learnt],
        lambda k: memory_rule(1) if k == len(dbn.directed) else ContrastiveDivergence(1, sample_visible=False),
        epochs=epochs,
        learning_rate=[falling(n, GREEDY_RATE, GREEDY_RATE / 50, hold=0.5) for n in epochs],
        momentum=MOMENTUM,
        weight_decay=WEIGHT_DECAY,
        random_state=context.seed,
        device=context.device,
        checkpoint=context.stage("greedy") / "checkpoint",
        callbacks=lambda k: context.callbacks(f"greedy, layer {k + 1}"),
    )
    return dbn


def learn_up_down(context: Context, digits: Digits, dbn: DBN, stage: int) -> DBN:
    """One stage of the up-down algorithm; the last one learns from the validation rows too."""
    (k, epochs), last = stages(context)[stage], stage == len(stages(context)) - 1
    rows = len(digits.X) if last else digits.learnt
    context.say(f"up-down, k = {k}: {epochs} epochs over {rows:,} rows")
    first, end = RATES[-1] if last else RATES[stage]
    history = fit(
        dbn,
        (digits.X[:rows], digits.y[:rows]),
        UpDown(memory_rule(k)),
        epochs=epochs,
        learning_rate=falling(epochs, first, end),
        momentum=MOMENTUM,
        weight_decay=WEIGHT_DECAY,
        validation=None if last else digits.validation,
        random_state=Random(context.seed).child("up-down", stage),
        device=context.device,
        checkpoint=context.stage(f"up-down {stage + 1}") / "checkpoint",
        callbacks=context.callbacks(f"up-down, k = {k}"),
    )
    context.keep(f"curve {stage + 1}", lambda: [100 * e for e in history["validation error"] if e is not None])
    return dbn


def test_error(context: Context, digits: Digits, name: str, dbn: DBN) -> Measured:
    """Share of test rows whose label of least free energy is wrong, after one deterministic pass up."""
    value = context.keep(f"test error {name}", lambda: wrong(dbn.classify, digits, dbn))
    published = PUBLISHED.get(name)
    return Measured(f"test error, {name}", 100 * value, published=published, unit="%", higher_is_better=False)


def wrong(classify: Callable[[Tensor], Tensor], digits: Digits, dbn: DBN) -> float:
    rows = torch.from_numpy(digits.X_test).to(dbn.top.W)
    with torch.no_grad():
        found = torch.cat([classify(chunk) for chunk in rows.split(1000)])
    return float((found.cpu().numpy() != digits.y_test).mean())


def average_of_draws(context: Context, digits: Digits, dbn: DBN, n: int = 20) -> Measured:
    """Test error where p(y | v) is averaged over draws of the pass up instead of one pass of means."""

    def classify(v: Tensor) -> Tensor:
        return dbn.class_probabilities(v, n_samples=n, random_state=context.seed).argmax(-1)

    value = context.keep("errors draws", lambda: wrong(classify, digits, dbn))
    what = f"test error, up-down, mean of {n} stochastic passes"
    return Measured(what, 100 * value, unit="%", higher_is_better=False)


def bound(context: Context, digits: Digits, dbn: DBN) -> Measured:
    """The variational bound on log p(v) of test rows whose pixels are drawn once from their grey values."""

    def make() -> dict:
        temperatures = QUICK_TEMPERATURES if context.quick else TEMPERATURES
        context.say(f"annealing the memory over {temperatures:,} temperatures for its log Z")
        mean = memory_mean(digits, dbn)
        z = log_partition(dbn.top, n_chains=100, betas=temperatures, data_mean=mean, random_state=context.seed)
        test = Random(context.seed).child("test pixels").bernoulli(torch.from_numpy(digits.X_test))
        found = deep_belief_bound(dbn, test.to(dbn.top.W), z.log_z, n_samples=10, random_state=context.seed)
        trust = (
            f"log Z {z.log_z:.2f} in [{z.low:.2f}, {z.high:.2f}], effective sample size {z.effective_sample_size:.0f}"
        )
        note = f"{trust} of 100 chains; Monte Carlo error {found.standard_error:.2f}; pixels drawn once"
        return {"mean": found.mean, "note": note if z.warning is None else f"{note}; {z.warning}"}

    found = context.keep("bound", make)
    return Measured("lower bound on log p(v), test rows", found["mean"], unit="nats", note=found["note"])


@torch.no_grad()
def memory_mean(digits: Digits, dbn: DBN) -> Tensor:
    """Means of the memory's visible units over a few thousand training rows: where annealing starts."""
    rows = torch.from_numpy(digits.X[:5000]).to(dbn.top.W)
    codes = dbn.encode(rows, len(dbn.directed))
    return dbn.with_labels(codes, torch.from_numpy(digits.y[:5000]).to(rows.device)).mean(0)


def dreams(context: Context, dbn: DBN) -> list[Images]:
    """Ten digits of each class after a long chain, and what single chains show on their way."""
    steps = 100 if context.quick else 1000
    random = Random(context.seed).child("dreams")
    labels = torch.arange(10).repeat_interleave(10)
    context.say(f"dreaming: 100 chains of {steps:,} steps")
    many = dream(dbn, labels, steps=steps, random_state=random.child("many"))
    grid = Images(
        "Digits dreamt with a label held",
        pictures(many.v, 10),
        tuple(str(k) for k in range(10)),
        note=f"ten chains per class from random states, {steps:,} Gibbs steps in the memory, one pass down; means",
    )
    path, now, done = [], None, 0
    for k, target in enumerate([s for s in CHAIN_STEPS if s <= (300 if context.quick else CHAIN_STEPS[-1])]):
        now = step_on(dbn, now, target - done, random.child("one", k))
        done = target
        path.append(now.v)
    shown = [s for s in CHAIN_STEPS if s <= done]
    running = Images(
        "What one chain per class sees as it runs",
        pictures(torch.stack(path, 1).flatten(0, 1), len(shown)),
        tuple(str(k) for k in range(10)),
        note="after " + ", ".join(f"{s:,}" for s in shown) + " steps",
    )
    return [grid, running]


def step_on(dbn: DBN, now: Dream | None, steps: int, random: Random) -> Dream:
    return dream(dbn, torch.arange(10), steps=steps, start=now, random_state=random)


def pictures(v: Tensor, n_columns: int) -> np.ndarray:
    """Rows (n, 784), class after class, as a grid (10, n_columns, 28, 28)."""
    return v.detach().cpu().numpy().reshape(10, n_columns, 28, 28)


def curves(context: Context) -> Lines:
    """Validation error over the up-down epochs in which the validation rows were still kept."""
    series: dict[str, tuple] = {}
    done = 0
    for stage, (k, epochs) in enumerate(stages(context)[:-1]):
        values = context.keep(f"curve {stage + 1}", list)
        series[f"k = {k}"] = (np.arange(done + 1, done + len(values) + 1), values)
        done += epochs
    return Lines("Validation error during up-down", "epoch", "% wrong", series)


def deviations(context: Context) -> list[str]:
    spent = ", ".join(f"{epochs} with k = {k}" for k, epochs in stages(context))
    greedy = ", ".join(map(str, QUICK_GREEDY_EPOCHS if context.quick else GREEDY_EPOCHS))
    found = [
        f"Epochs: {greedy} per greedy layer (paper: 30) and up-down {spent} (paper: 100 each with k = 3, 6, 10).",
        "Learning rates fall on straight lines; momentum 0.9 after two epochs; weight decay 2e-4; batches of 100 "
        "shuffled rows (the paper's are balanced over classes).",
        "The memory's gradient is taken in centred parameters: plain ones need a rate five times smaller.",
        "Gradients of the memory and of greedy layers use means of the last hidden states; the paper uses states.",
        "One run, one seed; the paper chose its epochs by validation error. Rates and epochs were set here while the "
        "validation error was watched, before any test row was looked at. The greedy network has seen 50,000 rows.",
        "The bound is not in the paper; the network learnt from grey values, the bound is of pixels drawn from them.",
    ]
    found.append(
        "The hybrid memory is not in the paper: after up-down, the memory alone learns all rows by its exact "
        "discriminative gradient with 0.02 of the generative one (Larochelle and Bengio 2008), 6 passes of Adam."
    )
    if context.quick:
        found.insert(
            0, "QUICK: layers 784-200-200-500, 8,000 rows, 2,000 test rows: the numbers only show that all runs."
        )
    return found
