"""`streamaug cache FOLDER`: shows the blocks and bytes of a disk cache; --clear deletes them.

Jobs that use the cache meanwhile go on: they fetch missing blocks again.
"""

import argparse
import json
from pathlib import Path

from streamaug.cli.usage import epilog
from streamaug.storage.cache.blocks import BlockCache
from streamaug.storage.options import CACHE_MINIMUM

_EXAMPLES = ["streamaug cache /local/cache", "streamaug cache /local/cache --clear"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog = epilog(_EXAMPLES)
    parser.add_argument("folder", metavar="FOLDER", help="the cache_dir of StorageOptions")
    parser.add_argument("--clear", action="store_true", help="delete all of its blocks")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Show or clear the cache.

    Raises:
        ValueError: If the folder holds no cache.
    """
    if not BlockCache.own_folder(arguments.folder).is_dir():
        raise ValueError(
            f"FOLDER: must hold a cache, got {arguments.folder!r}. Name the folder of --cache-dir, or the cache_dir of "
            "StorageOptions."
        )
    cache = BlockCache(Path(arguments.folder), CACHE_MINIMUM)
    size, count = cache.used()
    if arguments.clear:
        cache.clear()
    if arguments.json:
        facts = {"folder": arguments.folder, "blocks": count, "bytes": size, "deleted": arguments.clear}
        print(json.dumps(facts))
    else:
        print(f"{arguments.folder}: {count} blocks, {size} bytes{' deleted' if arguments.clear else ''}")
    return 0
