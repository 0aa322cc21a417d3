"""An image folder: a folder for each class, with images at any depth, as for torchvision's `ImageFolder`.

In: a path. Out: a `Listing` with the names of all classes, those without an image included. It follows symbolic links,
and counts and skips files without an image's suffix.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from streamaug.errors import StorageError
from streamaug.making.files import FileSource, one_by_one, stem
from streamaug.making.listing import IMAGE_SUFFIXES, Listed, Listing, bytes_in_tar
from streamaug.shards.splits import is_split
from streamaug.storage import StorageOptions


class _Found(NamedTuple):
    """The contents of a class's folder: (path below the root, size) of its images, and the skipped suffixes."""

    images: list[tuple[str, int]]
    passed_over: Counter[str]


def list_image_folder(root: str, options: StorageOptions) -> Listing:
    """List the images of a folder of classes.

    Raises:
        ValueError: If there is no class, no image, or an image outside of the class folders.
        StorageError: If a folder cannot be read.
    """
    try:
        top = sorted(os.scandir(root), key=lambda entry: entry.name)
        names = [entry.name for entry in top if entry.is_dir() and not entry.name.startswith(".")]
        loose = _Found([], Counter())
        for entry in top:
            if not entry.is_dir():
                _add(loose, entry, entry.name)
    except OSError as error:
        raise _unreadable(root, error) from error
    _check(root, names, loose)
    folders = list(one_by_one(lambda name: _walk(root, name), names))
    _check_one_split(root, names, folders)
    samples = [
        Listed(stem(path)[0], path, bytes_in_tar(size), name)
        for name, folder in zip(names, folders, strict=True)
        for path, size in folder.images
    ]
    if not samples:
        raise ValueError(
            f"SOURCE: the class folders must hold images, got none in the {len(names)} folders of {root!r}. "
            "Name the folder whose folders are the classes."
        )
    passed_over = sum((folder.passed_over for folder in folders), loose.passed_over)
    empty = [name for name, folder in zip(names, folders, strict=True) if not folder.images]
    return Listing(FileSource(root, options), samples, names, list(_notes(root, names, passed_over, empty)))


def _check(root: str, names: Sequence[str], loose: _Found) -> None:
    if loose.images and names:
        raise ValueError(
            f"SOURCE: images must lie in the folder of their class, got {loose.images[0][0]!r} beside the "
            f"{len(names)} class folders of {root!r}. Move it, or list images and labels in a CSV file."
        )
    if not names:
        held = "images without classes" if loose.images else "no folder"
        if loose.passed_over["tar"]:
            held = "tars"
        raise ValueError(
            f"SOURCE: must hold a folder for each class, got {held} in {root!r}. Name the tars themselves, or list "
            "images, and their labels where there are any, in a CSV file."
        )


def _check_one_split(root: str, names: Sequence[str], folders: Sequence[_Found]) -> None:
    """Refuse the folder above those of the splits: its classes would be called train and val."""
    images = [path for folder in folders for path, _ in folder.images]
    if images and all(map(is_split, names)) and all(path.count("/") > 1 for path in images):
        first = Path(root) / names[0]
        raise ValueError(
            f"SOURCE: must be the folder of one split, got that of {', '.join(names)}, {root!r}. Write {first}, and "
            "make shards of each apart."
        )


def _walk(root: str, name: str) -> _Found:
    """All images below a folder, sorted by path; enters a folder that is its own ancestor by a link once."""
    found = _Found([], Counter())
    pending = [(name, frozenset[tuple[int, int]]())]
    while pending:
        folder, above = pending.pop()
        path = os.path.join(root, folder)  # noqa: PTH118 - strings are as fast as it gets
        try:
            status = os.stat(path)  # noqa: PTH116
            here = (status.st_dev, status.st_ino)
            if here in above:
                continue
            for entry in os.scandir(path):
                if entry.is_dir():
                    if not entry.name.startswith("."):
                        pending.append((f"{folder}/{entry.name}", above | {here}))
                else:
                    _add(found, entry, f"{folder}/{entry.name}")
        except OSError as error:
            raise _unreadable(path, error) from error
    found.images.sort()
    return found


def _add(found: _Found, entry: os.DirEntry[str], path: str) -> None:
    suffix = stem(entry.name)[1]
    if entry.name.startswith("."):
        found.passed_over["hidden"] += 1
    elif suffix in IMAGE_SUFFIXES:
        try:
            size = entry.stat().st_size
        except OSError:  # a broken link: an image that cannot be read
            size = 0
        found.images.append((path, size))
    else:
        found.passed_over[suffix] += 1


def _notes(root: str, names: Sequence[str], passed_over: Counter[str], empty: Sequence[str]) -> Iterator[str]:
    if passed_over:
        kinds = ", ".join(f"{count} {'.' * (kind != 'hidden') + kind}" for kind, count in passed_over.most_common(5))
        yield f"{root}: {passed_over.total()} files are no images by their suffix and are passed over: {kinds}"
    if empty:
        shown = ", ".join(empty[:5]) + (", …" if len(empty) > 5 else "")
        yield f"{root}: {len(empty)} of {len(names)} classes have no image and keep their number: {shown}"
    if all(name.isdecimal() for name in names) and names != [str(number) for number in range(len(names))]:
        yield (
            f"{root}: the classes are numbers, and are numbered anew in the order of their characters, "
            "as torchvision's ImageFolder does: see classes.json"
        )


def _unreadable(path: str, error: OSError) -> StorageError:
    return StorageError(f"{path}: the folder must be readable, got: {error.strerror or error}. Check its rights.")
