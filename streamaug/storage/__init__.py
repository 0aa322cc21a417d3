"""Bytes from anywhere: local files, HTTP, S3, GCS, Azure; and the index that says where a shard's samples lie."""

from streamaug.storage.fetcher import Fetcher
from streamaug.storage.options import StorageOptions
from streamaug.storage.storage import Storage

__all__ = ["Fetcher", "Storage", "StorageOptions"]
