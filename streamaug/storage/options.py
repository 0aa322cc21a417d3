"""The options of object storage: frozen, and without any secret.

Credentials are never an option: they come from the environment, as for each provider's own tools.
"""

import os
import re
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from streamaug.arguments import flag

#: Bytes of a block of the disk cache.
CACHE_BLOCK = 1 << 20
#: Bytes of the limit that are kept free for the cache's own bookkeeping.
CACHE_RESERVE = 4096
#: The least size of a cache: one block with its footer, and the bookkeeping.
CACHE_MINIMUM = CACHE_BLOCK + 2 * CACHE_RESERVE

Check = Literal["version", "size"]

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageOptions:
    """The options by which shards are fetched, retried, held and cached.

    Numbers of bytes may be written as text with a unit, "10GB" (10⁹ bytes each) or "10GiB" (2³⁰ each).

    Args:
        endpoint: URL of the S3-, GCS- or Azure-compatible service; None: that of the environment.
        region: Region of the bucket; None: that of the environment.
        anonymous: Send unsigned requests, for public buckets.
        request_timeout: Seconds without a byte of an answer, after which a request has failed.
        deadline: Seconds without progress of a range, over all its requests, after which reading has failed.
        concurrency: Requests in flight at once at most.
        memory_limit: Bytes held per process, in flight and undelivered.
        cache_dir: Folder of the disk cache for remote shards, shared by all jobs of a node; None: no cache.
        cache_limit: Bytes that the cache never exceeds.
        cache_min_free: Bytes of the disk that the cache leaves free; None: 10% of it or 10 GiB, the smaller.
        check: The facts of an object that must stay the same while it is read: "version" (its size and etag, or time),
            or "size" alone, for mirrors that send different etags.
        hedge: Whether to send a second request when a range takes far longer than most, for at most 1% more bytes.

    Raises:
        ValueError: If a value is out of its range, or the endpoint is no http(s) URL or carries a password.
        TypeError: If `anonymous` or `hedge` is no bool.
    """

    endpoint: str | None = None
    region: str | None = None
    anonymous: bool = False
    request_timeout: float = 30.0
    deadline: float = 180.0
    concurrency: int = 16
    memory_limit: int | str = 1 << 30
    cache_dir: str | PathLike[str] | None = None
    cache_limit: int | str = 64 << 30
    cache_min_free: int | str | None = None
    check: Check = "version"
    hedge: bool = True

    def __post_init__(self) -> None:
        for name, kinds, what in (
            ("endpoint", str, "a URL"),
            ("region", str, "a name"),
            ("cache_dir", str | PathLike, "a folder"),
        ):
            value = getattr(self, name)
            if value is not None and not isinstance(value, kinds):
                raise ValueError(f"StorageOptions.{name}: must be {what}, got {value!r}. Leave it out for the default.")
        if self.cache_dir is not None:
            object.__setattr__(self, "cache_dir", _folder("cache_dir", self.cache_dir))
        for name in ("memory_limit", "cache_limit", "cache_min_free"):
            object.__setattr__(self, name, _bytes(name, getattr(self, name)))
        for name in ("request_timeout", "deadline", "concurrency", "memory_limit"):
            self._check_positive(name)
        if self.concurrency != int(self.concurrency):
            raise ValueError(f"StorageOptions.concurrency: must be a whole number, got {self.concurrency}. Write 16.")
        for name in ("anonymous", "hedge"):
            object.__setattr__(self, name, flag(f"StorageOptions.{name}", getattr(self, name)))
        if self.cache_dir is not None and int(self.cache_limit) < CACHE_MINIMUM:
            raise ValueError(
                f"StorageOptions.cache_limit: must hold at least one block, {CACHE_MINIMUM} bytes, "
                f"got {self.cache_limit!r}. Raise it, or leave cache_dir out."
            )
        if self.check not in get_args(Check):
            raise ValueError(f'StorageOptions.check: must be "version" or "size", got {self.check!r}. Write "version".')
        if self.endpoint is not None:
            _check_endpoint(self.endpoint)

    def _check_positive(self, name: str) -> None:
        value = getattr(self, name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not value > 0:
            raise ValueError(f"StorageOptions.{name}: must be positive, got {value!r}. Leave it out for the default.")


def _folder(name: str, value: str | PathLike[str]) -> str | Path:
    """A folder as an absolute path, with `~` filled in, so that a program may change its own folder later."""
    path = os.path.expanduser(os.fspath(value))  # noqa: PTH111 - a name that is no user's stays as it is
    if not path:  # a variable that is not set; it would be the current folder
        raise ValueError(f"StorageOptions.{name}: must be a folder, got ''. Leave it out for the default.")
    path = os.path.abspath(path)  # noqa: PTH100 - as written in an error
    return path if isinstance(value, str) else Path(path)


def _bytes(name: str, value: Any) -> int | None:
    """A number of bytes, as a number or as text with a unit."""
    if value is None and name == "cache_min_free":
        return None
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        return int(float(match[1]) * (1024 if match[3] else 1000) ** _POWERS[match[2].lower()])
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or value != value // 1 or value < 0:
        raise ValueError(
            f'StorageOptions.{name}: must be a whole number of bytes, or text like "10GB" or "10GiB", got {value!r}. '
            'Write 10 * 10**9 or "10GB".'
        )
    return int(value)


def _check_endpoint(endpoint: str) -> None:
    try:
        parts = urlsplit(endpoint)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url or any(letter.isspace() for letter in endpoint):
        raise ValueError("StorageOptions.endpoint: must be an http(s) URL. Write https://host:port.")
    if parts.username is not None or parts.query:
        raise ValueError(
            "StorageOptions.endpoint: must not carry a user, password or query. "
            "Set the provider's environment variables instead."
        )
