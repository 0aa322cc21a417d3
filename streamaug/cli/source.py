"""The arguments of every command about shards: the shards, their storage, and the machines that work on them."""

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from streamaug.cluster import on_ray
from streamaug.shards.sources import Listed, absolute, list_shards
from streamaug.storage import Storage
from streamaug.storage.options import StorageOptions
from streamaug.storage.parallel import in_parallel
from streamaug.storage.progress import Progress
from streamaug.storage.urls import expand

if TYPE_CHECKING:
    from streamaug.shards.shard_set import ShardSet

S = TypeVar("S")
T = TypeVar("T")

_DEFAULTS = StorageOptions()


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add SHARDS and the storage options to a parser."""
    what = "paths or URLs of tars, with {000..146} or *; folders; manifests"
    parser.add_argument("shards", nargs="+", metavar="SHARDS", help=what)
    add_storage(parser)


def add_ray(parser: argparse.ArgumentParser) -> None:
    """Add --ray to a parser."""
    parser.add_argument("--ray", metavar="ADDRESS", help="work on the nodes of this Ray cluster: auto, or host:port")


def on_each(
    storage: Storage,
    function: Callable[[S], T],
    items: Sequence[S],
    *,
    what: str,
    threads: int | None = None,
    ray: str | None = None,
) -> Iterator[T]:
    """`function(item)` of every item, in order, by threads of this process, or by a Ray cluster's nodes.

    Args:
        storage: The storage from which the function reads.
        function: The work on an item; for a cluster it must be picklable.
        items: Shards, as a rule.
        what: The bar's title.
        threads: Items worked on at once in this process; None: the storage's `concurrency`.
        ray: The cluster's address; None: no cluster.

    Raises:
        Exception: As the function raises.
    """
    if ray is None:
        yield from in_parallel(storage, function, items, what=what, threads=threads)
        return
    results: dict[int, T] = {}
    with Progress(total=len(items), what=what) as progress:
        for number, result in on_ray(ray, function, items, tick=lambda: None):
            results[number] = result
            progress.advance()
    yield from (results[number] for number in range(len(items)))


def add_split(parser: argparse.ArgumentParser) -> None:
    """Add --split to a parser."""
    parser.add_argument("--split", metavar="NAME", help="the split to take where several are named: train, say")


def list_source(
    storage: Storage, shards: Sequence[str], split: str | None = None, *, on_nodes: bool = False
) -> list[Listed]:
    """The shards that the arguments name, of one split or of all.

    Args:
        storage: Reads manifests.
        shards: The user's arguments.
        split: The split; None: all.
        on_nodes: Whether other machines read them, which have another current folder: then paths become absolute.

    Raises:
        ValueError: If no shard is named, or there is no such split.
        StreamaugError: If a folder, pattern or manifest cannot be read.
    """
    names = [absolute(name) for name in expand(shards)] if on_nodes else expand(shards)
    return list_shards(storage, names, split=split, every_split=split is None, manifests=split is not None)


def add_set(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `open_set` to a parser."""
    add_source(parser)
    add_split(parser)
    parser.add_argument("--components", nargs="+", default=["jpg;jpeg;png;webp", "cls"], help="as for ShardSet.open")


def open_set(arguments: argparse.Namespace, *, further: Sequence[str] = ()) -> "ShardSet":
    """The set that the arguments name, with further components.

    Raises:
        ValueError: If no shard is named, or several splits are named and none is chosen.
        StreamaugError: If the set cannot be opened.
    """
    components = [*arguments.components, *(name for name in further if name not in arguments.components)]
    options = storage_options(arguments)
    from streamaug.shards.shard_set import ShardSet  # imports the orders, which most commands do without

    return ShardSet.open(arguments.shards, components=components, split=arguments.split, storage=options)


def add_storage(parser: argparse.ArgumentParser) -> None:
    """Add the storage options to a parser."""
    group = parser.add_argument_group("storage")
    group.add_argument("--endpoint", help="URL of an S3-, GCS- or Azure-compatible service")
    group.add_argument("--region", help="region of the bucket")
    group.add_argument("--anonymous", action="store_true", help="send unsigned requests")
    group.add_argument(
        "--concurrency",
        type=int,
        default=_DEFAULTS.concurrency,
        help="requests in flight at once (default: %(default)s)",
    )
    group.add_argument(
        "--deadline", type=float, default=_DEFAULTS.deadline, help="seconds a range may take (default: %(default)s)"
    )
    group.add_argument("--cache-dir", help="folder of the disk cache for remote shards")


def storage_options(arguments: argparse.Namespace) -> StorageOptions:
    """The storage options of the command line.

    Raises:
        ValueError: If an option is out of range.
    """
    return StorageOptions(
        endpoint=arguments.endpoint,
        region=arguments.region,
        anonymous=arguments.anonymous,
        concurrency=arguments.concurrency,
        deadline=arguments.deadline,
        request_timeout=min(_DEFAULTS.request_timeout, arguments.deadline if arguments.deadline > 0 else math.inf),
        cache_dir=arguments.cache_dir,
    )
