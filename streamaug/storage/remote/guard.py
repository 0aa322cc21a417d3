"""A guarded call of obstore: it returns a result, or raises a `RemoteError` without secrets.

obstore tells most causes only in the text of its errors, which is a sentence and then, behind "Debug source:", a dump
of the causes. This module has all rules for these texts. Errors are not chained, since they hold bodies, signed queries
and the output of credential helpers. A panic of its Rust code, a BaseException whose module cannot be imported, is
recognised by its name.
"""

import re
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from obstore.exceptions import (
    BaseError,
    InvalidPathError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
    UnknownConfigurationKeyError,
)

from streamaug.storage.remote.failures import (
    BeyondEndError,
    ExpiredError,
    ForbiddenError,
    MissingError,
    NoCredentialsError,
    PageError,
    RangeIgnoredError,
    RemoteError,
    RequestError,
    ShortRangeError,
    UnknownHostError,
    UnreachableError,
    WrongAnswerError,
)

T = TypeVar("T")

_FINAL = (InvalidPathError, UnknownConfigurationKeyError, PreconditionError)
#: Client errors that may pass: Request Timeout, Conflict, Too Early, Too Many Requests; others: the request is wrong.
_PASSING = (408, 409, 425, 429)
#: Addresses at which the clouds serve the credentials of an instance, a container or a pod.
_METADATA = re.compile(r"//169\.254\.|/latest/(api/token|meta-data)|/computeMetadata/|/metadata/identity/")
#: Codes and sentences of S3, Google, Azure and CloudFront for expired signatures and credentials.
_EXPIRED = re.compile(
    r"<Code>(ExpiredToken|RequestExpired|TokenRefreshRequired)</Code>|Request has expired|has expired"
    r"|not valid in the specified time frame|Access denied: signature expired",
    re.IGNORECASE,
)
_CODE = re.compile(r"<Code>(\w+)</Code>")
#: Codes of S3 for refusals that have a remedy of their own.
_REMEDIES = {
    "RequestTimeTooSkewed": "Set this machine's clock: signatures hold for some minutes.",
    "InvalidObjectState": "Restore the object from its archive (Glacier), or copy it to another storage class.",
    "AuthorizationHeaderMalformed": "Set the bucket's region: StorageOptions.region or AWS_REGION.",
}
_RANGE = re.compile(r"Requested (\d+)\.\.(\d+), got (\d+)\.\.(\d+)")
#: Sentences about a malformed answer, and their meaning.
_WRONG_ANSWERS = (
    ("Content-Range header not present", "a part of the object (206) came without Content-Range"),
    ("CONTENT_RANGE", "a part of the object (206) came with a Content-Range that cannot be read"),
    ("Content-Length Header missing", "the answer says no Content-Length (it is sent in chunks)"),
    ("Invalid last modified", "the answer's Last-Modified is no date"),
    ("Header missing from response", "the answer lacks a header that every object store sends"),
    ("Failed to parse value", "a header of the answer cannot be read"),
)
#: Causes in obstore's dump, and their meaning; the first match counts.
_CAUSES: tuple[tuple[str, str, type[RemoteError]], ...] = (
    (r"Temporary failure in name", "the host's address cannot be looked up at present (DNS)", UnreachableError),
    (r'"dns error"', "the host has no address (DNS lookup failed)", UnknownHostError),
    (r"kind: ConnectionRefused", "the connection was refused: no server listens at that port", UnreachableError),
    (r"kind: (Host|Network)Unreachable", "no route to the host (connect failed)", UnreachableError),
    (r"InvalidContentType", "the server does not speak TLS at that port (http:// is meant)", RequestError),
    (r"InvalidCertificate\(\s*(\w+)", "the server's certificate is not accepted", RequestError),
    (r"TooManyRedirects", "the server redirects in a circle", RequestError),
    (r"builder error|kind: Builder", "the URL cannot be requested", RequestError),
    (r"Parse\(", "the server does not speak HTTP", WrongAnswerError),
    (r"kind: Connect\b.*TimedOut", "no connection within 5 s", UnreachableError),
    (r"TimedOut|kind: Timeout", "no byte of an answer came for as long as StorageOptions.request_timeout", RemoteError),
    (r"IncompleteBody|UnexpectedEof", "the answer ended early", RemoteError),
    (r"kind: ConnectionReset", "the connection was reset", RemoteError),
    (r"IncompleteMessage|kind: BrokenPipe", "the connection was closed without an answer", RemoteError),
)


