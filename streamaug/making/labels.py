"""The class table: the number of each class name.

In: the labels of all listings, numbers or names, and a given table perhaps. Out: a number for each sample, and the
table that is written beside the shards as `classes.json`, a list of names whose n-th is class n.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from streamaug.making.listing import Listing

#: The largest label that a reader takes, see `streamaug.samples.label`.
MAX_LABEL = 10**18 - 1
_KINDS = {int: "class numbers", str: "class names", type(None): "samples without a label"}


def numbered(listings: Sequence[Listing], given: Sequence[str] | None) -> tuple[list[int | None], list[str] | None]:
    """The class number of every sample, in the listings' order, and the table; None without labels or names.

    Without a table, names are numbered in the order of their characters, as in torchvision's `ImageFolder`.

    Raises:
        ValueError: If only some samples have labels, names and numbers are mixed, tables differ, or a label is not in
            the table.
    """
    labels = [sample.label for listing in listings for sample in listing.samples]
    kinds = {type(label) for label in labels}
    if len(kinds) > 1:
        shown = " and ".join(sorted(_KINDS[kind] for kind in kinds))
        raise ValueError(
            f"SOURCE: labels must be of one kind in all sources, got {shown}. Label all samples, or make them apart."
        )
    tables = [listing.class_names for listing in listings if listing.class_names is not None]
    if kinds == {str}:
        return _from_names(labels, tables, given)
    if kinds == {int}:
        return _from_numbers(labels, tables, given)
    return [None] * len(labels), None


def _from_names(
    labels: Sequence[int | str | None], tables: Iterable[Sequence[str]], given: Sequence[str] | None
) -> tuple[list[int | None], list[str]]:
    names = sorted({str(label) for label in labels}.union(*tables)) if given is None else list(given)
    numbers = {name: number for number, name in enumerate(names)}
    unknown = next((label for label in labels if label not in numbers), None)
    if unknown is not None:
        raise ValueError(
            f"classes: the table must name every class of SOURCE, got none for {unknown!r} among {len(names)}. "
            "Add it, or leave its samples out."
        )
    return [numbers[str(label)] for label in labels], names


def _from_numbers(
    labels: Sequence[int | str | None], tables: Sequence[Sequence[str]], given: Sequence[str] | None
) -> tuple[list[int | None], list[str] | None]:
    numbers = [int(label) for label in labels if label is not None]
    known = tables if given is None else [*tables, given]
    if any(list(table) != list(known[0]) for table in known):
        raise ValueError(
            "classes: one table must hold for all of SOURCE, got tables that differ. Make them apart, or give labels "
            "as names."
        )
    table = list(known[0]) if known else None
    limit = MAX_LABEL if table is None else len(table) - 1
    wrong = next((number for number in numbers if not 0 <= number <= limit), None)
    if wrong is not None:
        raise ValueError(
            f"labels: class numbers must be 0 to {limit}, got {wrong}. Number the classes from 0; for images without "
            "labels leave the column out (--label-column '')."
        )
    return list(numbers), table


def read_table(path: str) -> list[str]:
    """The names of a class table: a JSON list, or a name on each line.

    Raises:
        ValueError: If the file cannot be read, or is no list of different names.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"classes: must be a readable table, got {path!r}: {error}. Write one name a line.") from None
    return parse_table(data, path)


def parse_table(data: bytes, path: str) -> list[str]:
    """The names of a class table; see `read_table`.

    Args:
        data: Its content.
        path: Its name in errors.

    Raises:
        ValueError: If it is no list of different names.
    """
    text = data.decode("utf-8-sig", "surrogateescape")
    try:
        is_json = text.lstrip()[:1] in ("[", "{")
        names = json.loads(text) if is_json else text.rstrip("\r\n").splitlines()
    except ValueError as error:
        raise ValueError(f"classes: must be a readable table, got {path!r}: {error}. Write one name a line.") from None
    if (
        not isinstance(names, list)
        or not names
        or not all(isinstance(name, str) and name for name in names)
        or len(set(names)) != len(names)
    ):
        raise ValueError(f"classes: must be a list of different names, got {path!r}. Write one name a line.")
    return list(names)


def write_table(names: Sequence[str]) -> str:
    """The text of `classes.json`."""
    return json.dumps(list(names), indent=0) + "\n"
