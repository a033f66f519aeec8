"""Pictures of atoms with their fits, and what good fits are tuned to."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lamina.metrics import GaborFits
from lamina.recipes.olshausen1996_sparse_coding.natural import Patches
from lamina.recipes.record import Images, Lines

PENALTIES = {"log": "log(1 + h²)", "l1": "|h|"}
BIN_DEGREES, BIN_FREQUENCY = 22.5, 0.05


def title(name: str) -> str:
    return f"atoms, {PENALTIES[name]}" if name in PENALTIES else name


def pictures(filters: Mapping[str, np.ndarray], fits: Mapping[str, GaborFits], patches: Patches) -> list[Images]:
    """Patches; learnt atoms, the most Gabor-like first; some with their fits; principal components."""
    found = [Images("Whitened patches", patches.pictures(patches.rows[:40]), signed=True)]
    for name, words in PENALTIES.items():
        atoms = patches.pictures(filters[name])[np.argsort(-fits[name].r2)]
        found.append(Images(f"Atoms, {words}", atoms, signed=True, note="by falling R² of their Gabor fits"))
    found.append(with_fits(patches.pictures(filters["l1"]), fits["l1"]))
    components = patches.pictures(filters["principal components"])[:40]
    found.append(Images("Principal components, the 40 of largest variance", components, signed=True))
    return found


def with_fits(atoms: np.ndarray, fits: GaborFits) -> Images:
    """Sixteen atoms from the best to the worst fit, above the functions that were fitted."""
    some = np.argsort(-fits.r2)[np.linspace(0, len(fits) - 1, 16).round().astype(int)]
    rows = np.stack([atoms[some], fits.functions(*atoms.shape[1:])[some]])
    note = f"R² from {fits.r2[some[0]]:.2f} (left) to {fits.r2[some[-1]]:.2f} (right)"
    return Images("Atoms and the Gabor functions nearest to them, |h|", rows, ("atoms", "fits"), True, note)


def tuning(fits: Mapping[str, GaborFits], least: float) -> list[Lines]:
    """Shares of filters above each R², and what the fits of at least ``least`` prefer."""
    at = np.linspace(0, 1, 101)
    above = {title(name): (at, [100 * float((one.r2 >= r).mean()) for r in at]) for name, one in fits.items()}
    found = [Lines("Filters that a Gabor function fits", "R² at least", "% of the filters", above)]
    directions, bands = {}, {}
    for name in PENALTIES:
        good = fits[name].r2 >= least
        if good.any():
            directions[title(name)] = shares(np.degrees(fits[name].orientation[good]) / BIN_DEGREES, 8, BIN_DEGREES)
            bands[title(name)] = shares(fits[name].frequency[good] / BIN_FREQUENCY, 11, BIN_FREQUENCY)
    if directions:
        label = "% of the good fits"
        found.append(Lines("Preferred orientation of the wave (0°: upright bars)", "degrees", label, directions))
        found.append(Lines("Preferred spatial frequency", "cycles per pixel", label, bands))
    return found


def shares(values: np.ndarray, n: int, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Percent of ``values``, in units of ``width``, nearest to each of 0 … n − 1 (n is 0 again: angles), and where."""
    nearest = np.round(values).astype(int) % n
    return np.arange(n) * width, 100 * np.bincount(nearest, minlength=n) / len(values)


def tuning_notes(fits: Mapping[str, GaborFits], least: float) -> list[str]:
    """Medians of the good fits, in words."""
    found = []
    for name in PENALTIES:
        one, good = fits[name], fits[name].r2 >= least
        if not good.any():
            continue
        along, across, f = (float(np.median(x[good])) for x in (one.sigma_along, one.sigma_across, one.frequency))
        octaves = one.bandwidth[good]
        low = 100 * float(np.isinf(octaves).mean())
        finite = octaves[np.isfinite(octaves)]
        width = f"{np.median(finite):.1f} octaves" if len(finite) else "none"
        found.append(
            f"{title(name)}, fits of R² ≥ {least:g}, medians: σ along the wave {along:.1f} and along the bars "
            f"{across:.1f} pixels, {f:.2f} cycles per pixel, bandwidth {width} ({low:.0f} % are low-pass)."
        )
    return found
