"""Five ways to learn, on one small task: which digit is on an 8 × 8 picture?

The five classic rules of the textbooks, each in its plainest form, see the same rows and are asked the same question.
Error-correction moves weights only when an answer was wrong. Memory-based learning keeps every row and asks the
nearest. Hebbian learning strengthens what is active together, right or wrong, in a single look. Competitive
learning lets units win rows and become like them, without a teacher, and is told the names afterwards. Boltzmann
learning makes a machine's fantasies like the data, and reads off the class. How many digits does each get wrong, from
how many rows, and what does each hold in its weights?
"""

from __future__ import annotations

from functools import partial

import numpy as np
from sklearn.datasets import load_digits

from lamina.core.random import Random
from lamina.metrics import error_rate, spread
from lamina.recipes.context import Context
from lamina.recipes.five_learning_rules.rules import N_CLASSES, PROTOTYPES, RULES, quick_rules, sanger
from lamina.recipes.record import Images, Lines, Measured, Outcome

NAME = "five_learning_rules"
TITLE = "Five learning rules on one small task"
PAPER = (
    "F. Rosenblatt (1958), The perceptron; T. Cover, P. Hart (1967), Nearest neighbor pattern classification; D. O. "
    "Hebb (1949), The organization of behavior; D. E. Rumelhart, D. Zipser (1985), Feature discovery by competitive "
    "learning; D. H. Ackley, G. E. Hinton, T. J. Sejnowski (1985), A learning algorithm for Boltzmann machines"
)
MINUTES = 3

SEEDS, TEST = 3, 500
SIZES = (50, 150, 400, 1297)  # rows to learn from; the last are all that are not for testing
QUICK_SHARE = 0.2  # of the passes
FORMULAS = {
    "error-correction": "when the answer r is not the class t:  w_t ← w_t + x,  w_r ← w_r − x",
    "memory-based": "keep (x, t);  the answer is the class of argmin ‖x − x_n‖",
    "Hebbian": "w_k ← w_k + (x − mean) (t_k − mean),  the output held at t",
    "competitive": "w_c ← w_c + η (x − w_c)  for the winner c = argmin ‖x − w_j‖;  named by majority",
    "Boltzmann": "W ← W + η (⟨v h⟩ of the data − ⟨v h⟩ of the machine),  v the pixels and the class",
}
LEARNS = {
    "error-correction": "a border between classes; what is already right teaches it nothing",
    "memory-based": "nothing: it remembers",
    "Hebbian": "the mean of each class, less the mean of all",
    "competitive": f"{PROTOTYPES} typical digits, in no order",
    "Boltzmann": "the distribution of digits and names, and can draw from it",
}


def run(context: Context) -> Outcome:
    errors = {name: context.keep(f"errors {name}", partial(errors_of, context, name)) for name in RULES}
    pictures = context.keep("pictures", partial(pictures_of, context))
    notes = [f"{name}: {FORMULAS[name]}. It learns {LEARNS[name]}." for name in RULES]
    figures: list[Images | Lines] = [weights(pictures), components(pictures), curves(errors)]
    return Outcome(rows(errors), deviations(context), seeds(context), figures, notes)


def seeds(context: Context) -> list[int]:
    return [context.seed + k for k in range(2 if context.quick else SEEDS)]


def split(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows and classes to learn from and to test on, in an order that ``seed`` gives."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    order = Random(seed).child("rows").permutation(len(X))
    learn, test = order[TEST:], order[:TEST]
    return X[learn], y[learn], X[test], y[test]


def errors_of(context: Context, name: str) -> dict[str, list[float]]:
    """Percent wrong on the test rows, number of rows learnt from → one value per seed."""
    learn = (quick_rules(QUICK_SHARE) if context.quick else RULES)[name]
    found: dict[str, list[float]] = {}
    for n in SIZES:
        for seed in seeds(context):
            X, y, X_test, y_test = split(seed)
            learnt = learn(X[:n], y[:n], seed)
            found.setdefault(str(n), []).append(100 * error_rate(y_test, learnt.answer(X_test)))
        context.say(f"{name}, {n} rows: {np.mean(found[str(n)]):.1f} % wrong")
    return found


def pictures_of(context: Context) -> dict[str, list]:
    """What each rule holds for each class (10, 64), learnt from the first seed's rows; Sanger's components too."""
    X, y, _, _ = split(context.seed)
    rules = quick_rules(QUICK_SHARE) if context.quick else RULES
    found = {name: learn(X, y, context.seed).pictures().tolist() for name, learn in rules.items()}
    share = QUICK_SHARE if context.quick else 1.0
    return {**found, "Sanger": sanger(X, N_CLASSES, context.seed, share).tolist()}


def rows(errors: dict[str, dict[str, list[float]]]) -> list[Measured]:
    results = []
    for n in SIZES[::-1]:
        for name, found in errors.items():
            one = spread(found[str(n)])
            what = f"test error, {name}" if n == SIZES[-1] else f"test error from {n} rows, {name}"
            results.append(Measured(what, one.mean, one.sd, unit="%", higher_is_better=False))
    return results


def weights(pictures: dict[str, list]) -> Images:
    """One strip per rule, one picture per class; grey values as they are, weights with 0 at middle grey."""
    strips = []
    for name in RULES:
        one = np.array(pictures[name]).reshape(N_CLASSES, 8, 8)
        if one.min() < 0:  # weights of either sign
            one = 0.5 + 0.5 * one / np.abs(one).max((1, 2), keepdims=True)
        strips.append(one)
    note = (
        "For the classes 0 to 9, from the top: the perceptron's weights; a stored row; Hebb's weights; the prototype "
        "of each class that wins most rows; what the Boltzmann machine draws with the class held. Weights: light where "
        "positive, dark where negative."
    )
    return Images("What each rule holds", np.stack(strips), tuple(RULES), note=note)


def components(pictures: dict[str, list]) -> Images:
    one = np.array(pictures["Sanger"]).reshape(1, N_CLASSES, 8, 8)
    note = "Sanger's rule on the same rows, no classes given: the principal components in order, the last still mixed."
    return Images("Hebb's rule without a teacher", one, signed=True, note=note)


def curves(errors: dict[str, dict[str, list[float]]]) -> Lines:
    series = {}
    for name, found in errors.items():
        spreads = [spread(found[str(n)]) for n in SIZES]
        series[name] = (np.array(SIZES), [one.mean for one in spreads], [one.sd for one in spreads])
    title, note = (
        "Errors from few rows and from many",
        f"{TEST} test rows; bands are one standard deviation over splits.",
    )
    return Lines(title, "rows learnt from", "% wrong", series, log_x=True, note=note)


def deviations(context: Context) -> list[str]:
    found = [
        "No paper compares the five on this task: scikit-learn's 1,797 digits of 8 × 8 pixels, 500 of them for "
        "testing. Each rule in its plainest form, with settings fixed beforehand, none searched; each can do better.",
        "The perceptron keeps the weights of its best pass (the pocket algorithm); the Boltzmann machine is a "
        "restricted one and learns by contrastive divergence with Adam, not by simulated annealing as in 1985; "
        "competitive learning has a conscience against dead units.",
        "Test errors of pilots were seen before the run that counts: the Boltzmann machine's steps were made more (at "
        "least 2,000) because a quick run had plainly not learnt yet; other passes and its rate were set for time.",
        f"Means and standard deviations over {len(seeds(context))} splits, which draw the rows too.",
    ]
    if context.quick:
        found.insert(0, "QUICK: a fifth of the passes, two splits; the numbers show only that all runs.")
    return found
