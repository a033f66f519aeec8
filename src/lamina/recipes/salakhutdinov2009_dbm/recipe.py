"""A deep Boltzmann machine of digits: how probable it finds new ones, what it dreams, and how well it reads.

784-500-1000 binary units learn MNIST with pixels drawn anew for every batch: greedy pre-training with doubled weights,
then all layers together, by mean-field inference for the digits and persistent Gibbs chains for the machine. log Z is
estimated by annealed importance sampling, which gives a lower bound on the log-probability of test digits; a second
estimate that does without log Z errs on the other side. The machine fills in digits of which the half is hidden, and
initialises a network that reads them: its inputs are a digit beside the means of the second layer.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.core.random import Random
from lamina.inference import (
    augmented_rows,
    conservative_deep_bound,
    deep_boltzmann_bound,
    deep_mean_field,
    deep_samples,
    fill_in,
    log_partition,
)
from lamina.models.convert import dbm_classifier
from lamina.models.energy import DBM
from lamina.models.networks import MLP
from lamina.recipes.context import Context
from lamina.recipes.digits import mnist
from lamina.recipes.record import Images, Lines, Measured, Outcome
from lamina.training import (
    History,
    MeanFieldPCD,
    RedrawnInput,
    Schedule,
    adversarial_radius,
    falling,
    fine_tune,
    fit,
    pretrain_deep,
    warm_momentum,
)
from lamina.units import Bernoulli

NAME = "salakhutdinov2009_dbm"
TITLE = "A deep Boltzmann machine of digits: likelihood, dreams and reading"
PAPER = "R. Salakhutdinov, G. E. Hinton (2009) Deep Boltzmann machines. AISTATS"
MINUTES = 50

SIZES, QUICK_SIZES = (784, 500, 1000), (784, 100, 150)
QUICK_ROWS, QUICK_TEMPERATURES, QUICK_STEPS = 2000, 300, 100
PRETRAIN_EPOCHS, EPOCHS, MORE_EPOCHS = (5, 5), 45, 40
LEARNING_RATE = 0.04
K, N_CHAINS = 2, 100
TOLERANCE, MAX_ITERATIONS = 1e-3, 10
TEMPERATURES, CONSERVATIVE_TEMPERATURES, CONSERVATIVE_ROWS = 20_000, 10_000, 200
ADVERSARIAL_EPOCHS = 8
FINE_TUNING = {"epochs": 25, "dropout": 0.5, "input_dropout": 0.2, "learning_rate": 1e-3}
BINARISATION_SEED = 2009
SHAPE = {"shape": (1, 28, 28)}


def run(context: Context) -> Outcome:
    digits = Digits(context)
    first: Any = context.model("machine", lambda: learn(context, digits), SHAPE)
    plain = context.keep("reading", lambda: read(context, digits, first, "network"))
    smooth = context.keep("reading adversarial", lambda: read(context, digits, first, "network adversarial"))
    machine: Any = context.model("machine longer", lambda: learn_longer(context, digits, deepcopy(first)), SHAPE)
    found = context.keep("likelihood longer", lambda: likelihood(context, digits, machine))
    results = [*rows_of(found), *reading_rows(plain, smooth)]
    return Outcome(results, deviations(context), [context.seed], figures(context, digits, machine))


class Digits:
    """Training rows as grey values (their means), test rows as grey values and drawn once from them, class codes."""

    def __init__(self, context: Context) -> None:
        parts = mnist(context, quick_rows=QUICK_ROWS, quick_test=500)
        self.grey, self.y = torch.from_numpy(parts.full.X), parts.full.y
        self.grey_test, self.y_test = torch.from_numpy(parts.test.X), parts.test.y
        self.test = Random(BINARISATION_SEED).child("test rows").bernoulli(self.grey_test)
        self.mean = self.grey.mean(0)


# learning -------------------------------------------------------------------------------------------------------------


def learn(context: Context, digits: Digits) -> DBM:
    """Greedy pre-training of the two pairs of layers, then the whole machine."""
    random = Random(context.seed).child(NAME)
    sizes = QUICK_SIZES if context.quick else SIZES
    machine = DBM(*sizes, random_state=random).initialise(random, digits.mean)
    before, epochs = ((2, 2), 4) if context.quick else (PRETRAIN_EPOCHS, EPOCHS)
    context.say(f"pre-training: {before} passes over {len(digits.grey):,} rows")
    pretrain_deep(
        machine,
        digits.grey,
        epochs=before,
        learning_rate=0.05,
        momentum=warm_momentum(max(before), switch=2),
        redraw=True,
        random_state=random.child("pre-training"),
        device=context.device,
        checkpoint=context.stage("machine") / "pre-training",
        callbacks=lambda k: context.callbacks(f"layers {k} and {k + 1}"),
    )
    history = learn_together(context, digits, machine, epochs, "machine", random.child("learning"))
    context.keep("iterations", lambda: history["mean-field iterations"])
    return machine


def learn_longer(context: Context, digits: Digits, machine: DBM) -> DBM:
    """A second round, from fresh chains and the first learning rate again: what the likelihood is measured of."""
    random = Random(context.seed).child(NAME).child("learning longer")
    learn_together(context, digits, machine, 2 if context.quick else MORE_EPOCHS, "machine longer", random)
    return machine


def learn_together(context: Context, digits: Digits, machine: DBM, epochs: int, stage: str, random: Random) -> History:
    """All layers at once, at a rate that falls to zero, with pixels drawn anew for every batch."""
    context.say(f"{stage}: {epochs} passes, all layers together")
    return fit(
        machine,
        digits.grey,
        RedrawnInput(
            MeanFieldPCD(K, N_CHAINS, tolerance=TOLERANCE, max_iterations=MAX_ITERATIONS, centred=True),
            Bernoulli(SIZES[0]),
        ),
        epochs=epochs,
        batch_size=100,
        learning_rate=Schedule(((0.0, LEARNING_RATE), (float(epochs), 0.0)), linear=True),
        random_state=random,
        device=context.device,
        checkpoint=context.stage(stage) / "checkpoint",
        checkpoint_seconds=60.0,
        callbacks=context.callbacks("all layers"),
    )


# likelihood -----------------------------------------------------------------------------------------------------------


def likelihood(context: Context, digits: Digits, machine: DBM) -> dict:
    """log Z, the mean bound over all test rows with it, and the conservative bound of some of them."""
    few = context.quick
    with torch.no_grad():
        inferred = deep_mean_field(machine, digits.grey[:5000].to(machine.b[0]), tolerance=1e-3, max_iterations=30)
    context.say("annealing")
    z = log_partition(
        machine.as_rbm("odd"),
        n_chains=100,
        betas=QUICK_TEMPERATURES if few else TEMPERATURES,
        data_mean=inferred.means[0].mean(0),
        random_state=1,
    )
    bound = deep_boltzmann_bound(machine, digits.test, z)
    spread = slice(None, None, len(digits.test) // (20 if few else CONSERVATIVE_ROWS))
    rows = digits.test[spread]
    betas = QUICK_TEMPERATURES if few else CONSERVATIVE_TEMPERATURES
    context.say(f"annealing back from {len(rows)} test rows")
    conservative = conservative_deep_bound(machine, rows, betas, data_mean=digits.mean, random_state=2)
    return {
        "log_z": z.log_z,
        "low": z.low,
        "high": z.high,
        "effective_sample_size": z.effective_sample_size,
        "n_temperatures": z.n_temperatures,
        "warning": z.warning,
        "bound": float(bound.mean()),
        "standard_error": float(bound.std()) / len(bound) ** 0.5,
        "rows": len(bound),
        "training bound": float(deep_boltzmann_bound(machine, drawn_training_rows(digits), z).mean()),
        "bound, same rows": float(bound[spread].mean()),
        "conservative": float(conservative.mean()),
        "conservative rows": len(rows),
        "conservative temperatures": betas,
    }


def drawn_training_rows(digits: Digits) -> Tensor:
    """As many training rows as there are test rows, evenly spaced and drawn once from their grey values."""
    few = digits.grey[:: len(digits.grey) // len(digits.test)][: len(digits.test)]
    return Random(BINARISATION_SEED).child("training rows").bernoulli(few)


def rows_of(found: dict) -> list[Measured]:
    """The lines of the table about likelihood."""
    trust = f"effective sample size {found['effective_sample_size']:.0f} of 100; log Z {found['log_z']:.2f} in "
    trust += (
        f"[{found['low']:.2f}, {found['high']:.2f}], {found['n_temperatures']:,} temperatures; standard error over "
    )
    trust += f"{found['rows']:,} rows {found['standard_error']:.2f}"
    about = f"without log Z, {found['conservative rows']} evenly spaced test rows (the bound above is "
    about += f"{found['bound, same rows']:.2f} on them), {found['conservative temperatures']:,} temperatures"
    title = "lower bound on the test log-probability"
    return [
        Measured(title, found["bound"], 0.0, -84.62, "nats", note=trust),
        Measured("lower bound, training rows", found["training bound"], unit="nats", note="as many as test rows"),
        Measured(f"{title}, conservative", found["conservative"], unit="nats", note=about),
    ]


# reading --------------------------------------------------------------------------------------------------------------


def read(context: Context, digits: Digits, machine: DBM, stage: str) -> dict:
    """Test errors of a network that begins at the machine's weights; ``stage`` names the way it is fine-tuned."""
    learn_it = {"network": fine_tune_with_dropout, "network adversarial": fine_tune_adversarially}[stage]
    network: Any = context.model(stage, lambda: learn_it(context, digits, machine))
    with torch.no_grad():
        rows = augmented_rows(machine, digits.grey_test.to(machine.b[0]))
        answers = torch.cat([network(part).argmax(1) for part in rows.split(1000)]).cpu().numpy()
    return {"wrong": int((answers != digits.y_test).sum()), "rows": len(answers)}


