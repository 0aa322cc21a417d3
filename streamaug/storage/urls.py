"""The URLs that a source names: it expands braces, `::` and ${NAME} as webdataset does."""

import os
import re
from collections.abc import Sequence

from braceexpand import braceexpand

from streamaug.storage.location import shown
from streamaug.storage.remote.providers import PROVIDERS

#: A URL with a slash too few, as `str(Path("s3://bucket/x.tar"))` gives it, and `file://` without a path.
_ONE_SLASH = re.compile(rf"({'|'.join(['file', *PROVIDERS])}):/(?!/)|(file)://(?=[^/]*$)", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{(\w+)\}")
#: The depth to which variables within values are filled in, as in webdataset.
_DEPTH = 10


#: A path or URL, or several in a fixed order.
Source = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def expand(source: Source) -> list[str]:
    """All paths and URLs that `source` names, in order; a file whose name has braces in it is that file.

    Raises:
        TypeError: If the source is of another type, or in no fixed order.
        ValueError: If it is empty, a command, a URL with a slash too few, or names an environment variable that is not
            set.
    """
    urls: list[str] = []
    for pattern in _patterns(source):
        urls += [pattern] if os.path.lexists(pattern) else _expanded(_with_variables(pattern))
    if not urls or not all(urls):
        what = "an empty name" if urls else "none"
        raise ValueError(f"shards: at least one path or URL is needed, got {what}. Name the shards.")
    for url in urls:
        match = _ONE_SLASH.match(url)
        if match is not None and not os.path.lexists(url):
            raise _misspelt(match[1] or match[2], url[match.end() :], url[: match.end()])
    return urls


def _misspelt(scheme: str, rest: str, begin: str) -> ValueError:
    """The error for a URL with a slash too few."""
    mark = ":///" if scheme.lower() == "file" else "://"
    whole = shown(f"{scheme}{mark}{rest}")  # without secrets
    return ValueError(
        f"shards: a URL must have {mark} behind its scheme, got {begin + whole[len(scheme + mark) :]!r}. Write {whole}"
        f"{', or the path alone' if mark == ':///' else ', and no Path, which drops a slash'}."
    )


def _patterns(source: Source) -> list[str]:
    """The names as written, without the line ends of a list that was read from a file."""
    several = source if isinstance(source, list | tuple) else [source]
    patterns: list[str] = []
    for name in several:
        if not isinstance(name, str | os.PathLike):
            raise TypeError(
                f"shards: must be a path or URL, or a list of them in a fixed order, got {type(name).__name__}. "
                "Write a string or Path, or a list; sorted(...) makes one of anything else."
            )
        pattern = os.fsdecode(name).rstrip("\r\n")
        if pattern.startswith("pipe:"):  # as webdataset writes it; the command may hold secrets
            raise ValueError(
                f"shards: must be paths or URLs, which are read by ranges, got a command, "
                f"'{' '.join(pattern.split()[:1])} …'. Name the URL that it reads, as in s3://bucket/x-{{000..146}}.tar."
            )
        patterns.append(pattern)
    return patterns


def _expanded(pattern: str) -> list[str]:
    try:
        return [url for part in pattern.split("::") for url in braceexpand(part)]
    except ValueError as error:
        raise ValueError(
            f"shards: braces must be closed, got {shown(pattern)!r} ({type(error).__name__}). Write {{000..146}}."
        ) from None


def _with_variables(pattern: str) -> str:
    """A pattern with its ${NAME} filled in, also within their values."""

    def value_of(match: re.Match[str]) -> str:
        value = os.environ.get(f"WDS_{match[1]}")
        if value is None:  # webdataset checks it by `assert` alone
            raise ValueError(
                f"shards: every ${{NAME}} needs its variable WDS_NAME, got {shown(pattern)!r}. Set WDS_{match[1]}."
            )
        return value

    text, previous = pattern, ""
    for _ in range(_DEPTH):
        text, previous = _VARIABLE.sub(value_of, text), text
        if text == previous:
            break
    return text
