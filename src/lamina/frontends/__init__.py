"""Front-ends: signal → features, each a pure function and a thin transformer."""

from lamina.frontends.scaling import ScaledRows, Scaling, choose_scaling

__all__ = ["ScaledRows", "Scaling", "choose_scaling"]
