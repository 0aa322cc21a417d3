"""`Location`: a path or URL, parsed once, which every layer below passes on.

In: paths, `file://` and object-store URLs as users write them. Out: their parts, and the locations of files beside
them. A URL may carry a password or a signed query; only `shown` goes into messages and logs. The spelling of names
depends on the scheme: names in web addresses and `file://` are percent-encoded, and only web addresses have a query; in
the key of an object "?" and "#" are ordinary letters.
"""

import glob
import os
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from streamaug.storage.remote.provider import split_host
from streamaug.storage.remote.providers import PROVIDERS

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)://")
#: The parameters that a signature adds to a query, for AWS, Google, Azure and CloudFront: they differ at each signing.
_SIGNATURE = re.compile(
    r"x-(amz|goog|oss|ms)-.*|signature|expires|awsaccesskeyid|googleaccessid|policy|key-pair-id"
    r"|sig|se|st|sp|spr|sv|sr|sip|sks|skt|ske|skv|skoid|sktid|token",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, repr=False)
class Location:
    """The location of an object; made by `Location.parse`.

    Attributes:
        url: The path or URL as written; it may hold secrets.
        scheme: Its scheme in small letters; "file" for plain paths too.
        base: The part that a provider opens as a store: scheme, host or bucket, and a web address's query; "" for
            local files.
        path: The object within the store, or the path of a local file, not percent-encoded.
    """

    url: str
    scheme: str
    base: str
    path: str

    @classmethod
    def parse(cls, url: "str | os.PathLike[str] | Location") -> "Location":
        """The location that a path or URL names; returns a location unchanged.

        Raises:
            ValueError: If a URL of an object store names no host, bucket or repository.
        """
        if isinstance(url, Location):
            return url
        url = os.fspath(url)
        match = _SCHEME.match(url)
        if match is None:
            return cls(url, "file", "", url)
        scheme = match[1].lower()
        if scheme == "file":
            return cls(url, scheme, "", unquote(urlsplit(url).path))
        provider = PROVIDERS.get(scheme)
        base, path = (split_host if provider is None else provider.split)(scheme, url[match.end() :])
        return cls(url, scheme, base, path)

    def __repr__(self) -> str:
        return f"Location({self.shown!r})"

    @property
    def is_local(self) -> bool:
        """Whether it is a file of this machine."""
        return self.scheme == "file"

    @property
    def is_web(self) -> bool:
        """Whether it is a web address, whose server may answer with a page."""
        return _is_web(self.scheme)

    @property
    def is_pattern(self) -> bool:
        """Whether the path has `*`, `?` or `[`; in a web address as written, since %3F is a letter of a name."""
        path = self.path
        if self.is_web:
            head, name, _ = self._split()
            path = f"{head}{name}".partition("://")[2].partition("/")[2]
        return glob.has_magic(path)

    @property
    def shown(self) -> str:
        """The URL for messages: without user, password, query and fragment."""
        return shown(self.url)

    @property
    def server(self) -> str:
        """The host or bucket, for messages."""
        return shown(self.base)

    @property
    def folder(self) -> str:
        """The folder of the object, for messages."""
        return shown(self._split()[0])

    @property
    def name(self) -> str:
        """The file name at the end of the path, not percent-encoded."""
        return self.path.rpartition("/")[2]

    @property
    def unsigned(self) -> str:
        """The URL without user, password and signature: one name for an object, to be hashed."""
        if not self.is_web:
            return self.url
        query = urlsplit(self.base).query
        kept = [pair for pair in parse_qsl(query, keep_blank_values=True) if not _SIGNATURE.fullmatch(pair[0])]
        return f"{self.shown}?{kept}" if kept else self.shown

    @property
    def public(self) -> str:
        """The URL without user, password and signature, for files that others read."""
        if not self.is_web:
            return self.url
        query = parse_qsl(urlsplit(self.base).query, keep_blank_values=True)
        kept = urlencode([pair for pair in query if not _SIGNATURE.fullmatch(pair[0])])
        return f"{self.shown}?{kept}" if kept else self.shown

    def beside(self, name: str) -> "Location":
        """The file of that name in the same folder; a signed query stays, since it may cover the folder."""
        head, _, query = self._split()
        is_encoded = self.is_web or (self.is_local and _SCHEME.match(self.url) is not None)
        return Location.parse(f"{head}{quote(name, safe='/~') if is_encoded else name}{query}")

    def companion(self, suffix: str) -> "Location":
        """The file that belongs to a shard: x.tar → x.idx, wherever x.tar lies."""
        head, name, query = self._split()
        return Location.parse(f"{head}{name.removesuffix('.tar')}{suffix}{query}")

    @property
    def index(self) -> "Location":
        """The index file that belongs to a shard, by DALI's convention: x.tar → x.idx."""
        return self.companion(".idx")

    def _split(self) -> tuple[str, str, str]:
        """The URL up to its last slash, its last component as it is written, and its query or fragment."""
        end = re.search("[?#]", self.url) if self.is_web else None
        path, query = (self.url[: end.start()], self.url[end.start() :]) if end else (self.url, "")
        head, slash, name = path.rpartition("/")
        return f"{head}{slash}", name, query


def shown(url: str) -> str:
    """A path or URL, valid or not, for messages: without user and password, and a web address's query."""
    match = _SCHEME.match(url)
    if match is None:
        return url
    rest = url[match.end() :]
    if _is_web(match[1].lower()):
        rest = re.split("[?#]", rest, maxsplit=1)[0]
        if re.match(r"[^/@]*:(?!\d*(/|$))[^@]*@", rest):
            rest = rest.partition("@")[2]  # a password with a slash is not valid, but still a secret
    host, slash, path = rest.partition("/")
    return f"{match[0]}{host.rpartition('@')[2]}{slash}{path}"


def _is_web(scheme: str) -> bool:
    provider = PROVIDERS.get(scheme)
    return provider is not None and provider.is_web
