"""Named data sets: names, places, checks at load, and the real files where they are."""

import gzip
import hashlib
from dataclasses import replace

import numpy as np
import pytest

from lamina.core.errors import DownloadError, FileFormatError, UnknownNameError
from lamina.data import describe, load, locate, names
from lamina.data import named as registry
from lamina.data.folders import data_folders, download_folder


def here(name):
    """The data set, or a skip that names it; nothing is downloaded."""
    if locate(name) is None:
        pytest.skip(f"{name} is not here: set LAMINA_DATA to a folder that holds {name}/")
    return load(name)


def usps_lines(digits, seed):
    values = np.random.default_rng(seed).uniform(-1, 1, (len(digits), 256)).round(4)
    lines = [f"{d}.0000 " + " ".join(f"{v:.4f}" for v in row) + " \n" for d, row in zip(digits, values, strict=True)]
    return "".join(lines).encode(), values


@pytest.fixture
def small_usps(own_folders, bad_server, monkeypatch):
    """A stand-in for usps with 12 rows at a local address: (server, values of the training rows)."""
    train, values = usps_lines([d % 10 for d in range(12)], 0)
    server = bad_server(gzip.compress(train))
    files = tuple(
        registry.RemoteFile(n, hashlib.sha256(train).hexdigest(), len(train)) for n in ("zip.train.gz", "zip.test.gz")
    )
    entry = replace(registry.SETS["usps"], address=server.address, files=files)
    monkeypatch.setitem(registry.SETS, "usps", entry)
    return server, values


def test_digits_come_without_any_download(own_folders):
    found = load("digits")
    assert (found.n_rows, found.n_features, found.shape) == (1797, 64, (1, 8, 8))
    assert found.X.dtype == np.uint8
    assert (found.X.min(), found.X.max()) == found.value_range == (0, 16)
    assert found.X_test is None
    assert found.classes == tuple("0123456789")
    np.testing.assert_array_equal(np.bincount(found.y), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180])
    assert locate("digits").is_dir()
    assert not own_folders.exists()


def test_mnist_as_published():
    found = here("mnist")
    assert (found.X.shape, found.X_test.shape, found.X.dtype) == ((60000, 784), (10000, 784), np.uint8)
    np.testing.assert_array_equal(found.y[:10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4])
    np.testing.assert_array_equal(np.bincount(found.y_test), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])
    assert found.X.mean() / 255 == pytest.approx(0.1307, abs=1e-4)  # the mean that everybody standardises with
    assert (found.shape, found.value_range) == ((1, 28, 28), (0, 255))


def test_usps_as_published():
    found = here("usps")
    np.testing.assert_array_equal(np.bincount(found.y), [1194, 1005, 731, 658, 652, 556, 664, 645, 542, 644])
    np.testing.assert_array_equal(np.bincount(found.y_test), [359, 264, 198, 166, 200, 160, 170, 147, 166, 177])
    assert found.X.dtype == np.float32
    assert (found.X.min(), found.X.max()) == found.value_range == (-1, 1)
    assert found.shape == (1, 16, 16)


@pytest.mark.parametrize(("given", "nearest"), [("mnits", "mnist"), ("MNIST", "mnist"), ("digit", "digits")])
def test_an_unknown_name_suggests_the_nearest(given, nearest):
    for use in (load, describe, locate):
        with pytest.raises(UnknownNameError, match=rf"{given}.*{nearest}"):
            use(given)


def test_the_first_load_downloads_checks_and_keeps(small_usps, own_folders):
    server, values = small_usps
    assert locate("usps") is None
    found = load("usps")
    np.testing.assert_allclose(found.X, values, atol=1e-6)
    np.testing.assert_array_equal(found.y, [d % 10 for d in range(12)])
    assert locate("usps") == own_folders / "usps"
    load("usps")
    assert len(server.ranges) == 2  # one per file, none at the second load


def test_a_missing_file_alone_is_downloaded(small_usps, own_folders):
    server, _ = small_usps
    load("usps")
    (own_folders / "usps" / "zip.test.gz").unlink()
    assert locate("usps") is None
    load("usps")
    assert len(server.ranges) == 3


def test_an_uncompressed_file_and_the_cache_are_found_too(small_usps, own_folders, tmp_path):
    server, _ = small_usps
    cache = tmp_path / "home" / ".cache" / "lamina" / "usps"
    cache.mkdir(parents=True)
    (cache / "zip.train").write_bytes(gzip.decompress(server.content))
    (cache / "zip.test.gz").write_bytes(server.content)
    assert load("usps").n_rows == 12
    assert server.ranges == []
    assert [f["path"] for f in describe("usps")["files"]] == [str(cache / "zip.train"), str(cache / "zip.test.gz")]


@pytest.mark.parametrize("damage", [lambda b: b[:-20], lambda b: b"", lambda b: gzip.compress(b"1 2 3\n")])
def test_a_damaged_file_is_named_and_stays_for_the_user_to_delete(small_usps, own_folders, damage):
    server, _ = small_usps
    load("usps")
    path = own_folders / "usps" / "zip.train.gz"
    path.write_bytes(damage(server.content))
    with pytest.raises(FileFormatError, match=rf"{path}.*delete it"):
        load("usps")
    assert path.exists()


def test_wrong_bytes_from_the_address_leave_nothing(small_usps, own_folders):
    server, _ = small_usps
    server.script = ["wrong"] * 3
    with pytest.raises(DownloadError, match="sha256"):
        load("usps")
    assert [p.name for p in (own_folders / "usps").iterdir() if not p.name.endswith(".lock")] == []


def test_downloads_fall_back_to_the_cache_where_the_folder_cannot_be_written(own_folders, tmp_path):
    own_folders.write_text("a file, not a folder")
    assert download_folder("usps") == tmp_path / "home" / ".cache" / "lamina" / "usps"


def test_no_folder_at_all_is_one_clear_line(own_folders, tmp_path):
    own_folders.write_text("")
    (tmp_path / "home").write_text("")
    with pytest.raises(DownloadError, match=r"usps.*LAMINA_DATA"):
        download_folder("usps")


def test_an_empty_variable_means_the_cache(own_folders, monkeypatch, tmp_path):
    monkeypatch.setenv("LAMINA_DATA", " ")
    assert data_folders() == [tmp_path / "home" / ".cache" / "lamina"]


def test_descriptions_say_what_where_and_under_which_licence(own_folders):
    assert names() == ["digits", "mnist", "usps"]
    found = describe("mnist")
    assert found["folder"] is None
    assert [a.rsplit("/", 1)[1] for a in found["addresses"]] == [f["name"] for f in found["files"]]
    assert all(a.startswith("https://") for a in found["addresses"])
    assert sum(f["size"] for f in found["files"]) == 16 + 60000 * 784 + 8 + 60000 + 16 + 10000 * 784 + 8 + 10000
    assert "CC BY-SA 3.0" in found["licence"]


@pytest.mark.parametrize("text", [b"1 2 3\n", b"6 " + b"0 " * 255 + b"x\n", b"6 " + b"0 " * 256 + b"\n7 0\n"])
def test_lines_that_are_not_257_numbers_are_refused(text):
    with pytest.raises(FileFormatError, match=r"^zip: .*delete it"):
        registry.parse_usps(text, "zip")
