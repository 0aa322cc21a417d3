"""Hugging Face's repositories: hf://datasets/ORGANISATION/NAME[@REVISION]/path, as `huggingface_hub` writes them.

Without a revision it is "main"; without "datasets/" or "spaces/" it is a model. As for Hugging Face's own tools,
HF_ENDPOINT names another server, and HF_TOKEN, or the login of `hf auth login`, opens private repositories. The token
goes to that server only, which redirects to storage elsewhere by signed addresses.
"""

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from obstore import store as stores

from streamaug.storage.options import StorageOptions
from streamaug.storage.remote.environment import first_endpoint
from streamaug.storage.remote.failures import ForbiddenError, RemoteError
from streamaug.storage.remote.provider import Provider, allow_plain_http
from streamaug.storage.remote.tokens import authorization, hugging_face_token, is_private

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_REPOSITORY = re.compile(
    r"(?P<kind>datasets/|spaces/|(?!(datasets|spaces)(/|$)))(?P<name>[^/@]+/[^/@]+)(@(?P<revision>refs/(convert|pr)/[^/]+|[^/]+))?(/(?P<path>.*))?",
    re.DOTALL,
)


class HuggingFace(Provider):
    """A repository at a revision; names of its files are not percent-encoded."""

    can_list = False  # the addresses at which files are resolved have no list

    def split(self, scheme: str, rest: str) -> tuple[str, str]:
        """The base is the repository with its revision."""
        match = _REPOSITORY.fullmatch(rest)
        if match is None:
            raise ValueError(
                f"shards: an {scheme}:// URL must name a repository, got {scheme}://{rest}. "
                f"Write {scheme}://datasets/organisation/name/path.tar."
            )
        revision = unquote(match["revision"] or "main")
        return f"{scheme}://{match['kind']}{match['name']}@{revision}", match["path"] or ""

    def open(self, base: str, options: StorageOptions, arguments: dict[str, Any]) -> "ObjectStore":
        """A client of one repository, by the addresses of its files."""
        endpoint = (options.endpoint or first_endpoint("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
        repository, _, revision = base.partition("://")[2].partition("@")
        allow_plain_http(arguments, endpoint)
        token = "" if options.anonymous else hugging_face_token()
        if token and is_private(endpoint):
            arguments["client_options"]["default_headers"] = authorization(token)
        return stores.HTTPStore(f"{endpoint}/{repository}/resolve/{quote(revision, safe='')}", **arguments)

    def explained(self, base: str, failure: RemoteError) -> RemoteError:  # noqa: ARG002
        """A refused request, with the variable that opens private repositories."""
        if type(failure) is ForbiddenError:
            return ForbiddenError(
                str(failure), fix="Set HF_TOKEN, and ask for access to the repository where it is gated."
            )
        return failure