def fine_tune_with_dropout(context: Context, digits: Digits, machine: DBM) -> MLP:
    """Back-propagation through the network of `dbm_classifier`, with dropout."""
    epochs = 3 if context.quick else int(FINE_TUNING["epochs"])
    options = {name: FINE_TUNING[name] for name in ("dropout", "input_dropout")}
    network = dbm_classifier(machine, 10, **options, random_state=context.seed)
    context.say(f"fine-tuning: {epochs} passes over {len(digits.grey):,} rows")
    fine_tune(
        network,
        augmented_rows(machine, digits.grey.to(machine.b[0])),
        digits.y,
        epochs=epochs,
        learning_rate=falling(FINE_TUNING["learning_rate"], epochs, hold=0.3),
        random_state=Random(context.seed).child(NAME, "fine-tuning"),
        device=context.device,
        checkpoint=context.stage("network") / "checkpoint",
        callbacks=context.callbacks("fine-tuning"),
    )
    return network


def fine_tune_adversarially(context: Context, digits: Digits, machine: DBM) -> MLP:
    """The same network, asked besides that its answer not change under small changes of its inputs."""
    epochs = 1 if context.quick else ADVERSARIAL_EPOCHS
    network = dbm_classifier(machine, 10, random_state=context.seed)
    rows = augmented_rows(machine, digits.grey.to(machine.b[0]))
    random = Random(context.seed).child(NAME, "adversarial")
    context.say(f"adversarial fine-tuning: {epochs} passes over {len(rows):,} rows")
    fine_tune(
        network,
        rows,
        digits.y,
        rows,
        method="adversarial",
        epochs=epochs,
        learning_rate=falling(1e-3, epochs, hold=0.3),
        radius=adversarial_radius(rows, random),
        random_state=random,
        device=context.device,
        checkpoint=context.stage("network adversarial") / "checkpoint",
        callbacks=context.callbacks("adversarial fine-tuning"),
    )
    return network


