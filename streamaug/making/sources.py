"""Recognises the kind of each source, and lists all sources.

In: the user's paths and URLs, all of one kind. Out: a `Listing` of each, or a listing of all tars together.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from streamaug.making.arrow import ArrowFiles, list_dataset, list_parquet, list_tables
from streamaug.making.image_folder import list_image_folder
from streamaug.making.image_list import list_csv
from streamaug.making.listing import Listing
from streamaug.making.options import MakeOptions
from streamaug.making.tars import list_tars
from streamaug.storage import StorageOptions
from streamaug.storage.location import Location, shown
from streamaug.storage.urls import expand


def list_sources(sources: Sequence[str], storage: StorageOptions, options: MakeOptions) -> list[Listing]:
    """List all samples of all sources.

    Raises:
        ValueError: If a source does not exist, is of no supported kind, or two are of different kinds.
        StreamaugError: If a source cannot be read.
    """
    known: dict[str, Callable[[str], Listing]] = {
        "an image folder": lambda url: list_image_folder(_path(url), storage),
        "a list": lambda url: list_csv(url, storage, options),
        "a Parquet file": lambda url: list_parquet(_path(url), storage, options),
        "an Arrow file": lambda url: list_tables(ArrowFiles([_path(url)]), options),
        "a Hugging Face dataset": lambda url: list_dataset(_path(url), options),
    }
    urls = [url for source in sources for url in ([source] if _exists(source) else expand(source))]
    kinds = [kind_of(url) for url in urls]
    if len(set(kinds)) > 1:
        other = next(number for number, kind in enumerate(kinds) if kind != kinds[0])
        raise ValueError(
            f"SOURCE: all must be of one kind, got {kinds[0]}, {shown(urls[0])}, and {kinds[other]}, "
            f"{shown(urls[other])}. Make shards of each apart."
        )
    if kinds[0] == "a tar":
        return [list_tars(list(dict.fromkeys(urls)), storage)]
    return list(map(partial(_checked, known[kinds[0]]), dict.fromkeys(urls)))


def _checked(list_one: Callable[[str], Listing], url: str) -> Listing:
    listing = list_one(url)
    if not listing.samples:
        raise ValueError(f"SOURCE: must hold samples, got none in {shown(url)}. Check the path.")
    return listing


def kind_of(url: str) -> str:
    """The kind of a source, by its name, and for a folder by the files in it.

    Raises:
        ValueError: If it is of no supported kind.
    """
    by_suffix = {
        "tar": "a tar",
        "csv": "a list",
        "tsv": "a list",
        "parquet": "a Parquet file",
        "arrow": "an Arrow file",
    }
    kind = by_suffix.get(Location.parse(url).name.rpartition(".")[2].lower())
    if not Location.parse(url).is_local:
        if kind in ("a tar", "a list"):
            return kind
        raise ValueError(
            f"SOURCE: tars and CSV lists may lie in object storage, got {shown(url)}. Copy it here, or list its images."
        )
    path = Path(_path(url))
    if path.is_dir():
        if (path / "dataset_dict.json").exists():
            splits = ", ".join(sorted(split.name for split in path.iterdir() if split.is_dir()))
            raise ValueError(
                f"SOURCE: must be one split, got a dataset of several, {url}: {splits}. Write {path / 'train'}."
            )
        return "a Hugging Face dataset" if (path / "state.json").exists() else "an image folder"
    if not path.exists():
        raise ValueError(f"SOURCE: must exist, got {url!r}. Check the path.")
    if kind is None:
        raise ValueError(
            f"SOURCE: must be a folder, .csv, .tsv, .parquet, .arrow or .tar, got {url!r}. Name the images' folder."
        )
    return kind


def _exists(source: str) -> bool:
    location = Location.parse(source)
    return location.is_local and Path(location.path).exists()


def _path(url: str) -> str:
    return Location.parse(url).path
