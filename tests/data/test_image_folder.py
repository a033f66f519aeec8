"""Folders of images: classes, unlabelled ones, colour, sizes, and files that are no images."""

import numpy as np
import pytest
from PIL import Image

from lamina.core.errors import DataError, FileFormatError, LabelError, SettingError
from lamina.data import read

GREY = np.random.default_rng(0).integers(0, 256, (4, 5), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (4, 5, 3), dtype=np.uint8)


def put(folder, name, pixels, **options):
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / name, **options)


def test_classes_unlabelled_and_values(tmp_path):
    put(tmp_path / "dog", "1.png", GREY)
    put(tmp_path / "cat", "2.png", GREY + 1)
    put(tmp_path / "cat", "1.bmp", GREY + 2)
    put(tmp_path / "unlabelled", "9.png", GREY + 3)
    (tmp_path / "cat" / "notes.txt").write_text("not an image, and not said to be one")
    (tmp_path / ".hidden").mkdir()
    found = read(tmp_path)
    assert (found.classes, found.shape, found.value_range) == (("cat", "dog"), (1, 4, 5), (0, 255))
    np.testing.assert_array_equal(found.y, [0, 0, 1, -1])
    expected = np.stack([GREY + 2, GREY + 1, GREY, GREY + 3]).reshape(4, 20)
    np.testing.assert_array_equal(found.X, expected)
    assert found.X.dtype == np.uint8


def test_colour_comes_channels_first_and_grey_joins_it(tmp_path):
    put(tmp_path / "a", "1.png", COLOUR)
    put(tmp_path / "b", "1.png", GREY)
    found = read(tmp_path)
    assert found.shape == (3, 4, 5)
    np.testing.assert_array_equal(found.X[0].reshape(3, 4, 5), COLOUR.transpose(2, 0, 1))
    np.testing.assert_array_equal(found.X[1].reshape(3, 4, 5), np.stack([GREY] * 3))


def test_grey_stored_in_colour_is_grey(tmp_path):
    put(tmp_path / "a", "1.png", np.stack([GREY] * 3, axis=2))
    put(tmp_path / "b", "1.png", GREY)
    found = read(tmp_path)
    assert found.shape == (1, 4, 5)
    np.testing.assert_array_equal(found.X, np.stack([GREY.ravel()] * 2))


def test_transparent_pixels_are_white(tmp_path):
    drawing = np.zeros((4, 5, 4), dtype=np.uint8)
    drawing[1, 2, 3] = 255  # one opaque black pixel on transparent black
    put(tmp_path / "a", "1.png", drawing)
    expected = np.full((4, 5), 255)
    expected[1, 2] = 0
    np.testing.assert_array_equal(read(tmp_path).X, expected.reshape(1, 20))


def test_images_alone_are_rows_without_labels(tmp_path):
    put(tmp_path, "1.png", GREY)
    put(tmp_path, "2.PNG", GREY)
    found = read(tmp_path)
    assert (found.n_rows, found.y, found.classes) == (2, None, ())


def test_train_and_test_folders(tmp_path):
    for part, name, pixels in [("train", "a", GREY), ("train", "b", GREY + 1), ("test", "b", GREY + 2)]:
        put(tmp_path / part / name, "1.png", pixels)
    found = read(tmp_path)
    assert (found.n_rows, found.classes) == (2, ("a", "b"))
    np.testing.assert_array_equal(found.X_test, (GREY + 2).reshape(1, 20))
    np.testing.assert_array_equal(found.y_test, [1])


def test_a_second_folder_is_the_test_part(tmp_path):
    for part, name in [("one", "a"), ("one", "b"), ("two", "b")]:
        put(tmp_path / part / name, "1.png", GREY)
    np.testing.assert_array_equal(read(tmp_path / "one", test=tmp_path / "two").y_test, [1])
    put(tmp_path / "two" / "c", "1.png", GREY)
    with pytest.raises(LabelError, match="'c'"):
        read(tmp_path / "one", test=tmp_path / "two")


def test_sizes_that_differ_are_listed(tmp_path):
    put(tmp_path / "a", "1.png", GREY)
    put(tmp_path / "a", "2.png", GREY)
    put(tmp_path / "b", "odd.png", GREY.T)
    with pytest.raises(DataError, match=r"2 sizes.* 5x4 \(2, such as 1.png\), 4x5 \(1, such as odd.png\).*resize"):
        read(tmp_path)


def png(tmp_path):
    put(tmp_path / "elsewhere", "x.png", np.random.default_rng(2).integers(0, 256, (40, 40), dtype=np.uint8))
    return (tmp_path / "elsewhere" / "x.png").read_bytes()


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:20], lambda b: b[:400], lambda b: b"text\n" * 9])
def test_files_that_are_no_images_are_named(tmp_path, damage):
    content = png(tmp_path)
    folder = tmp_path / "set" / "a"
    folder.mkdir(parents=True)
    (folder / "good.png").write_bytes(content)
    (folder / "odd.png").write_bytes(damage(content))
    with pytest.raises(FileFormatError, match=r"odd\.png: .*expected .*image") as caught:
        read(tmp_path / "set")
    assert "\n" not in str(caught.value)


def test_a_truncated_jpeg_is_not_half_an_image(tmp_path):
    put(tmp_path / "a", "1.jpg", np.random.default_rng(2).integers(0, 256, (64, 64), dtype=np.uint8))
    path = tmp_path / "a" / "1.jpg"
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(FileFormatError, match=r"1\.jpg.*truncated"):
        read(tmp_path)


def test_sixteen_bits_are_not_cut_to_eight(tmp_path):
    put(tmp_path / "a", "1.png", GREY.astype(np.uint16) * 257)
    with pytest.raises(DataError, match="more than 8 bits"):
        read(tmp_path)


def test_folders_that_hold_nothing_to_learn_from(tmp_path):
    with pytest.raises(FileFormatError, match="holds no images"):
        read(tmp_path)
    put(tmp_path / "a", "1.png", GREY)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileFormatError, match="empty: holds no images"):
        read(tmp_path)
    (tmp_path / "empty").rmdir()
    put(tmp_path, "loose.png", GREY)
    with pytest.raises(DataError, match=r"1 images lie beside the sub-folders \(first: loose\.png\)"):
        read(tmp_path)


def test_options_for_columns_make_no_sense(tmp_path):
    put(tmp_path / "a", "1.png", GREY)
    for option in ({"label": "x"}, {"groups": "x"}):
        with pytest.raises(SettingError, match="sub-folders name the classes"):
            read(tmp_path, **option)
