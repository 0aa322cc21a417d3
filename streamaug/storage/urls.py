"""Names of shards: schemes, neighbours, and what of a URL may be shown.

In: paths, `file://` and object-store URLs as users write them. Out: their parts. A URL may carry a password or a signed
query; only `shown(url)` goes into messages and logs. Only http(s) URLs have a query: in the key of an object "?" and
"#" are letters like others.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from webdataset.shardlists import expand_urls

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)://")
_WEB = re.compile(r"^https?://", re.IGNORECASE)
#: What a signature adds to a query, for AWS, Google, Azure and CloudFront: it differs for one and the same object.
_SIGNATURE = re.compile(
    r"x-(amz|goog|oss|ms)-.*|signature|expires|awsaccesskeyid|googleaccessid|policy|key-pair-id"
    r"|sig|se|st|sp|spr|sv|sr|sip|sks|skt|ske|skv|skoid|sktid|token",
    re.IGNORECASE,
)


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
        raise ValueError(
            f"shards: a URL must name a host or bucket, got {shown(url)!r}. Write {scheme}://bucket/name.tar."
        )
    if scheme in ("http", "https"):
        path, mark, query = path.partition("#")[0].partition("?")
        return Location(scheme, f"{scheme}://{host}/{mark}{query}" if query else f"{scheme}://{host}", unquote(path))
    return Location(scheme, f"{scheme}://{host}", path)


def is_local(url: str) -> bool:
    """Whether the URL is a plain path or file://."""
    return locate(url).scheme == "file"


def shown(url: str) -> str:
    """The URL as messages may hold it: without user and password, and of http(s) without query or fragment."""
    match = _SCHEME.match(url)
    if match is None:
        return url
    rest = url[match.end() :]
    if _WEB.match(url):
        rest = re.split("[?#]", rest, maxsplit=1)[0]
        if re.match(r"[^/@]*:(?!\d*(/|$))[^@]*@", rest):
            rest = rest.partition("@")[2]  # a password with a slash in it, which nobody can send, but nobody shall read
    host, slash, path = rest.partition("/")
    return f"{match[0]}{host.rpartition('@')[2]}{slash}{path}"


def versionless(url: str) -> str:
    """The URL without what a signature adds to it, user and password: one name for one object, to be hashed."""
    if _WEB.match(url) is None:
        return url
    query = url.partition("#")[0].partition("?")[2]
    kept = [pair for pair in parse_qsl(query, keep_blank_values=True) if not _SIGNATURE.fullmatch(pair[0])]
    return f"{shown(url)}?{kept}" if kept else shown(url)


def last_component(url: str) -> str:
    """The file name at the end of the URL's path, not percent-encoded."""
    return locate(url).path.rpartition("/")[2]


def _split(url: str) -> tuple[str, str, str]:
    """A URL up to its last slash, its last component as it is written, and its query."""
    end = re.search("[?#]", url) if _WEB.match(url) else None
    path, tail = (url[: end.start()], url[end.start() :]) if end else (url, "")
    head, slash, name = path.rpartition("/")
    return f"{head}{slash}", name, tail


def beside(url: str, name: str) -> str:
    """The URL of the file called `name` in the folder of `url`; a signed query stays, since it may cover the folder."""
    head, _, tail = _split(url)
    encoded = _SCHEME.match(url) is not None and locate(url).scheme in ("http", "https", "file")
    return f"{head}{quote(name, safe='/~') if encoded else name}{tail}"


def companion(url: str, suffix: str) -> str:
    """The file that belongs to a shard: x.tar → x.idx, wherever x.tar lies."""
    head, name, tail = _split(url)
    return f"{head}{name.removesuffix('.tar')}{suffix}{tail}"


def index_url(url: str) -> str:
    """The index file that belongs to a shard, DALI's convention: x.tar → x.idx."""
    return companion(url, ".idx")


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
            what = shown(str(one))
            raise ValueError(f"shards: every ${{NAME}} needs its variable WDS_NAME, got {what!r}. {error}.") from None
    if not urls or not all(urls):
        what = "an empty name" if urls else "none"
        raise ValueError(f"shards: at least one path or URL is needed, got {what}. Name the shards.")
    return urls