def reading_rows(plain: dict, smooth: dict) -> list[Measured]:
    """The lines of the table about reading."""
    lines = []
    for name, found, published in (("", plain, 0.95), (", virtual adversarial", smooth, None)):
        error = 100 * found["wrong"] / found["rows"]
        note = f"{found['wrong']} of {found['rows']:,} test rows; one seed"
        what = f"test error after fine-tuning{name}"
        lines.append(Measured(what, error, 0.0, published, "%", higher_is_better=False, note=note))
    return lines


# what is told and shown -----------------------------------------------------------------------------------------------


def deviations(context: Context) -> list[str]:
    """Where this differs from the paper."""
    reading = FINE_TUNING
    return [
        f"{PRETRAIN_EPOCHS[0]} and {PRETRAIN_EPOCHS[1]} passes of pre-training by CD-1 and two rounds of {EPOCHS} and "
        f"{MORE_EPOCHS} passes of learning, each at a rate that falls linearly from {LEARNING_RATE} to 0, with {K} "
        f"Gibbs steps of {N_CHAINS} chains; the paper made 300 passes with 5 steps of 100 chains.",
        "Centred gradients (Montavon and Müller 2012); no sparsity target, no momentum and no weight decay.",
        f"Mean-field iterations of a batch stop at a mean change of {TOLERANCE:g} per unit, or after {MAX_ITERATIONS}.",
        f"Pixels are drawn anew for every batch; test rows once from their grey values (seed {BINARISATION_SEED}).",
        "Annealing keeps h_1 and sums v and h_2 out, from a base with the mean of h_1 over training rows.",
        "Both networks begin at the machine of the first round; their settings were not tuned.",
        f"Fine-tuning is {reading['epochs']} passes of Adam with dropout ({reading['dropout']:g} hidden, "
        f"{reading['input_dropout']:g} inputs) on grey values; the paper used conjugate gradients without dropout.",
        f"A second network learns {ADVERSARIAL_EPOCHS} passes by virtual adversarial training (Miyato et al. 2018), "
        "which is not in the paper.",
        "The conservative bound is not in the paper: RAISE (Burda, Grosse, Salakhutdinov 2015) on v and a draw "
        "of h_2. It sums h_1 exactly, so that it may lie above the mean-field bound.",
        *(
            ["Quick version: 784-100-150, 2,000 rows, a few passes, few temperatures and Gibbs steps."]
            if context.quick
            else []
        ),
    ]


