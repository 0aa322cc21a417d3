"""Web servers: objects by http:// and https:// addresses, also signed ones, with user and password, or with a token."""

import base64
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from obstore import store as stores

from streamaug.storage.options import StorageOptions
from streamaug.storage.remote.failures import ExpiredError, ForbiddenError, RemoteError, RequestError
from streamaug.storage.remote.provider import Provider, allow_plain_http, split_host
from streamaug.storage.remote.tokens import authorization, token_of, token_variables

if TYPE_CHECKING:
    from obstore.store import ObjectStore


class Web(Provider):
    """A web server; GET returns its objects."""

    is_web = True
    can_list = False

    def split(self, scheme: str, rest: str) -> tuple[str, str]:
        """The base is the host with the query, which may be a signature; the path is percent-decoded."""
        base, path = split_host(scheme, rest)
        path, mark, query = path.partition("#")[0].partition("?")
        return f"{base}/{mark}{query}" if query else base, unquote(path)

    def open(self, base: str, options: StorageOptions, arguments: dict[str, Any]) -> "ObjectStore":  # noqa: ARG002
        """A client of a host, or of a signed query, which sends the URL's user and password, or a token."""
        allow_plain_http(arguments, base)
        scheme, _, rest = base.partition("://")
        user, at, host = rest.rpartition("@")
        url = f"{scheme}://{host}"
        if at:
            token = base64.b64encode(unquote(user).encode()).decode()
            arguments["client_options"]["default_headers"] = {"Authorization": f"Basic {token}"}
        elif bearer := token_of(url):
            arguments["client_options"]["default_headers"] = authorization(bearer)
        return stores.HTTPStore(url, **arguments)

    def explained(self, base: str, failure: RemoteError) -> RemoteError:
        """A refused request, with the time at which the URL's signature expires."""
        if not isinstance(failure, ForbiddenError | RequestError):
            return failure
        expires = expiry_of(base)
        if isinstance(failure, ExpiredError) or (expires is not None and expires < datetime.now(UTC)):
            when = f" at {expires:%Y-%m-%d %H:%M:%S} UTC" if expires is not None else ""
            return ExpiredError(f"the URL's signature ran out{when} ({failure})", fix="Sign the URL anew.")
        if isinstance(failure, ForbiddenError) and failure.fix == ForbiddenError.fix:
            variable = token_variables(base)[-1]
            return ForbiddenError(
                str(failure), fix=f"Check the credentials: sign the URL, or set {variable} to a bearer token."
            )
        return failure


def expiry_of(base: str) -> datetime | None:
    """The time at which a query's signature (AWS, Google, Azure, CloudFront) expires; None if it has none."""
    query = {name.lower(): value for name, value in parse_qsl(urlsplit(base).query)}
    try:
        for prefix in ("x-amz-", "x-goog-"):
            if f"{prefix}date" in query and f"{prefix}expires" in query:
                begun = datetime.strptime(query[f"{prefix}date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
                return begun + timedelta(seconds=int(query[f"{prefix}expires"]))
        if "se" in query and "sig" in query:
            until = datetime.fromisoformat(query["se"])
            return until if until.tzinfo else until.replace(tzinfo=UTC)
        if "expires" in query:
            return datetime.fromtimestamp(int(query["expires"]), UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None
