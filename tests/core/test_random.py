"""The generator: published vectors, a re-implementation in plain Python, and statistics with computed tolerances.

A statistical check passes within five standard deviations of what a perfect generator would give (a chance of 6e-7 to
fail for one check), a little more where thousands are taken at once. Seeds are fixed: a green test stays green.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from scipy import stats

from lamina.core.errors import SettingError
from lamina.core.random import Random, as_random, splitmix64

MASK32, MASK64 = (1 << 32) - 1, (1 << 64) - 1
GOLDEN64 = 0x9E3779B97F4A7C15


# published constructions ----------------------------------------------------------------------------------------------


def test_splitmix64_gives_its_published_vector():
    """The first five outputs for the state 1234567, as Rosetta Code and the reference C program give them."""
    published = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert [splitmix64((1234567 + k * GOLDEN64) & MASK64) for k in range(5)] == published


def python_splitmix64(x: int) -> int:
    x = (x + GOLDEN64) & MASK64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK64
    return x ^ (x >> 31)


def python_keyed_hash(a: int, b: int, column: int) -> int:
    x = (a + column * 0x9E3779B9) & MASK32
    x ^= x >> 16
    x = (x * 0x7FEB352D + b) & MASK32
    x ^= x >> 15
    x = (x * 0x846CA68B) & MASK32
    return x ^ (x >> 16)


def python_bits(seed: int, names: tuple, step: int, draw: int, row: int, column: int) -> int:
    """The formula of the module's docstring, one number at a time."""
    text = "/".join([str(seed), *map(str, names)])
    key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
    position = python_splitmix64(python_splitmix64(key ^ python_splitmix64(step)) + draw)
    z = python_splitmix64((row * GOLDEN64 & MASK64) ^ position)
    return python_keyed_hash(z & MASK32, z >> 32, column)


def lowbias32_inverse(x: int) -> int:
    """The inverse that C. Wellons published beside lowbias32."""
    x ^= x >> 16
    x = (x * 0x43021123) & MASK32
    x ^= x >> 15 ^ x >> 30
    x = (x * 0x1D69E2A5) & MASK32
    return x ^ (x >> 16)


def test_without_its_second_key_the_mix_is_lowbias32():
    for x in [0, 1, 2, 0x7FFFFFFF, 0x80000000, MASK32, *range(12345, 12445)]:
        assert lowbias32_inverse(python_keyed_hash(x, 0, 0)) == x


@pytest.mark.parametrize(
    ("seed", "names", "step"), [(0, (), 0), (1, ("a", 2), 7), (2**31 - 1, ("rule", "steps"), 123456), (-5, ("x",), 1)]
)
def test_bits_are_those_of_the_documented_formula(seed, names, step):
    rows = torch.tensor([0, 1, 5, 59_999, 2**33 + 1, 2**40])
    random = Random(seed).child(*names).at(step, rows)
    for draw in range(3):
        bits = random.bits(len(rows), 785).numpy().view(np.uint32)
        for i, row in enumerate(rows.tolist()):
            for column in (0, 1, 2, 500, 784):
                assert int(bits[i, column]) == python_bits(seed, names, step, draw, row, column)


# where a number is used decides what it is ---------------------------------------------------------------------------


def drawn(random: Random, shape, dtype=torch.float64) -> dict[str, torch.Tensor]:
    mean = torch.full(shape, 0.3, dtype=dtype)
    return {
        "uniform": random.uniform(shape, dtype),
        "bernoulli": random.bernoulli(mean),
        "normal": random.normal(shape, dtype),
    }


def test_a_row_gets_the_same_numbers_wherever_it_stands_in_the_batch():
    rows = torch.tensor([7, 3, 100, 8, 2**35])
    order = torch.tensor([4, 2, 0, 1, 3])
    one = drawn(Random(1).at(5, rows), (5, 11))
    other = drawn(Random(1).at(5, rows[order]), (5, 11))
    for name in one:
        assert torch.equal(one[name][order], other[name]), name


