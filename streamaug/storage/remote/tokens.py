"""Bearer tokens of the environment, for web servers that require them.

In: a host. Out: its token, and the name of the variable that holds it. A token goes to its own host only, encrypted or
to this machine, and into no message; where a server redirects to another host, obstore's client drops it.
"""

import re
from pathlib import Path
from urllib.parse import urlsplit

from streamaug.storage.remote.environment import first_set
from streamaug.storage.remote.failures import RequestError

_LOOPBACK = re.compile(r"localhost|127(\.\d+){3}|::1")


def token_variables(url: str) -> tuple[str, ...]:
    """The variables that may hold the token of a URL's host, the port's own first: STREAMAUG_TOKEN_DATA_EXAMPLE_ORG."""
    parts = urlsplit(url)
    name = "STREAMAUG_TOKEN_" + re.sub(r"\W", "_", parts.hostname or "").upper()
    return (f"{name}_{parts.port}", name) if parts.port is not None else (name,)


def token_of(url: str) -> str:
    """The token of a URL's host, "" if no token is set.

    Raises:
        RequestError: If a token is set, and it would be sent unencrypted.
    """
    variables = token_variables(url)
    token = first_set(*variables)
    if token and not is_private(url):
        raise RequestError(
            f"the token of {variables[-1]} must be sent encrypted, got an http:// URL",
            fix="Write https://, or unset the variable.",
        )
    return token


def is_private(url: str) -> bool:
    """Whether a request to a URL is encrypted, or does not leave this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or _LOOPBACK.fullmatch(parts.hostname or "") is not None


def hugging_face_token() -> str:
    """The token that Hugging Face's own tools use: HF_TOKEN, else that of `hf auth login`; "" without either."""
    token = first_set("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
    if token or first_set("HF_HUB_DISABLE_IMPLICIT_TOKEN").upper() in ("1", "ON", "YES", "TRUE"):
        return token
    cache = Path(first_set("XDG_CACHE_HOME") or "~/.cache").expanduser()
    home = Path(first_set("HF_HOME") or cache / "huggingface").expanduser()
    try:
        text = Path(first_set("HF_TOKEN_PATH") or home / "token").expanduser().read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return "" if re.search(r"[\x00-\x20\x7f]", text) else text


def authorization(token: str) -> dict[str, str]:
    """The header of a bearer token."""
    return {"Authorization": f"Bearer {token}"}
