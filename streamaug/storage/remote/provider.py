"""`Provider`: the contract of a kind of object store; each kind has a file.

In: a URL behind its scheme, the base of a `Location`, the options. Out: base and path of the object, obstore's client
for it, and its failures with fitting advice. It keeps, shows and logs nothing. `providers.PROVIDERS` lists all
providers.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from streamaug.storage.options import StorageOptions
from streamaug.storage.remote.failures import RemoteError, RequestError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

#: Characters that no bucket's name has, and that obstore cannot send.
_NOT_IN_NAMES = frozenset(' \t\r\n\x00"<>\\^`{|}%?#')


class Provider(ABC):
    """Names and opens the objects of a URL scheme."""

    #: Whether names in URLs are percent-encoded and may be followed by a query, as web addresses are.
    is_web: ClassVar[bool] = False
    #: Whether the names of its objects can be asked for.
    can_list: ClassVar[bool] = True

    def split(self, scheme: str, rest: str) -> tuple[str, str]:
        """The base and the path of an object: the store to open, and the object in it.

        Args:
            scheme: The URL's scheme, in small letters.
            rest: The URL behind "://".

        Raises:
            ValueError: If it names no store.
        """
        return split_host(scheme, rest)

    @abstractmethod
    def open(self, base: str, options: StorageOptions, arguments: dict[str, Any]) -> "ObjectStore":
        """Make obstore's client of a store.

        Args:
            base: `Location.base`, as `split` gave it.
            options: The options of object storage.
            arguments: `client_options` and `retry_config` of obstore, to be completed and passed on.

        Raises:
            RequestError: If the options or the environment do not allow it.
        """

    def explained(self, base: str, failure: RemoteError) -> RemoteError:  # noqa: ARG002
        """A failure of one of its objects, with the provider's own explanation.

        Args:
            base: `Location.base` of the object.
            failure: The failure by obstore's error.
        """
        return failure


def split_host(scheme: str, rest: str) -> tuple[str, str]:
    """The base and the path of a URL whose first part is the host or bucket.

    Raises:
        ValueError: If it names no host or bucket.
    """
    host, _, path = rest.partition("/")
    if not host:
        raise ValueError("shards: a URL must name a host or bucket, got none. Write scheme://bucket/name.tar.")
    return f"{scheme}://{host}", path


def bucket_of(base: str) -> str:
    """The bucket or container of a base.

    Raises:
        RequestError: If no bucket can have that name.
    """
    name = base.partition("://")[2]
    if _NOT_IN_NAMES & set(name):
        raise RequestError(
            "a bucket's name must not hold blanks, line breaks or marks such as % and ?", fix="Check the URL."
        )
    return name


def allow_plain_http(arguments: dict[str, Any], endpoint: str) -> None:
    """Let obstore's client send unencrypted requests, if its endpoint is an http:// URL."""
    arguments["client_options"]["allow_http"] = endpoint.startswith("http://")
