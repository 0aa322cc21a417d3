"""Bytes from anywhere: local files, HTTP, S3, GCS, Azure; and the index that says where a shard's samples lie."""

from streamaug.storage.fetch import Fetcher
from streamaug.storage.options import StorageOptions
from streamaug.storage.stores import Storage

__all__ = ["Fetcher", "Storage", "StorageOptions"]
