"""Counter-based random numbers: each number is a function of where it is used, not of what was drawn before.

The problem: an exact resume, the same weights from one process or several, and the same numbers on CPU and GPU all
fail with a generator that has a state, and drawing is the dearest part of a Gibbs step after the matrix products.

The convention: a number is keyed by (seed, names of the stream, step, draw within the step, row in the whole data,
column). Row keys come from two rounds of SplitMix64's finaliser on 64 bits; a number mixes its row's two 32-bit keys
``a``, ``b`` with its column ``c`` as::

    x = a + c * 0x9E3779B9        x ^= x >> 16   x *= 0x7FEB352D
    x = x + b                     x ^= x >> 15   x *= 0x846CA68B   x ^= x >> 16

all modulo 2^32. The two multiplications and three shifts are the `lowbias32` hash of C. Wellons (*hash prospector*,
2018); SplitMix64 is Steele, Lea, Flood (OOPSLA 2014). ``b`` enters between the rounds so that two rows whose ``a`` lie
close together never give shifted copies of each other. Soundness is shown in ``docs/design/random-numbers.md`` and
``tests/core/test_random.py``. Integer operations are exact, so every device gives the same bits.

Inside: `Random` (a stream), `as_random` (what ``random_state`` may be), `splitmix64`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lamina.core.errors import SettingError

_MASK64 = (1 << 64) - 1
_GOLDEN64 = 0x9E3779B97F4A7C15


def _signed32(x: int) -> int:
    x &= 0xFFFFFFFF
    return x - (1 << 32) if x >= 1 << 31 else x


def _signed64(x: int) -> int:
    x &= _MASK64
    return x - (1 << 64) if x >= 1 << 63 else x


def _int32(x: int) -> Tensor:
    return torch.tensor(_signed32(x), dtype=torch.int32)


def _int64(x: int) -> Tensor:
    return torch.tensor(_signed64(x), dtype=torch.int64)


KEYS_AT_ONCE = 4  # draws whose row keys are mixed together: a step of training needs two to four
# Constants as 0-d tensors: a Python number would be turned into one at every call.
_GOLDEN_32, _MULTIPLIER_1, _MULTIPLIER_2 = _int32(0x9E3779B9), _int32(0x7FEB352D), _int32(0x846CA68B)
_15, _16, _LOW_17, _LOW_16 = _int32(15), _int32(16), _int32(0x1FFFF), _int32(0xFFFF)
_GOLDEN_64, _MIX_1, _MIX_2 = _int64(_GOLDEN64), _int64(0xBF58476D1CE4E5B9), _int64(0x94D049BB133111EB)
_27, _30, _31 = _int64(27), _int64(30), _int64(31)
_LOW_37, _LOW_34, _LOW_33 = _int64((1 << 37) - 1), _int64((1 << 34) - 1), _int64((1 << 33) - 1)


def splitmix64(x: int) -> int:
    """One output of SplitMix64 for the state ``x`` (both as unsigned 64-bit integers)."""
    x = (x + _GOLDEN64) & _MASK64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK64
    return x ^ (x >> 31)


def _mix64_(x: Tensor) -> Tensor:
    """SplitMix64's finaliser, in place, on a tensor of int64 (logical shifts by masking the arithmetic ones)."""
    x.add_(_GOLDEN_64)
    x.bitwise_xor_((x >> _30).bitwise_and_(_LOW_34)).mul_(_MIX_1)
    x.bitwise_xor_((x >> _27).bitwise_and_(_LOW_37)).mul_(_MIX_2)
    return x.bitwise_xor_((x >> _31).bitwise_and_(_LOW_33))


