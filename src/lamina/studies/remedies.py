"""What to do about each sickness: a sentence, and the options to change.

An option is named as the command line names it (``--hidden``) and as Python does (``MLP(sizes=...)``); where only one
of the two has it, the other is empty. A test holds every name against the parser and the signatures.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Option:
    """One thing to change: ``command`` for ``lamina learn``, ``python`` for the library; either may be empty."""

    python: str
    command: str = ""


@dataclass(frozen=True)
class Remedy:
    """``words`` are a sentence; ``options`` the things to change, the first one first."""

    words: str
    options: tuple[Option, ...]


REMEDIES: dict[str, Remedy] = {
    "diverging": Remedy(
        "Lower the learning rate to a tenth, or clip the gradient; check that the inputs are scaled.",
        (Option("fit(learning_rate=...)"), Option("fit(penalties=[MaxGradientNorm(1.0)])")),
    ),
    "unscaled inputs": Remedy(
        "Scale the inputs: pixels to [0, 1], other columns to mean 0, deviation 1; 'lamina learn' does it by itself.",
        (
            Option("X = (X - X.mean(0)) / X.std(0)", "--units gaussian"),
            Option("X = X / 255", "--units bernoulli"),
        ),
    ),
    "class imbalance": Remedy(
        "Weigh the rare classes more, or gather more of their rows; judge by the recall of each class, not the error.",
        (Option("BackPropagation(class_weight=[...])"), Option("", "--labels")),
    ),
    "label noise": Remedy(
        "Look at the rows that contradict their neighbours and correct their labels; until then stop early, and rather "
        "use the rows without their labels.",
        (Option("fit(patience=5)"), Option("fit(weight_decay=...)"), Option("", "--way adversarial")),
    ),
    "linear units": Remedy(
        "Use a unit that bends: several layers of linear units compute no more than one.",
        (Option('MLP(activation="relu")'),),
    ),
    "saturated units": Remedy(
        "Start from smaller weights, or use rectified units, which have no upper limit.",
        (Option('MLP(initial="auto")'), Option('MLP(activation="relu")'), Option("fit(learning_rate=...)")),
    ),
    "dead units": Remedy(
        "Start from biases of 0 and weights by He, lower the learning rate, or use units that always pass a gradient.",
        (Option('MLP(activation="leaky_relu")'), Option('MLP(initial="he")'), Option("fit(learning_rate=...)")),
    ),
    "rate too large": Remedy(
        "Lower the learning rate to a tenth, or let it fall.",
        (Option("fit(learning_rate=...)"), Option("fit(learning_rate=falling(..., epochs))")),
    ),
    "over-regularised": Remedy(
        "Take weight decay and dropout back: first make the network fit the training rows, then restrain it.",
        (Option("fit(weight_decay=0.0)"), Option("MLP(dropout=0.0)")),
    ),
    "vanishing gradients": Remedy(
        "Use rectified units or fewer layers, or learn the layers one by one without labels first.",
        (
            Option('MLP(activation="relu")'),
            Option("", "--hidden"),
            Option("pretrain(stack, X, rule, epochs=...)", "--protocol fine-tuned"),
        ),
    ),
    "rate too small": Remedy(
        "Raise the learning rate ten times, or use momentum or Adam.",
        (Option("fit(learning_rate=...)"), Option("fit(momentum=0.9)"), Option('fit(optimiser="adam")')),
    ),
    "stopped too early": Remedy("Train for more epochs.", (Option("fit(epochs=...)", "--epochs"),)),
    "too small a network": Remedy(
        "Use wider layers, or more of them.", (Option("MLP(sizes=...)", "--hidden"), Option("", "--layer"))
    ),
    "overfitting": Remedy(
        "Stop at the best validation epoch, use weight decay or dropout, get more rows (those without labels count: "
        "pre-train on them), or a smaller network.",
        (
            Option("fit(patience=5)"),
            Option("fit(weight_decay=...)"),
            Option("MLP(dropout=0.5)"),
            Option("pretrain(stack, X, rule, epochs=...)", "--protocol fine-tuned"),
            Option("", "--labels"),
        ),
    ),
    "cause not seen": Remedy(
        "Look inside: train again with health=True and diagnose that run; it tells vanishing gradients, saturated and "
        "dead units apart.",
        (Option("fit(health=True)"), Option("diagnose(history, facts=data_facts(X, y))")),
    ),
}

#: Other words for the same sickness in layers learnt without labels.
WITHOUT_LABELS: dict[str, Remedy] = {
    "rate too large": Remedy("Lower the learning rate to a tenth.", (Option("pretrain(learning_rate=...)"),)),
    "stopped too early": Remedy("Pre-train for more epochs.", (Option("pretrain(epochs=...)", "--epochs"),)),
    "overfitting": Remedy(
        "Use more rows, fewer hidden units, weight decay or fewer epochs of pre-training.",
        (
            Option("pretrain(epochs=...)", "--epochs"),
            Option("", "--hidden"),
            Option("pretrain(weight_decay=...)"),
        ),
    ),
}


#: Where the inside of the layers was seen and none of it is out of the ordinary.
SEEN_INSIDE = Remedy(
    "Nothing inside the network is out of the ordinary: try ten times the learning rate, and more epochs.",
    (Option("fit(learning_rate=...)"), Option("fit(epochs=...)", "--epochs")),
)


def remedy_of(sickness: str, *, supervised: bool, looked: bool = False) -> Remedy:
    """What to do about ``sickness``; ``looked`` says whether the inside of the network was seen."""
    if sickness == "cause not seen" and looked:
        return SEEN_INSIDE
    return REMEDIES[sickness] if supervised else WITHOUT_LABELS.get(sickness, REMEDIES[sickness])