def attempt(call: Callable[[], T], *, setup: bool = False) -> T:
    """Run one call.

    Args:
        call: The call.
        setup: Whether it only makes a store, so that a failure is the user's to mend.

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
        if setup or isinstance(error, _FINAL) or "Could not parse path" in str(error):
            failure = RequestError(reason_of(error))
        else:
            text = str(error)
            failure = _of_status(text) or _of_list(text) or _of_answer(text) or _of_cause(text)
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        failure = RequestError(
            f"the URL or the environment has a value that obstore cannot send ({reason_of(error)})",
            fix="Look for blanks, line breaks and a missing http:// in URL, endpoint and the provider's variables.",
        )
    raise failure


def reason_of(error: BaseException) -> str:
    """The text of an error, without bodies (S3 echoes key ids there), query strings, users and passwords."""
    return _cleaned(str(error))


def _of_status(text: str) -> RemoteError | None:
    """The failure by a message's address and status; None where these add nothing to its class."""
    head = text.partition("Debug source:")[0]
    found = re.search(r"status code: (\d+)", head)
    status = int(found[1]) if found else 0
    if _METADATA.search(head):
        where = "no credentials in the environment, and none from the machine's metadata service"
        return NoCredentialsError(f"{where}: {_cleaned(text)}", final=status in (401, 403, 404))
    if "credential provider:" in head:
        return NoCredentialsError(_cleaned(text))
    if status in (400, 401, 403) and _EXPIRED.search(head):
        return ExpiredError(_cleaned(text))
    code = _CODE.search(head)
    if status in (400, 403) and code is not None and code[1] in _REMEDIES:
        kind = ForbiddenError if status == 403 else RequestError
        return kind(_cleaned(text), fix=_REMEDIES[code[1]])
    if status == 416:
        return BeyondEndError(_cleaned(text))
    if status == 410:
        return MissingError()
    passing = status in _PASSING or "<Code>RequestTimeout</Code>" in head
    wrong = "redirect without LOCATION" in head
    if wrong or status in (501, 505) or (400 <= status < 500 and status not in (401, 403, 404) and not passing):
        return RequestError(_cleaned(text))
    return None


def _of_list(text: str) -> RemoteError | None:
    """The failure of a request for names, for which obstore has no classes, or None."""
    head = text.partition("Debug source:")[0]
    if "Got invalid list response" in head and "UnexpectedEof" not in text:
        return PageError("something else came in place of the list of objects, such as a web page (HTML)")
    found = re.search(r"list request.*status code: (40[134])\b", head, re.DOTALL)
    if found is None:
        return None
    if found[1] == "404":
        return RequestError("there is no such bucket or container", fix="Check the URL.")
    return ForbiddenError(_cleaned(text))


def _of_answer(text: str) -> RemoteError | None:
    """The failure of a malformed answer, or None."""
    head = text.partition("Debug source:")[0]
    if match := _RANGE.search(head):
        asked_start, asked_stop, start, stop = map(int, match.groups())
        reason = f"bytes {asked_start} to {asked_stop} were requested, and the range {start} to {stop} came"
        if start == asked_start and start < stop < asked_stop:
            return ShortRangeError(reason, stop)
        return WrongAnswerError(reason)
    reason = next((meaning for sentence, meaning in _WRONG_ANSWERS if sentence in head), "")
    return WrongAnswerError(reason) if reason else None


def _of_cause(text: str) -> RemoteError:
    """The failure by the dump of causes, in our words; else in obstore's."""
    head, _, dump = text.partition("Debug source:")
    dump = re.sub(r"\s+", " ", dump)
    for pattern, meaning, kind in _CAUSES:
        if match := re.search(pattern, dump):
            detail = f" ({match[1]})" if match.re.groups and kind is RequestError else ""
            server = re.search(r"Error performing \w+ (\w+://[^/\s?]+)", _cleaned(head))
            proxy = _proxy_of(server[1]) if server and kind in (UnreachableError, UnknownHostError) else ""
            where = f", {server[1]}{f', through the proxy of {proxy}' if proxy else ''}" if server else ""
            advice = f"Check that proxy, or name the host in no_proxy. {kind.fix}" if proxy else None
            return kind(f"{meaning}{detail}{where}", fix=advice)
    return RemoteError(_cleaned(head))


def _proxy_of(server: str) -> str:
    """The variable whose proxy a server is asked through, which obstore's errors do not tell; "" if there is none."""
    parts, proxies = urlsplit(server), getproxies_environment()
    scheme = next((name for name in (parts.scheme, "all") if name in proxies), None)
    return "" if scheme is None or proxy_bypass(parts.netloc, proxies) else f"{scheme}_proxy"


def _cleaned(text: str) -> str:
    text = re.sub(r"\s+", " ", text).partition(" Debug source:")[0]
    code = _CODE.search(text)
    text = re.sub(r"(status code: \d+[^:<]*).*", r"\1", text)
    text = re.sub(r"\?[^\s)\"']*", "", text)
    text = re.sub(r"//[^/@\s]*@", "//", text)
    return f"{text[:300].strip()}{f' ({code[1]})' if code else ''}"
