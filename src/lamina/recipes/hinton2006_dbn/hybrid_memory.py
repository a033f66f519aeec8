"""Beyond the paper: the memory of a trained network learns to tell the classes apart as well as to model them.

The memory over [penultimate units, labels] is a classification machine. Its exact discriminative gradient, with a
little of the generative one (Larochelle and Bengio 2008), moves its weights alone; the layers below, and with them what
the network dreams through, stay as they are.
"""

from __future__ import annotations

from copy import deepcopy

import torch

from lamina.core.random import Random
from lamina.models.energy import DBN, ClassificationRBM
from lamina.recipes.context import Context
from lamina.training import HybridClassification, encode_rows, falling, fit

EPOCHS, QUICK_EPOCHS = 6, 2
GENERATIVE_WEIGHT = 0.02
LEARNING_RATE = 5e-4


def teach_memory(context: Context, dbn: DBN, X: torch.Tensor, y) -> DBN:
    """A copy of ``dbn`` whose memory has learnt rows X (n, n_visible) with codes y (n,) by the hybrid objective."""
    network = deepcopy(dbn)
    depth = len(network.directed)
    with torch.no_grad():
        codes = encode_rows(lambda rows: network.encode(rows.to(network.top.W), depth), X, network.n_penultimate)
    machine = ClassificationRBM(network.penultimate, network.n_classes, network.top.hidden)
    machine.to(network.top.W.device).joint.load_state_dict(network.top.state_dict())
    epochs = QUICK_EPOCHS if context.quick else EPOCHS
    context.say(f"memory by the hybrid objective: {epochs} epochs over {len(X):,} rows")
    fit(
        machine,
        (codes, y),
        HybridClassification(discriminative_weight=1.0, generative_weight=GENERATIVE_WEIGHT),
        epochs=epochs,
        batch_size=100,
        learning_rate=falling(LEARNING_RATE, epochs, hold=0.3),
        optimiser="adam",
        random_state=Random(context.seed).child("hybrid memory"),
        device=context.device,
        checkpoint=context.stage("hybrid memory") / "checkpoint",
        callbacks=context.callbacks("hybrid memory"),
    )
    network.top.load_state_dict(machine.joint.state_dict())
    return network
