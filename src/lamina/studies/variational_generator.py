"""The variational autoencoder as a kind of generative model for the command line."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from lamina.models.autoencoders import VariationalAutoencoder
from lamina.studies.defaults import BATCH
from lamina.studies.generator import Generator, Taught
from lamina.studies.lesson import Lesson, falling_to_zero
from lamina.training import Variational, fit

RATE = 2e-3  # of Adam


class VariationalMachine(Generator):
    """`VariationalAutoencoder` by the reparametrised bound. ``--hidden`` names the encoder's layers, then the latent
    units: ``--hidden 200,200,32``; one number alone makes encoder and decoder linear."""

    title = "variational autoencoder"
    independent = True

    def __init__(self, lesson: Lesson) -> None:
        super().__init__(lesson)
        *self.hidden, self.n_latent = lesson.sizes((200, 200, 32))
        self.epochs = lesson.passes(12_000)

    def build(self) -> nn.Module:
        lesson = self.lesson
        likelihood = "bernoulli" if lesson.binary else "gaussian"
        model = VariationalAutoencoder(lesson.n_features, self.n_latent, hidden=self.hidden, likelihood=likelihood)
        return model.initialise(lesson.random, lesson.mean)

    def teach(self, model: Any) -> Taught:
        lesson = self.lesson
        history = fit(
            model,
            lesson.X,
            lesson.redrawn(Variational()),
            epochs=self.epochs,
            learning_rate=falling_to_zero(RATE, self.epochs),
            optimiser="adam",
            callbacks=[*lesson.callbacks("autoencoder"), *lesson.traced(model)],
            **lesson.common("autoencoder"),
        )
        return [("autoencoder", history)]

    def settings(self) -> dict:
        about = {"hidden": self.hidden, "latent units": self.n_latent, "epochs": self.epochs, "optimiser": "adam"}
        return {**about, "learning_rate": RATE, "batch_size": BATCH, **Variational().describe()}

    def filters(self, model: Any) -> Tensor:
        """What each unit of the decoder's last hidden layer adds to a row."""
        return model.decoder.W[-1][:, : model.n_visible]
