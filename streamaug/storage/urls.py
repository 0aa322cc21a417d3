"""Names of shards: schemes, neighbours, and what of a URL may be shown.

In: paths, `file://` and object-store URLs as users write them. Out: their parts. A URL may carry a password or a signed
query; only `shown(url)` goes into messages, logs and cache keys.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from webdataset.shardlists import expand_urls

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)://")


class Location(NamedTuple):
    """Where an object lies: `base` opens a store ("" for local paths), `path` names the object within it."""

    scheme: str
    base: str
    path: str


def locate(url: str) -> Location:
    """Split a URL into scheme, store and object; plain paths and file:// have the scheme "file" and a file path.

    Raises:
        ValueError: If a URL of an object store names no host or bucket.
    """
    match = _SCHEME.match(url)
    if match is None:
        return Location("file", "", url)
    scheme = match[1].lower()
    if scheme == "file":
        return Location("file", "", unquote(urlsplit(url).path))
    rest = url[match.end() :]
    host, _, path = rest.partition("/")
    if not host:
        raise ValueError(f"shards: a URL must name a host or bucket, got {url!r}. Write {scheme}://bucket/name.tar.")
    if scheme in ("http", "https"):
        path, mark, query = path.partition("#")[0].partition("?")
        return Location(scheme, f"{scheme}://{host}/{mark}{query}" if query else f"{scheme}://{host}", unquote(path))
    return Location(scheme, f"{scheme}://{host}", path)


def is_local(url: str) -> bool:
    """Whether the URL is a plain path or file://."""
    return locate(url).scheme == "file"


def shown(url: str) -> str:
    """The URL without user, password, query or fragment: what messages and cache keys may hold."""
    match = _SCHEME.match(url)
    if match is None:
        return url
    host, slash, path = url[match.end() :].partition("/")
    return f"{match[0]}{host.rpartition('@')[2]}{slash}{re.split('[?#]', path, maxsplit=1)[0]}"


def last_component(url: str) -> str:
    """The file name at the end of the URL's path."""
    return locate(url).path.rpartition("/")[2]


def beside(url: str, name: str) -> str:
    """The URL of the file called `name` in the folder of `url`; a signed query stays, since it may cover the folder."""
    if _SCHEME.match(url) is None:
        head, slash, _ = url.rpartition("/")
        return f"{head}{slash}{name}"
    path, mark, query = url.partition("?")
    return f"{path.rpartition('/')[0]}/{name}{mark}{query}"


def index_url(url: str) -> str:
    """The index file that belongs to a shard, DALI's convention: x.tar → x.idx."""
    name = last_component(url)
    return beside(url, f"{name.removesuffix('.tar')}.idx")


def expand(source: str | Sequence[str]) -> list[str]:
    """All URLs that `source` names, in order: braces, `::` and ${NAME} (from WDS_NAME) as webdataset expands them.

    Raises:
        ValueError: If the source is empty or names an environment variable that is not set.
    """
    urls: list[str] = []
    for one in [source] if isinstance(source, str) else list(source):
        try:
            urls += expand_urls(str(one))
        except AssertionError as error:
            raise ValueError(f"shards: every ${{NAME}} needs its variable WDS_NAME, got {one!r}. {error}.") from None
    if not urls or not all(urls):
        raise ValueError(f"shards: at least one path or URL is needed, got {source!r}. Name the shards.")
    return urls
