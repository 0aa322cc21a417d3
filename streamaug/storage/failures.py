"""What a failed attempt at an object store is: obstore's exceptions as a small tree of ours, in words free of secrets.

In: one call. Out: its result, or a `RemoteError` that says whether another try can help, and what a person can do.
Nothing is chained, since obstore's texts hold bodies, signed queries and what a credential helper printed.
"""

import re
from collections.abc import Callable
from typing import ClassVar, TypeVar

from obstore.exceptions import (
    BaseError,
    InvalidPathError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
    UnknownConfigurationKeyError,
)

T = TypeVar("T")

_FINAL = (InvalidPathError, UnknownConfigurationKeyError, PreconditionError)
#: Client errors that may pass: Request Timeout, Conflict, Too Early, Too Many Requests; others: the request is wrong.
_PASSING = (408, 409, 425, 429)
#: Where the clouds serve the credentials of an instance, a container or a pod.
_METADATA = re.compile(r"//169\.254\.|/latest/(api/token|meta-data)|/computeMetadata/|/metadata/identity/")


class RemoteError(Exception):
    """An attempt failed. The text holds no secret.

    Attributes:
        final: Trying again cannot help.
        fix: What the user can do.
        patience: Seconds after which trying again is given up where nothing could be read yet, the deadline apart.
    """

    fix: ClassVar[str] = "Check the server, or raise StorageOptions.deadline."
    patience: ClassVar[float] = float("inf")

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


class RequestError(RemoteError):
    """The request itself is wrong, or the store cannot be set up: the region, an option, a variable."""

    fix = "Check the URL, the region, StorageOptions and the environment."

    def __init__(self, reason: str) -> None:
        super().__init__(reason, final=True)


class MissingError(RemoteError):
    """There is no such object."""

    fix = "Check the URL."

    def __init__(self, reason: str = "there is no such object") -> None:
        super().__init__(reason, final=True)


class ForbiddenError(RemoteError):
    """The credentials do not allow it; S3 answers so for missing objects too where listing is not allowed."""

    fix = "Check the credentials in the environment, or pass StorageOptions(anonymous=True)."

    def __init__(self, reason: str) -> None:
        super().__init__(reason, final=True)


class NoCredentialsError(RemoteError):
    """The environment names no credentials, and the machine's own metadata service gives none."""

    fix = "Set the provider's environment variables or profile, or pass StorageOptions(anonymous=True)."
    patience = 20.0  # enough for a service that a whole node asks at once; a laptop that has none need not wait longer


class BeyondEndError(RemoteError):
    """The range begins where the object has ended."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, final=True)


class RangeIgnoredError(RemoteError):
    """The server answers a range request with the whole object."""


def attempt(call: Callable[[], T], *, setup: bool = False) -> T:
    """Run one call.

    Args:
        call: What to do.
        setup: It only makes a store, so that whatever fails is the user's to mend.

    Raises:
        RemoteError: If it failed.
    """
    failure: RemoteError
    try:
        return call()
    except FileNotFoundError as error:
        failure = _of_status(str(error)) or MissingError()
    except NotSupportedError as error:
        failure = RangeIgnoredError(reason_of(error))
    except (PermissionDeniedError, UnauthenticatedError) as error:
        failure = _of_status(str(error)) or ForbiddenError(reason_of(error))
    except (BaseError, OSError, ValueError) as error:
        if setup or isinstance(error, _FINAL):
            failure = RequestError(reason_of(error))
        else:
            failure = _of_status(str(error)) or RemoteError(reason_of(error))
    raise failure


def reason_of(error: BaseException) -> str:
    """What an error says, without bodies (S3 echoes key ids there), query strings, users and passwords."""
    return _cleaned(str(error))


def _of_status(text: str) -> RemoteError | None:
    """The failure that a message's address and status tell; None where they tell nothing more than its class."""
    head = text.partition("Debug source:")[0]
    found = re.search(r"status code: (\d+)", head)
    status = int(found[1]) if found else 0
    if _METADATA.search(head):
        where = "no credentials in the environment, and none from the machine's metadata service"
        return NoCredentialsError(f"{where}: {_cleaned(text)}", final=status in (401, 403, 404))
    if "credential provider:" in head:
        return NoCredentialsError(_cleaned(text))
    if status == 416:
        return BeyondEndError(_cleaned(text))
    if status == 410:
        return MissingError()
    passing = status in _PASSING or "<Code>RequestTimeout</Code>" in head
    wrong = "redirect without LOCATION" in head or "Header missing from response" in head or "Failed to parse" in head
    if wrong or status in (501, 505) or (400 <= status < 500 and status not in (401, 403, 404) and not passing):
        return RequestError(_cleaned(text))
    return None


def _cleaned(text: str) -> str:
    text = re.sub(r"\s+", " ", text).partition(" Debug source:")[0]
    code = re.search(r"<Code>(\w+)</Code>", text)
    text = re.sub(r"(status code: \d+[^:<]*).*", r"\1", text)
    text = re.sub(r"\?[^\s)\"']*", "", text)
    text = re.sub(r"//[^/@\s]*@", "//", text)
    return f"{text[:300].strip()}{f' ({code[1]})' if code else ''}"
