"""The bytes of any path or URL: local files, HTTP, S3, GCS, Azure, Hugging Face; with a disk cache."""

from streamaug.storage.fetcher import Fetcher
from streamaug.storage.options import StorageOptions
from streamaug.storage.storage import Storage

__all__ = ["Fetcher", "Storage", "StorageOptions"]
