"""Answers that are no shards: a sign-in, a proxy's message, a "not found" with status 200, a compressed object.

In: an answer. Out: the same, or an error with the page's title, the message's type or the encoding, and no more of the
text, since it may hold a secret.
"""

import re
from itertools import chain

from streamaug.storage.location import Location
from streamaug.storage.remote.compression import HEAD, is_compressed
from streamaug.storage.remote.failures import PageError, RemoteError, WrongAnswerError
from streamaug.storage.remote.stores import Answer, RemoteStores

HTML = ("text/html", "application/xhtml+xml")
_TITLE = re.compile(rb"<title[^>]*>([^<]{1,200})", re.IGNORECASE)


#: Types of messages, besides text/*.
_MESSAGES = ("application/json", "application/problem+json", "application/xml")
#: Suffixes of text files; all other names are shards'.
_TEXTS = frozenset({"json", "jsonl", "csv", "tsv", "txt", "idx", "crc32c", "xml", "html", "md", "yaml", "yml"})


def is_page(data: bytes) -> bool:
    """Whether bytes begin like a page, which no shard, index or manifest does."""
    return data[:64].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")


def refuse_page(answer: Answer, *, tries: float | None = None, instead_of: str = "object") -> Answer:
    """The answer, if it is no page; waits for its first piece.

    Args:
        answer: The answer to a request for a whole object.
        tries: Pages that may come in a row; None: as for `PageError`.
        instead_of: What was meant to come, for the error.

    Raises:
        PageError: If it is a page.
        RemoteError: If no byte could be read.
    """
    first = next(answer.pieces, None)
    if first is None:
        return answer
    if is_page(bytes(first[:64])):
        title = _TITLE.search(bytes(first[:4096]))
        name = f", titled {title[1].decode('utf-8', 'replace').strip()[:60]!r}" if title else ""
        raise PageError(f"a web page (HTML){name} came in place of the {instead_of}", tries=tries)
    return answer._replace(pieces=chain([first], answer.pieces))


def refuse_page_at(
    stores: RemoteStores, location: Location, *, tries: float | None = None, instead_of: str = "object"
) -> None:
    """Ask for an object to see whether a page comes in its place; it may be missing, or not be had.

    Args:
        stores: Where to ask.
        location: The object.
        tries: As for `refuse_page`.
        instead_of: Likewise.

    Raises:
        PageError: If it is a page.
    """
    try:
        refuse_page(stores.get(location), tries=tries, instead_of=instead_of)
    except PageError:
        raise
    except RemoteError:
        return


def refuse_message(location: Location, answer: Answer) -> Answer:
    """The answer to a request for a shard, if it is no page, no text and not compressed; waits for its first piece.

    Raises:
        PageError: If it is a page or another text.
        WrongAnswerError: If the object is stored compressed.
        RemoteError: If no byte could be read.
    """
    answer = refuse_compressed(location, refuse_page(answer))
    is_text = answer.content_type.startswith("text/") or answer.content_type in _MESSAGES
    if not is_text or location.name.rpartition(".")[2].lower() in _TEXTS:
        return answer
    first = next(answer.pieces, None)
    if first is not None and b"\0" not in bytes(first[:512]):  # no tar begins so
        raise PageError(f"a message ({answer.content_type}) came in place of the object")
    return answer._replace(pieces=chain([] if first is None else [first], answer.pieces))


def refuse_compressed(location: Location, answer: Answer) -> Answer:
    """The answer to a request for a shard, unless its object is stored compressed: offsets in it are not the shard's.

    Raises:
        WrongAnswerError: If the header says so, and the object begins so, or as no tar does.
        RemoteError: If no byte could be read.
    """
    if not answer.encoding or answer.start > 0:
        return answer
    head, pieces = b"", []
    while len(head) < HEAD and (piece := next(answer.pieces, None)) is not None:
        pieces.append(piece)
        head += bytes(piece[:HEAD])
    if is_compressed(head[:HEAD], answer.encoding, is_tar=location.name.endswith(".tar")):
        raise WrongAnswerError(
            f"the object must be stored as it is, got it compressed (Content-Encoding: {answer.encoding})",
            fix="Upload the file again, uncompressed and without that header (`gsutil cp` without -z and -Z).",
        )
    return answer._replace(pieces=chain(pieces, answer.pieces))