def test_a_batch_in_two_parts_gets_the_numbers_of_the_whole():
    rows = torch.arange(20, 31)
    whole = drawn(Random(1).at(2, rows), (11, 6))
    parts = [drawn(Random(1).at(2, rows[part]), (len(rows[part]), 6)) for part in (slice(0, 4), slice(4, 11))]
    for name in whole:
        assert torch.equal(whole[name], torch.cat([part[name] for part in parts])), name


def test_a_row_of_an_image_batch_is_an_image():
    """(batch, channels, height, width): the row number belongs to the image, so that a split batch is the whole."""
    rows = torch.arange(6)
    whole = Random(1).at(0, rows).uniform((6, 2, 3, 4))
    part = Random(1).at(0, rows[4:]).uniform((2, 2, 3, 4))
    assert torch.equal(whole[4:], part)
    assert len(np.unique(whole.numpy())) == whole.numel()


def test_rows_default_to_counting_from_zero():
    assert torch.equal(Random(1).at(3).uniform((4, 5)), Random(1).at(3, torch.arange(4)).uniform((4, 5)))


def test_numbers_for_another_count_of_rows_are_refused():
    """Falling back to 0, 1, 2, ... would silently give two processes the same noise."""
    with pytest.raises(SettingError, match=r"3 rows .* 2 row numbers"):
        Random(1).at(0, torch.arange(2)).uniform((3, 4))


def test_a_narrower_draw_is_a_part_of_a_wider_one():
    assert torch.equal(Random(1).bits(4, 9).clone()[:, :5], Random(1).bits(4, 5))


def test_a_stream_goes_on_and_starts_again_where_it_is_placed():
    random = Random(3)
    first, second = random.uniform((50, 3)), random.uniform((50, 3))
    assert not torch.equal(first, second)
    assert torch.equal(random.at(0).uniform((50, 3)), first)
    assert torch.equal(random.uniform((50, 3)), second)


def test_streams_differ_by_seed_and_by_name_and_do_not_depend_on_use():
    base = Random(3)
    base.uniform((9, 9))  # use of the parent must not move the child
    same = base.child("a", 1).uniform((8, 8))
    assert torch.equal(same, Random(3).child("a").child(1).uniform((8, 8)))
    for other in (Random(3), Random(4).child("a", 1), Random(3).child("a", 2), Random(3).child("a"), Random(3, ("b",))):
        assert not torch.equal(same, other.uniform((8, 8)))


def test_bernoulli_takes_the_same_decisions_in_both_types():
    """0.3 is not the same number in float32 and float64; a half is, and so must be every draw."""
    for p in (0.5, 0.25, 0.75):
        a = Random(8).bernoulli(torch.full((300, 300), p))
        b = Random(8).bernoulli(torch.full((300, 300), p, dtype=torch.float64))
        assert torch.equal(a.double(), b)


def test_bernoulli_may_write_over_its_mean():
    mean = torch.rand(40, 30, generator=torch.Generator().manual_seed(0))
    expected = Random(2).bernoulli(mean)
    buffer = torch.empty_like(mean)
    assert torch.equal(Random(2).bernoulli(mean, out=buffer), expected)
    assert torch.equal(buffer, expected)
    Random(2).bernoulli(mean, out=mean)
    assert torch.equal(mean, expected)


def test_numpy_and_permutation_are_keyed_by_place():
    def place(seed=1, name="a", step=4):
        return Random(seed).child(name).at(step)

    first = place().permutation(100)
    assert sorted(first) == list(range(100))
    assert np.array_equal(first, place().permutation(100))
    for other in (place(seed=2), place(name="b"), place(step=5)):
        assert not np.array_equal(first, other.permutation(100))
    random = place()
    assert not np.array_equal(random.numpy().random(5), random.numpy().random(5))  # one draw after the other


