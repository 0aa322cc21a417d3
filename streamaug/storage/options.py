"""How object storage is reached: one frozen set of numbers, without any secret.

Credentials are never an option: they come from the environment, as each provider's own tools read them.
"""

from dataclasses import dataclass
from os import PathLike
from urllib.parse import urlsplit

#: Bytes of a block of the disk cache.
CACHE_BLOCK = 1 << 20
#: Bytes of the limit that are kept free for the cache's own bookkeeping.
CACHE_RESERVE = 4096
#: The least size of a cache: one block with its footer, and the bookkeeping.
CACHE_MINIMUM = CACHE_BLOCK + 2 * CACHE_RESERVE


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageOptions:
    """How shards are fetched, retried, held and cached.

    Args:
        endpoint: URL of the S3-, GCS- or Azure-compatible service; None: as the environment says.
        region: Region of the bucket; None: as the environment says.
        anonymous: Send unsigned requests, for public buckets.
        request_timeout: Seconds that one request may take, its body included.
        deadline: Seconds that a range may take, over all retries.
        concurrency: Requests in flight at once.
        memory_limit: Bytes held per process, in flight and undelivered.
        cache_dir: Folder of the disk cache for remote shards, shared by all jobs of a node; None: no cache.
        cache_limit: Bytes that the cache never exceeds.
        hedge: Send a second request when one takes far longer than most, for at most 1% more bytes.

    Raises:
        ValueError: If a number is out of its range, or the endpoint is no http(s) URL or carries a password.
    """

    endpoint: str | None = None
    region: str | None = None
    anonymous: bool = False
    request_timeout: float = 30.0
    deadline: float = 180.0
    concurrency: int = 16
    memory_limit: int = 1 << 30
    cache_dir: str | PathLike[str] | None = None
    cache_limit: int = 64 << 30
    hedge: bool = True

    def __post_init__(self) -> None:
        for name, floor in (("request_timeout", 0.0), ("deadline", 0.0), ("concurrency", 0), ("memory_limit", 0)):
            value = getattr(self, name)
            if not value > floor:
                raise ValueError(
                    f"StorageOptions.{name}: must be positive, got {value!r}. Leave it out for the default."
                )
        if self.cache_dir is not None and self.cache_limit < CACHE_MINIMUM:
            raise ValueError(
                f"StorageOptions.cache_limit: must hold at least one block, {CACHE_MINIMUM} bytes, "
                f"got {self.cache_limit!r}. Raise it, or leave cache_dir out."
            )
        if self.endpoint is not None:
            parts = urlsplit(self.endpoint)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("StorageOptions.endpoint: must be an http(s) URL. Write https://host:port.")
            if parts.username is not None or parts.query:
                raise ValueError(
                    "StorageOptions.endpoint: must not carry a user, password or query. "
                    "Set the provider's environment variables instead."
                )
