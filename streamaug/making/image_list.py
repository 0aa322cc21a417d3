"""A list of images: a CSV, TSV or Parquet file that names files, and labels perhaps.

In: a path or URL. Out: a `Listing`. Names are relative to the list's folder. A Parquet file that holds the images
themselves is `arrow`'s.
"""

import csv
import io
import re
from collections.abc import Callable, Sequence
from typing import Any

from streamaug.making.files import FileSource, sizes, stem
from streamaug.making.listing import IMAGE_SUFFIXES, Listed, Listing, bytes_in_tar
from streamaug.making.options import MakeOptions
from streamaug.storage import Storage, StorageOptions
from streamaug.storage.location import Location, shown

#: Names of columns in lower case, in order of preference.
IMAGE_NAMES = ("image", "img", "path", "file", "file_name", "filename", "filepath", "file_path", "image_path", "url")
_NUMBER = re.compile("[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)(e[+-]?[0-9]+)?|nan|[+-]?inf", re.IGNORECASE)
#: A number with a digit, so that "nan", a bread or a missing value, is no number among words.
_NUMERAL = re.compile(r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
LABEL_NAMES = ("label", "labels", "class", "cls", "target", "fine_label", "category", "class_name", "label_name")


def list_csv(url: str, storage: StorageOptions, options: MakeOptions) -> Listing:
    """List the images that a CSV or TSV file names; its first line may name the columns.

    Raises:
        ValueError: If the file is no such list, or none of its images exists.
        StorageError: If it cannot be read.
    """
    rows, lines = _read_rows(url, storage)
    image, label, header = _columns(rows[0], url, options)
    rows, lines = rows[header:], lines[header:]
    if not rows:
        raise ValueError(f"SOURCE: {shown(url)} must name images, got a header alone. Write lines below it.")
    width = 1 + max(image, image if label is None else label)
    short = next((number for number, row in enumerate(rows) if len(row) < width), None)
    if short is not None:
        raise ValueError(
            f"SOURCE: each row of {shown(url)} must have at least {width} columns, got {rows[short]} in line "
            f"{lines[short]}. Complete it."
        )
    labels = None if label is None else [row[label].strip() for row in rows]
    if labels is not None and not all(labels):
        raise ValueError(
            f"SOURCE: each row of {shown(url)} must have a label, got none in line {lines[labels.index('')]}. "
            "Complete it, or leave the column out (--label-column '')."
        )
    if labels is not None and options.classes is None:
        refuse_mixed(url, labels, lambda number: f"line {lines[number]}")
    return list_files(url, [row[image].strip() for row in rows], labels, storage)


def _read_rows(url: str, storage: StorageOptions) -> tuple[list[list[str]], list[int]]:
    """The rows of a CSV or TSV file that are not blank, at least one, and the number of each row's line, from 1."""
    data = Storage(storage).read_all(url)
    if data is None:
        raise ValueError(f"SOURCE: must exist, got {shown(url)!r}. Check the path.")
    if data.startswith(_UTF_16):
        raise ValueError(f"SOURCE: {shown(url)} must be UTF-8, got UTF-16. Save it as UTF-8.")
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        text = data.decode("utf-8-sig", "surrogateescape")
        delimiter = "\t" if url.lower().endswith(".tsv") else _delimiter(text)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        for row in reader:
            if row:
                rows.append(row)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise ValueError(f"SOURCE: {shown(url)} must be a list of comma-separated values, got: {error}.") from None
    if not rows:
        raise ValueError(f"SOURCE: {shown(url)} must name images, got an empty file. Write image,label lines.")
    return rows, lines


def _delimiter(text: str) -> str:
    """The separator of a CSV file: a comma; where the first line has no comma, its semicolon or tab."""
    first = text.partition("\n")[0]
    return "," if "," in first else next((other for other in ";\t" if other in first), ",")


def _columns(first: Sequence[str], url: str, options: MakeOptions) -> tuple[int, int | None, int]:
    """The numbers of the image's and the label's column, and how many rows the header has, 0 or 1."""
    names = [cell.strip().lower() for cell in first]
    given = options.image_column is not None or bool(options.label_column)
    if not given and not set(names) & set(IMAGE_NAMES):
        if stem(first[0].strip())[1] not in IMAGE_SUFFIXES or len(first) > 2:
            raise ValueError(
                f"SOURCE: {shown(url)} must have a column of images, got {', '.join(first)}. Name it with "
                "--image-column, or write image,label lines."
            )
        return 0, 1 if len(first) == 2 and options.label_column != "" else None, 0
    image, label = choose_columns([cell.strip() for cell in first], url, options)
    exact = [cell.strip() for cell in first]
    return exact.index(image), None if label is None else exact.index(label), 1


def choose_columns(names: Sequence[str], url: str, options: MakeOptions) -> tuple[str, str | None]:
    """The columns of images and of labels: the given names, else likely names.

    Raises:
        ValueError: If there is no such column; names the existing columns.
    """

    def find(given: str | None, known: Sequence[str], option: str, *, optional: bool) -> str | None:
        if given is not None:
            if given in names:
                return given
        else:
            by_lower = {name.lower(): name for name in reversed(names)}
            found = next((by_lower[name] for name in known if name in by_lower), None)
            if found is not None or optional:
                return found
        raise ValueError(
            f"SOURCE: {shown(url)} must have the column {given or known[0]!r}, got {', '.join(names)}. "
            f"Name one with {option}."
        )

    image = find(options.image_column, IMAGE_NAMES, "--image-column", optional=False)
    if options.label_column == "" or (options.label_column is None and len(names) == 1):
        return str(image), None
    label = find(options.label_column, LABEL_NAMES, "--label-column ('' for none)", optional=False)
    return str(image), label


def list_files(url: str, names: Sequence[str], labels: Sequence[Any] | None, storage: StorageOptions) -> Listing:
    """The listing of the files in a list.

    Raises:
        ValueError: If no file exists.
    """
    path = Location.parse(url)
    refs = [name if path.is_local or "://" in name else path.beside(name).url for name in names]
    is_remote = any("://" in ref and not Location.parse(ref).is_local for ref in refs)
    folder = path.path.rpartition("/")[0] if path.is_local else ""
    source = FileSource(folder, storage, is_remote=is_remote)
    known = sizes(source, refs)
    if max(known) < 0:
        raise ValueError(
            f"SOURCE: the images that {shown(url)} names must exist, got none of {len(refs)}, "
            f"{source.describe(refs[0])!r} first. Names are relative to the list's folder."
        )
    samples = [
        Listed(stem(Location.parse(ref).path)[0], ref, bytes_in_tar(max(0, size)), label)
        for ref, size, label in zip(refs, known, _typed(labels, len(refs)), strict=True)
    ]
    return Listing(source, samples)


def refuse_mixed(url: str, labels: Sequence[Any], place: Callable[[int], str]) -> None:
    """Refuse a column that has numbers in some rows and words in others.

    As names, the numbers would be counted anew in the order of their characters: 10 before 9.

    Args:
        url: The list.
        labels: The column; only texts are judged.
        place: Where in the list the label with a number stands, as "line 5".

    Raises:
        ValueError: If some labels are numbers and some are words; names the first of each.
    """
    if not all(isinstance(label, str) for label in labels):
        return
    numbers = [number for number, label in enumerate(labels) if _NUMERAL.fullmatch(label)]
    if not numbers or len(numbers) == len(labels):
        return
    first = numbers[0]
    word = next(number for number, label in enumerate(labels) if not _NUMERAL.fullmatch(label))
    raise ValueError(
        f"SOURCE: the labels of {shown(url)} must be class numbers or names in all rows, got "
        f"{_counted(len(numbers), 'number')} ({labels[first]!r} in {place(first)}) and "
        f"{_counted(len(labels) - len(numbers), 'name')} ({labels[word]!r} in {place(word)}). Repair the rows; if the "
        "numbers are names too, list all names in a file and pass it as --classes."
    )


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _typed(labels: Sequence[Any] | None, count: int) -> Sequence[int | str | None]:
    """Labels as numbers, if all are numbers; else as names.

    Raises:
        ValueError: If some are neither numbers nor names.
    """
    if labels is None:
        return [None] * count
    if all(isinstance(label, str) for label in labels):
        if all(map(_NUMBER.fullmatch, labels)):
            return [int(label) for label in labels]
        if all(map(_DECIMAL.fullmatch, labels)):
            return whole_numbers([label for label in labels if not _NUMBER.fullmatch(label)])
        return labels
    return whole_numbers(labels)


def whole_numbers(labels: Sequence[Any]) -> list[int]:
    """The labels as whole numbers.

    Raises:
        ValueError: If a label is no whole number, or is missing.
    """
    wrong = [label for label in labels if not isinstance(label, int)]
    if wrong:
        raise ValueError(f"labels: must be class numbers, or names in all rows, got {wrong[0]!r}. Repair the list.")
    return [int(label) for label in labels]
