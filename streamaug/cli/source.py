"""What every command about shards takes: the shards, and how their storage is reached."""

import argparse

from streamaug.storage.options import StorageOptions


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add SHARDS and the storage options to a parser."""
    parser.add_argument("shards", nargs="+", metavar="SHARDS", help="paths or URLs of tars; braces are expanded")
    group = parser.add_argument_group("storage")
    group.add_argument("--endpoint", help="URL of an S3-, GCS- or Azure-compatible service")
    group.add_argument("--region", help="region of the bucket")
    group.add_argument("--anonymous", action="store_true", help="send unsigned requests")
    group.add_argument("--concurrency", type=int, default=16, help="requests in flight at once (default: %(default)s)")
    group.add_argument("--deadline", type=float, default=180.0, help="seconds a range may take (default: %(default)s)")
    group.add_argument("--cache-dir", help="folder of the disk cache for remote shards")


def storage_options(arguments: argparse.Namespace) -> StorageOptions:
    """The storage options that were given.

    Raises:
        ValueError: If one is out of range.
    """
    return StorageOptions(
        endpoint=arguments.endpoint,
        region=arguments.region,
        anonymous=arguments.anonymous,
        concurrency=arguments.concurrency,
        deadline=arguments.deadline,
        request_timeout=min(30.0, arguments.deadline),
        cache_dir=arguments.cache_dir,
    )