class _Scratch:
    """Buffers that live as long as a stream, so that a step allocates nothing."""

    def __init__(self) -> None:
        self._tensors: dict[tuple, Tensor] = {}

    def get(self, role: str, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
        key = (role, shape, dtype, device)
        tensor = self._tensors.get(key)
        if tensor is None:
            if len(self._tensors) > 64:  # shapes come and go only in exploratory use
                self._tensors.clear()
            tensor = self._tensors[key] = torch.empty(shape, dtype=dtype, device=device)
        return tensor


class Random:
    """A stream of random numbers keyed by seed, names, step, row and column.

    ``child(*names)`` gives an independent stream, ``at(step, rows)`` places this one at a step of training with the
    given row numbers (a 1-D int64 tensor; None means 0, 1, 2, ...). Within a step each call draws fresh numbers.
    Without `at`, a stream simply goes on: each call draws fresh numbers.
    """

    def __init__(self, seed: int = 0, names: Sequence[str | int] = ()) -> None:
        self.seed = int(seed)
        self.names = tuple(names)
        text = "/".join([str(self.seed), *map(str, self.names)])
        self._key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
        self._step = 0
        self._draw = 0
        self._rows: Tensor | None = None
        self._keys: Tensor | None = None
        self._keys_of: tuple = ()
        self._scratch = _Scratch()

    def __repr__(self) -> str:
        return f"Random(seed={self.seed}, names={self.names}, step={self._step}, draw={self._draw})"

    def child(self, *names: str | int) -> Random:
        """An independent stream, a function of this one's seed and names and of ``names`` alone."""
        return Random(self.seed, (*self.names, *names))

    def at(self, step: int, rows: Tensor | None = None) -> Random:
        """This stream, placed at ``step`` with row numbers ``rows`` (n,) int64. Returns itself."""
        self._step, self._draw, self._rows, self._keys = step, 0, rows, None
        return self

    def _row_keys(self, n_rows: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Keys ``a`` and ``b``, each (n_rows, 1) int32, for the next draw."""
        draw, self._draw = self._draw, self._draw + 1
        block, place = divmod(draw, KEYS_AT_ONCE)
        if self._keys is None or self._keys_of != (block, n_rows, device):
            self._keys = self._mixed_keys(block, n_rows, device)
            self._keys_of = (block, n_rows, device)
        halves = self._keys[place]
        return halves[:, :1], halves[:, 1:]

    def _mixed_keys(self, block: int, n_rows: int, device: torch.device) -> Tensor:
        """Row keys of the draws of one block, (KEYS_AT_ONCE, n_rows, 2) int32."""
        step = splitmix64(self._key ^ splitmix64(self._step))
        draws = range(block * KEYS_AT_ONCE, (block + 1) * KEYS_AT_ONCE)
        positions = torch.tensor([[_signed64(splitmix64(step + draw))] for draw in draws]).to(device)
        if self._rows is None:
            rows = torch.arange(n_rows, device=device)
        elif len(self._rows) == n_rows:
            rows = self._rows.to(device)
        else:
            raise SettingError(
                f"{n_rows} rows of random numbers were asked for, but the stream stands at {len(self._rows)} row "
                f"numbers; expected as many: place it with at(step, rows) first"
            )
        mixed = _mix64_(positions.bitwise_xor(rows.mul(_GOLDEN_64)))
        return mixed.view(torch.int32).view(KEYS_AT_ONCE, n_rows, 2)

    def bits(self, n_rows: int, n_columns: int, device: torch.device | str = "cpu") -> Tensor:
        """Uniform 32-bit integers, (n_rows, n_columns) int32: a buffer that the next call overwrites."""
        device = torch.device(device)
        a, b = self._row_keys(n_rows, device)
        shape = (n_rows, n_columns)
        columns = self._columns(n_columns, device)
        x = self._scratch.get("bits", shape, torch.int32, device)
        y = self._scratch.get("shifted", shape, torch.int32, device)
        torch.add(a, columns, out=x)
        torch.bitwise_right_shift(x, _16, out=y)
        x.bitwise_xor_(y.bitwise_and_(_LOW_16)).mul_(_MULTIPLIER_1).add_(b)
        torch.bitwise_right_shift(x, _15, out=y)
        x.bitwise_xor_(y.bitwise_and_(_LOW_17)).mul_(_MULTIPLIER_2)
        torch.bitwise_right_shift(x, _16, out=y)
        return x.bitwise_xor_(y.bitwise_and_(_LOW_16))

    def _columns(self, n: int, device: torch.device) -> Tensor:
        key = ("columns", (n,), torch.int32, device)
        known = self._scratch._tensors.get(key)
        if known is None:
            known = torch.arange(n, dtype=torch.int32, device=device).mul_(_GOLDEN_32)
            self._scratch._tensors[key] = known
        return known

    def _shaped_bits(self, shape: Sequence[int], device: torch.device | str) -> Tensor:
        shape = tuple(shape)
        n_rows = shape[0] if len(shape) > 1 else 1  # the first dimension counts rows of the data, all others columns
        n_columns = math.prod(shape[1:] if len(shape) > 1 else shape)
        return self.bits(n_rows, n_columns, device).view(shape)

    def uniform(self, shape: Sequence[int], dtype: torch.dtype = torch.float32, device="cpu") -> Tensor:
        """Uniform numbers in (0, 1), never 0 and never 1: (k + ½) / 2^23 for 23 bits in float32, / 2^32 in float64."""
        bits = self._shaped_bits(shape, device)
        if dtype == torch.float64:
            return bits.to(dtype).add_(2.0**31 + 0.5).mul_(2.0**-32)
        return (bits >> 9).to(dtype).add_(2.0**22 + 0.5).mul_(2.0**-23)

    def bernoulli(self, mean: Tensor, out: Tensor | None = None) -> Tensor:
        """Zeros and ones, 1 with probability ``mean``; same shape and type. ``out`` may be a buffer, or ``mean``.

        Computes [bits < mean · 2^32 − 2^31] in the type of ``mean``; mean 0 or 1 is certain. In float32 the largest
        integers round up to 2^31, which mean = 1 must still exceed: 2^32 is taken as 2^32 + 2^9, a relative 2^-23.
        """
        mean = mean.detach()  # a draw has no slope
        bits = self._shaped_bits(mean.shape, mean.device)
        shape = tuple(mean.shape)
        threshold = self._scratch.get("threshold", shape, mean.dtype, mean.device)
        draw = self._scratch.get("draw", shape, mean.dtype, mean.device)
        span = 2.0**32 if mean.dtype == torch.float64 else 2.0**32 + 2.0**9
        torch.add(self._lowest(mean), mean, alpha=span, out=threshold)
        return torch.lt(draw.copy_(bits), threshold, out=torch.empty_like(mean) if out is None else out)

    def _lowest(self, like: Tensor) -> Tensor:
        """−2^31, the smallest integer of `bits`, as a 0-d tensor."""
        key = ("lowest", (), like.dtype, like.device)
        known = self._scratch._tensors.get(key)
        if known is None:
            known = self._scratch._tensors[key] = torch.full((), -(2.0**31), dtype=like.dtype, device=like.device)
        return known

    def normal(self, shape: Sequence[int], dtype: torch.dtype = torch.float32, device="cpu") -> Tensor:
        """Standard normal numbers by Box and Muller (1958): √(−2 log u₁) · cos(2π u₂)."""
        radius = self.uniform(shape, dtype, device).log_().mul_(-2.0).sqrt_()
        return radius.mul_(self.uniform(shape, dtype, device).mul_(2 * math.pi).cos_())

    def permutation(self, n: int) -> np.ndarray:
        """A random order of 0 .. n−1, int64."""
        return self.numpy().permutation(n)

    def numpy(self) -> np.random.Generator:
        """A NumPy generator (Philox) keyed by this stream's place, for small jobs off the device."""
        key = splitmix64(self._key ^ splitmix64(self._step)) ^ splitmix64(self._draw)
        self._draw += 1
        return np.random.Generator(np.random.Philox(key=key))


def as_random(random_state: int | Random | None) -> Random:
    """A stream from what users may hand as ``random_state``: an int, a `Random`, or None (a fresh seed)."""
    if random_state is None:
        return Random(int(np.random.SeedSequence().entropy) & 0x7FFFFFFF)  # type: ignore[arg-type, operator]
    if isinstance(random_state, Random):
        return random_state
    if isinstance(random_state, (int, np.integer)):
        return Random(int(random_state))
    if isinstance(random_state, (np.random.RandomState, np.random.Generator)):
        draw = random_state.randint if isinstance(random_state, np.random.RandomState) else random_state.integers
        return Random(int(draw(2**31 - 1)))
    raise SettingError(f"random_state is {random_state!r}; expected an int, a lamina Random, a NumPy generator or None")
