"""`streamaug cache FOLDER`: how much a disk cache holds; with --clear, nothing any more.

Jobs that use the cache meanwhile go on: what they miss they fetch again.
"""

import argparse
from pathlib import Path

from streamaug.storage.cache import BlockCache
from streamaug.storage.options import CACHE_MINIMUM


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("folder", metavar="FOLDER", help="the cache_dir of StorageOptions")
    parser.add_argument("--clear", action="store_true", help="delete all of its blocks")


def run(arguments: argparse.Namespace) -> int:
    """Show or clear the cache.

    Raises:
        ValueError: If the folder holds no cache.
    """
    if not BlockCache.place(arguments.folder).is_dir():
        raise ValueError(f"FOLDER: must hold a cache, got {arguments.folder!r}. Name the cache_dir of StorageOptions.")
    cache = BlockCache(Path(arguments.folder), CACHE_MINIMUM)
    size, count = cache.used()
    if arguments.clear:
        cache.clear()
        print(f"{arguments.folder}: {count} blocks, {size} bytes deleted")
    else:
        print(f"{arguments.folder}: {count} blocks, {size} bytes")
    return 0
