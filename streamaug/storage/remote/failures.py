"""The failures of an attempt at an object store, as a small tree: whether another try can help, and the advice.

    RemoteError                 tried again until the deadline
    ├── RequestError            the request or the set-up is wrong: certain
    ├── MissingError            no such object: certain
    ├── ForbiddenError          the credentials do not allow it: certain
    │   └── ExpiredError        the signature or the credentials ran out: certain
    ├── BeyondEndError          the range begins behind the object's end: certain
    ├── UnknownHostError        no address for the host's name: certain, unless the host has answered before
    ├── UnreachableError        no server listens, or no route leads there: given up soon, unless it has answered before
    ├── NoCredentialsError      the environment has no keys: given up soon, unless the store has answered before
    ├── PageError               a web page came in place of the object: given up after a few times in a row
    └── WrongAnswerError        no answer to a range request as HTTP has them: the same
        ├── RangeIgnoredError   the whole object was sent
        └── ShortRangeError     a part of the range was sent, and called so

No text in it holds a secret.
"""

from typing import ClassVar


class RemoteError(Exception):
    """An attempt failed.

    Args:
        reason: The cause, without any secret.
        fix: The advice to the user; None: the class's own advice.
        final: Whether trying again cannot help; None: as for the class.
        tries: The number of times that it may come in a row; None: as for the class.

    Attributes:
        fix: The advice to the user.
        final: Whether trying again cannot help.
        patience: Seconds after which trying again is given up where the store has not answered yet, the deadline apart.
        tries: The number of times that it may come in a row.
    """

    fix: str = "Check the server, or raise StorageOptions.deadline."
    final: bool = False
    tries: float = float("inf")
    patience: ClassVar[float] = float("inf")

    def __init__(
        self, reason: str, *, fix: str | None = None, final: bool | None = None, tries: float | None = None
    ) -> None:
        super().__init__(reason)
        self.fix = self.fix if fix is None else fix
        self.final = self.final if final is None else final
        self.tries = self.tries if tries is None else tries


class RequestError(RemoteError):
    """The request itself is wrong, or the store cannot be set up: the region, an option, a variable."""

    final = True
    fix = "Check the URL, the region, StorageOptions and the environment."


class MissingError(RemoteError):
    """There is no such object."""

    final = True
    fix = "Check the URL."

    def __init__(self, reason: str = "there is no such object") -> None:
        super().__init__(reason)


class ForbiddenError(RemoteError):
    """The credentials do not allow it; S3 also gives this answer for missing objects where listing is not allowed."""

    final = True
    fix = "Check the credentials in the environment, or pass StorageOptions(anonymous=True)."


class ExpiredError(ForbiddenError):
    """A signed URL or the credentials of a session ran out."""

    fix = "Renew the credentials in the environment."


class BeyondEndError(RemoteError):
    """The range begins behind the object's end."""

    final = True


class UnknownHostError(RemoteError):
    """The host's name has no address."""

    fix = "Check the URL, StorageOptions.endpoint and the network's name service."
    patience = 0.0


class UnreachableError(RemoteError):
    """No server listens at the host's port, no route leads there, or its address cannot be looked up at present."""

    fix = "Check that the server runs, and the port of the URL or of StorageOptions.endpoint."
    patience = 20.0


class NoCredentialsError(RemoteError):
    """The environment names no credentials, and the machine's own metadata service gives none."""

    fix = "Set the provider's environment variables or profile, or pass StorageOptions(anonymous=True)."
    patience = 20.0  # enough for a service that a whole node asks at once; a laptop without it need not wait longer


class PageError(RemoteError):
    """The server sent a web page instead of the object: a sign-in, a proxy's message, a "not found" with status 200."""

    fix = "Open the URL in a browser to read the page; sign in, or name the server that has the files."
    tries = 8  # some 10 s: pages of overloaded proxies come now and then


class WrongAnswerError(RemoteError):
    """The server's answer breaks the rules of HTTP; a proxy's error may pass, a server's fault does not."""

    fix = "Serve the shards by a server that answers byte ranges with Content-Length and Content-Range, uncompressed."
    tries = 3


class RangeIgnoredError(WrongAnswerError):
    """The server answers a range request with the whole object."""


class ShortRangeError(WrongAnswerError):
    """The server answers with the beginning of the range, and says so.

    Attributes:
        stop: One past the last byte that it would send.
    """

    def __init__(self, reason: str, stop: int) -> None:
        super().__init__(reason)
        self.stop = stop
