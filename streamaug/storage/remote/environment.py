"""Variables of the environment, stripped of blanks; a value that cannot be sent is refused by its name.

A value from a file or a secret store often ends in a line break, and an endpoint often lacks its scheme. obstore would
panic on either. No value of a key or token is ever part of a message.
"""

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from streamaug.storage.remote.failures import RequestError


def first_set(*variables: str) -> str:
    """The value of the first variable that is set and not empty, without blanks around it; "" where none is.

    Raises:
        RequestError: If the value holds a line break or another control character.
    """
    return _first(variables)[1]


def first_endpoint(*variables: str) -> str:
    """The URL that the first set variable holds, "" where none is set.

    Raises:
        RequestError: If it is no http(s) URL; names the variable.
    """
    name, value = _first(variables)
    return checked_endpoint(value, name) if value else ""


def checked_endpoint(value: str, name: str) -> str:
    """The URL of a service, without blanks around it.

    Args:
        value: The URL.
        name: Its variable or option, for the error.

    Raises:
        RequestError: If it is no http(s) URL.
    """
    value = value.strip()
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if good and not any(letter.isspace() for letter in value):
        return value
    host = value.rpartition("://")[2].lstrip("/")
    got, advice = ("", "https://host:port") if "@" in value or not host else (f", got {value!r}", f"http://{host}")
    raise RequestError(f"{name} must be an http(s) URL{got}", fix=f"Write {advice!r}, for instance.")


def stripped(settings: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Obstore's settings whose variables have blanks around their values, with the stripped values.

    Args:
        settings: The variables that obstore reads for each setting, in the order in which they count.

    Raises:
        RequestError: If a value holds a line break or another control character within it.
    """
    values = {}
    for setting, variables in settings.items():
        name, value = _first(variables)
        if value and os.environ[name] != value:
            values[setting] = value
    return values


def _first(variables: tuple[str, ...]) -> tuple[str, str]:
    for name in variables:
        value = os.environ.get(name, "").strip()
        if value:
            if any(ord(letter) < 0x20 or letter == "\x7f" for letter in value):
                raise RequestError(
                    f"{name} must be one line of text, got a line break or another control character in it",
                    fix="Set the variable anew.",
                )
            return name, value
    return "", ""