def figures(context: Context, digits: Digits, machine: DBM) -> list[Images | Lines]:
    """Dreams, digits filled in, filters of the first layer, and the course of inference while learning."""
    iterations = context.keep("iterations", list)
    return [
        dreams(context, digits, machine),
        filled(context, digits, machine),
        Images("Filters of the first layer", pictures(machine.W[0].detach().T[:64], 4), signed=True),
        Lines(
            "Mean-field iterations per batch",
            "pass over the rows",
            "iterations",
            {"learning": (list(range(1, len(iterations) + 1)), iterations)},
            note=f"until the mean change of a unit is below {TOLERANCE:g}",
        ),
    ]


def dreams(context: Context, digits: Digits, machine: DBM) -> Images:
    """Test rows, and E[v | h_1] of chains from nowhere after ever more steps."""
    lengths, n = (1, QUICK_STEPS // 10, QUICK_STEPS) if context.quick else (100, 1000, 10_000), 16
    rows, state, done = [digits.test[:n]], None, 0
    for steps in lengths:
        options: dict[str, Any] = {"steps": steps - done, "random_state": Random(5).child(steps), "start": state}
        mean, state = deep_samples(machine, n, **options)
        rows.append(mean.cpu())
        done = steps
    captions = ("test rows", *(f"after {steps:,} Gibbs steps from nowhere" for steps in lengths))
    return Images("Digits and dreams", np.stack([pictures(part, 1)[0] for part in rows]), captions)


def filled(context: Context, digits: Digits, machine: DBM) -> Images:
    """One test digit of each class, its right or lower half hidden, and what the machine expects there."""
    chosen = torch.from_numpy(np.array([int(np.flatnonzero(digits.y_test == k)[0]) for k in range(10)]))
    v = digits.test[chosen].to(machine.b[0])
    halves = {"right": torch.zeros(28, 28, dtype=torch.bool), "lower": torch.zeros(28, 28, dtype=torch.bool)}
    halves["right"][:, :14] = True
    halves["lower"][:14] = True
    rows, captions = [v], ["test digits"]
    for name, known in halves.items():
        mask = known.reshape(-1).to(v.device)
        expected = fill_in(machine, v, mask, steps=QUICK_STEPS if context.quick else 2000, random_state=6)
        rows += [torch.where(mask, v, torch.full_like(v, float("nan"))), expected]
        captions += [f"{name} half hidden", f"{name} half filled in"]
    shown = np.stack([pictures(part, 1)[0] for part in rows])
    return Images("Digits of which the half is hidden", shown, tuple(captions))


def pictures(rows: Tensor, n_rows: int) -> np.ndarray:
    """Rows (n, 784) as (n_rows, n / n_rows, 28, 28)."""
    return rows.cpu().numpy().reshape(n_rows, -1, 28, 28)
