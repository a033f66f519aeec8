"""The reader of a folder of images: one sub-folder per class, and optionally `unlabelled/`.

Images that lie in the folder itself, with no sub-folders, are rows without labels. `train/` and `test/` with
such sub-folders of their own are the two parts of one data set. All images have one size; rows are uint8,
grey where all images are grey, else red, green, blue. Transparent images are laid on white, as viewers show
them.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from lamina.core.errors import DataError, FileFormatError, SettingError
from lamina.data.messages import unreadable
from lamina.data.rows import Rows

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
UNLABELLED = ("unlabelled", "unlabeled")
GREY_MODES = ("1", "L", "LA")
DEEP_MODES = ("I", "F")  # and "I;16...": more than 8 bits per value


def read_image_folder(path: Path, label: object = None, groups: object = None) -> Rows:
    """Images as rows (n, channels * height * width) uint8, labelled by the names of their folders.

    Raises FileFormatError for a file that is no image, DataError for differing sizes or a folder without
    images, SettingError where `label` or `groups` is given, for rows of a folder have no columns.
    """
    if label is not None or groups is not None:
        option = "label" if label is not None else "groups"
        raise SettingError(f"{path}: a folder of images takes no {option}: its sub-folders name the classes")
    parts = [path / "train", path / "test"]
    if all(_sub_folders(part) for part in parts):
        train, test = (_list_images(part) for part in parts)
        both = _decode(train[0] + test[0], path)
        n = len(train[0])
        held_out = _as_rows(parts[1], both[n:], test[1])
        return _as_rows(path, both[:n], train[1], held_out)
    files, labels = _list_images(path)
    return _as_rows(path, _decode(files, path), labels)


def _as_rows(path: Path, images: np.ndarray, labels: list[str], test: Rows | None = None) -> Rows:
    written = np.array(labels, dtype=np.str_) if any(labels) else None
    X = images.reshape(len(images), -1)
    return Rows(str(path), X, images.shape[1:], (0.0, 255.0), written, unit="grey level", test=test)


def _sub_folders(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def _images_in(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def _list_images(path: Path) -> tuple[list[Path], list[str]]:
    """Files in a fixed order and the class of each, "" = unlabelled."""
    loose, folders = _images_in(path), _sub_folders(path)
    if loose and folders:
        raise DataError(
            f"{path}: {len(loose)} images lie beside the sub-folders (first: {loose[0].name}): move them "
            "into a class's "
            "sub-folder or into unlabelled/"
        )
    if not loose and not folders:
        raise FileFormatError(f"{path}: holds no images ({', '.join(SUFFIXES)}): expected one sub-folder per class")
    files, labels = list(loose), [""] * len(loose)
    for folder in folders:
        found = _images_in(folder)
        if not found:
            raise FileFormatError(f"{folder}: holds no images ({', '.join(SUFFIXES)}): add some or remove the folder")
        files += found
        labels += ["" if folder.name.lower() in UNLABELLED else folder.name] * len(found)
    return files, labels


def _decode(files: list[Path], path: Path) -> np.ndarray:
    """All images as (n, channels, height, width) uint8."""
    headers = [_header(file) for file in files]  # headers alone first: a wrong size is found before much is read
    _check_sizes(headers, files, path)
    width, height = headers[0][0]
    grey = all(mode in GREY_MODES for _, mode in headers)
    images = np.empty((len(files), 1 if grey else 3, height, width), dtype=np.uint8)
    for k, file in enumerate(files):
        images[k] = _pixels(file, grey)
    # Grey pictures are often stored in colour; three equal channels would only treble the work.
    if not grey and all(np.array_equal(i[0], i[1]) and np.array_equal(i[0], i[2]) for i in images):
        return np.ascontiguousarray(images[:, :1])
    return images


def _check_sizes(headers: list[tuple[tuple[int, int], str]], files: list[Path], path: Path) -> None:
    sizes = Counter(size for size, _ in headers)
    if len(sizes) == 1:
        return
    first = {size: file for (size, _), file in reversed(list(zip(headers, files, strict=True)))}
    seen = [f"{w}x{h} ({n}, such as {first[w, h].name})" for (w, h), n in sizes.most_common(3)]
    raise DataError(
        f"{path}: images of {len(sizes)} sizes, width x height {', '.join(seen)}: crop or resize all to one size"
    )


def _header(file: Path) -> tuple[tuple[int, int], str]:
    with _open(file) as image:
        if image.mode in DEEP_MODES or image.mode.startswith("I;"):
            raise DataError(
                f"{file}: more than 8 bits per value (mode {image.mode}): save as 8 bits, or all as one .npy"
            )
        return image.size, image.mode


def _open(file: Path) -> Any:
    from PIL import Image

    try:
        return Image.open(file)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise unreadable(file, error, "an image") from None


def _pixels(file: Path, grey: bool) -> np.ndarray:
    """One image, (channels, height, width) uint8."""
    from PIL import Image

    with _open(file) as image:
        try:
            image.load()
            if image.has_transparency_data:
                solid = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", solid.size, "white"), solid)
            pixels = np.asarray(image.convert("L" if grey else "RGB"))
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise unreadable(file, error, "a whole image") from None
    return pixels[None] if grey else pixels.transpose(2, 0, 1)