# ranges ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def million():
    """A million places, float32 and float64 uniforms at the same ones."""
    return {dtype: Random(11).uniform((1000, 1000), dtype) for dtype in (torch.float32, torch.float64)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_uniform_lies_strictly_inside_the_unit_interval(dtype, million, monkeypatch):
    assert million[dtype].dtype == dtype
    assert million[dtype].min() > 0
    assert million[dtype].max() < 1
    extreme = torch.tensor([[-(2**31), -1, 0, 2**31 - 1]], dtype=torch.int32)
    monkeypatch.setattr(Random, "bits", lambda self, *shape: extreme)
    u = Random(0).uniform((1, 4), dtype)
    assert u.min() > 0
    assert u.max() < 1
    assert torch.equal(u, u.sort().values)
    assert torch.isfinite(Random(0).normal((1, 4), dtype)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bernoulli_of_nought_and_one_is_certain(dtype, monkeypatch):
    shape = (2000, 1000)
    assert Random(1).bernoulli(torch.zeros(shape, dtype=dtype)).sum() == 0
    assert Random(1).bernoulli(torch.ones(shape, dtype=dtype)).sum() == 2_000_000
    extreme = torch.tensor([[-(2**31), -(2**31) + 1, -1, 0, 2**31 - 200, 2**31 - 1]], dtype=torch.int32)
    monkeypatch.setattr(Random, "bits", lambda self, *shape: extreme)
    assert Random(1).bernoulli(torch.zeros(1, 6, dtype=dtype)).sum() == 0
    assert Random(1).bernoulli(torch.ones(1, 6, dtype=dtype)).sum() == 6


def test_uniforms_of_both_types_are_the_same_numbers(million):
    assert (million[torch.float32].double() - million[torch.float64]).abs().max() <= 2.0**-23


# distribution ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.5, 0.01, 0.37, 0.999, 1e-5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bernoulli_has_its_mean(p, dtype):
    n = 4_000_000
    count = float(Random(21).child(p).bernoulli(torch.full((4000, 1000), p, dtype=dtype)).sum(dtype=torch.float64))
    assert abs(count - n * p) < 5 * np.sqrt(n * p * (1 - p)) + 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_uniform_is_uniform(dtype, million):
    u = million[dtype].double().numpy().ravel()
    assert stats.kstest(u, "uniform").pvalue > 1e-6
    counts = np.bincount((u * 1000).astype(int), minlength=1000)
    assert stats.chisquare(counts).pvalue > 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normal_is_normal(dtype):
    n = 1_000_000
    x = Random(31).normal((1000, 1000), dtype).double().numpy().ravel()
    assert abs(x.mean()) < 5 / np.sqrt(n)
    assert abs(x.var() - 1) < 5 * np.sqrt(2 / n)
    assert abs(stats.skew(x)) < 5 * np.sqrt(6 / n)
    assert abs(stats.kurtosis(x)) < 5 * np.sqrt(24 / n)
    assert stats.kstest(x, "norm").pvalue > 1e-6
    tail = (np.abs(x) > 4).sum()
    expected = n * 2 * stats.norm.sf(4)
    assert abs(tail - expected) < 5 * np.sqrt(expected)


def test_repeats_are_as_rare_as_chance_makes_them():
    """Among n numbers of 32 bits about n²/2³³ pairs are equal. A counter that runs into itself gives more, one that
    never repeats (a permutation) fewer. 2^16 rows of 16 columns."""
    n = 1 << 20
    bits = Random(41).bits(1 << 16, 16).numpy().ravel()
    pairs = n - len(np.unique(bits))
    expected = n**2 / 2**33
    assert abs(pairs - expected) < 5 * np.sqrt(expected)


def test_rows_are_no_shifted_copies_of_each_other():
    """With one 32-bit key per row, rows whose keys lie a few golden steps apart would hold the same numbers shifted:
    among 30,000 rows there would be such pairs. Equal pairs of neighbours show them."""
    bits = Random(42).bits(30_000, 64).numpy().view(np.uint32).astype(np.uint64)
    pairs = (bits[:, :-1] << np.uint64(32)) | bits[:, 1:]
    assert len(np.unique(pairs)) == pairs.size


# independence ---------------------------------------------------------------------------------------------------------


def cube(axis: str) -> np.ndarray:
    """Uniforms minus ½ (65, ...) whose first axis runs along the coordinate named."""
    shape, n = (64, 64), 65
    if axis == "column":
        return Random(51).uniform((4096, n), torch.float64).numpy().T - 0.5
    if axis == "row":
        return Random(52).uniform((n, 4096), torch.float64).numpy() - 0.5
    random = Random(53)
    make = {
        "step": lambda k: random.at(k),
        "draw": lambda k: random,
        "stream": lambda k: random.child("s", k),
        "seed": lambda k: Random(k, ("s",)),
    }[axis]
    return np.stack([make(k).uniform(shape, torch.float64).numpy().ravel() for k in range(n)]) - 0.5


AXES = ["column", "row", "step", "draw", "stream", "seed"]


@pytest.mark.parametrize("axis", AXES)
def test_neighbours_are_uncorrelated_along_every_coordinate(axis):
    """Correlations at lags 1, 2, 3, 8, 64 of the numbers, of their squares, and of their size with its neighbour's."""
    x = cube(axis)
    squares = x**2 - 1 / 12
    for lag in (1, 2, 3, 8, 64):
        for one, other in ((x, x), (squares, squares), (x, squares)):
            a, b = one[:-lag].ravel(), other[lag:].ravel()
            correlation = (a * b).mean() / (a.std() * b.std())
            assert abs(correlation) < 5 / np.sqrt(a.size), (axis, lag)


@pytest.mark.parametrize("axis", AXES)
def test_every_bit_of_the_number_flips_half_the_time_along_every_coordinate(axis):
    x = np.floor((cube(axis) + 0.5) * 2**32).astype(np.uint64)
    flips = x[:-1] ^ x[1:]
    n = flips.size
    for bit in range(32):
        share = ((flips >> np.uint64(bit)) & np.uint64(1)).mean()
        assert abs(share - 0.5) < 5 * 0.5 / np.sqrt(n), bit


def avalanche(coordinate: str, bit: int, n: int) -> np.ndarray:
    """Share of flips (32,) of each output bit when one bit of a coordinate flips, over ``n`` numbers."""
    rows, columns = torch.arange(n // 32) * 977 + 13, 32
    if coordinate == "column":
        wide = Random(61).at(9, torch.arange(n // 32)).bits(n // 32, 2048).numpy().copy()
        at = np.arange(columns) * 61
        flips = wide[:, at] ^ wide[:, at ^ (1 << bit)]
    else:
        one = Random(61).at(9, rows)
        other = {
            "row": lambda: Random(61).at(9, rows ^ (1 << bit)),
            "step": lambda: Random(61).at(9 ^ (1 << bit), rows),
            "seed": lambda: Random(61 ^ (1 << bit)).at(9, rows),
        }[coordinate]()
        flips = one.bits(len(rows), columns).numpy().copy() ^ other.bits(len(rows), columns).numpy()
    flips = flips.view(np.uint32)
    return np.array([((flips >> k) & 1).mean() for k in range(32)])


@pytest.mark.parametrize(
    ("coordinate", "bits"),
    [("row", range(0, 40, 3)), ("step", range(0, 32, 3)), ("seed", range(30)), ("column", range(11))],
)
def test_one_bit_of_a_coordinate_changes_half_of_the_output(coordinate, bits):
    n = 8192
    tolerance = 5.5 * 0.5 / np.sqrt(n)  # some 1,500 shares are looked at: half a sigma more
    for bit in bits:
        shares = avalanche(coordinate, bit, n)
        assert np.abs(shares - 0.5).max() < tolerance, bit


# what users may hand --------------------------------------------------------------------------------------------------


def test_as_random_takes_what_users_hand():
    stream = Random(3)
    assert as_random(stream) is stream
    assert as_random(np.int64(7)).seed == 7
    assert as_random(np.random.RandomState(5)).seed == as_random(np.random.RandomState(5)).seed
    assert as_random(np.random.default_rng(5)).seed != as_random(np.random.default_rng(6)).seed
    assert as_random(None).seed != as_random(None).seed
    for wrong in ("7", 1.5, [1]):
        with pytest.raises(SettingError, match="random_state"):
            as_random(wrong)


def test_no_global_generator_is_read_or_set():
    torch.manual_seed(1)
    np.random.seed(1)
    before = (torch.get_rng_state(), np.random.get_state()[1].copy())
    one = drawn(Random(0), (4, 4))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    torch.manual_seed(2)
    assert torch.equal(drawn(Random(0), (4, 4))["normal"], one["normal"])
