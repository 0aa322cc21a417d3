"""The kind of a file that is no tar, by its first bytes: a page, a pointer, an archive of another kind.

In: the first bytes of a file. Out: its kind and a fix, or None where it may be a tar.
"""

import re
from typing import NamedTuple

#: The number of first bytes that decide.
HEAD = 512
_PAGE = "check the URL and the rights: a server's message came, or was stored, in its place"
_POINTER = "fetch the file that it points to with `{}`"
_MAGIC = (
    (b"\x1f\x8b", "gzip", "gunzip it"),
    (b"\x1f\x9d", "compress (.Z)", "uncompress it"),
    (b"BZh", "bzip2", "bunzip2 it"),
    (b"\xfd7zXZ", "xz", "unxz it"),
    (b"LZIP", "lzip", "decompress it"),
    (b"\x28\xb5\x2f\xfd", "zstd", "unzstd it"),
    (b"\x04\x22\x4d\x18", "lz4", "unlz4 it"),
    (b"PK\x03\x04", "zip", "write its files as a tar"),
    (b"PK\x05\x06", "zip", "write its files as a tar"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip", "write its files as a tar"),
    (b"Rar!", "RAR", "write its files as a tar"),
    (b"070701", "cpio", "write its files as a tar"),
    (b"070707", "cpio", "write its files as a tar"),
    (b"!<arch>", "ar", "write its files as a tar"),
    (b"PAR1", "Parquet", "make shards of it with `streamaug make-shards`"),
    (b"ARROW1", "Arrow", "make shards of it with `streamaug make-shards`"),
    (b"\x89HDF", "HDF5", "write its images as a tar"),
    (b"\x89PNG", "a PNG image", "name the shards, not the images in them"),
    (b"\xff\xd8\xff", "a JPEG image", "name the shards, not the images in them"),
    (b"%PDF", "PDF", "check the path"),
    (b"version https://git-lfs", "a git-lfs pointer", _POINTER.format("git lfs pull")),
    (b"version https://hawser", "a git-lfs pointer", _POINTER.format("git lfs pull")),
    (b"/annex/objects/", "a git-annex pointer", _POINTER.format("git annex get")),
    (b"\0\5\x16\7", "an AppleDouble file of macOS", "leave out the files whose names begin with ._"),
    (b"v1.2 ", "an index file of a shard", "name the tar that it belongs to"),
)
_CODE = re.compile(rb"<Code>\s*(\w+)\s*</Code>")
_PRINTABLE = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]+")


class Foreign(NamedTuple):
    """A kind of file that is no tar.

    Attributes:
        kind: Its kind in words, to go on after "got".
        fix: The advice, to go on after "Fix:".
        is_page: Whether a server may have sent it in place of a shard.
    """

    kind: str
    fix: str
    is_page: bool = False


def foreign(head: bytes) -> Foreign | None:
    """The kind of the file with these first bytes, if it is certainly no tar.

    Args:
        head: The first `HEAD` bytes, or all of a shorter file.
    """
    for magic, kind, fix in _MAGIC:
        if head.startswith(magic):
            return Foreign(kind, fix)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<"):
        code = _CODE.search(head)
        if code is not None:
            return Foreign(f"an error of an object store, {code[1].decode()}, in XML", _PAGE, is_page=True)
        return Foreign("HTML or XML, a web page for instance", _PAGE, is_page=True)
    if text.startswith((b"{", b"[")) and _PRINTABLE.fullmatch(text):
        return Foreign(f"JSON, {_excerpt(text)}", _PAGE, is_page=True)
    # A tar has zeros behind its first name, which may be cut; no name has a line break.
    if (b" " in text or b"\n" in text) and _PRINTABLE.fullmatch(text):
        if text.split(b"\n")[0].rstrip().endswith(b".tar"):
            return Foreign(f"a list of names, {_excerpt(text)}", "give ShardSet.open its lines as a list")
        return Foreign(f"a text, {_excerpt(text)}", "check the path or URL: it may be a pointer or a message")
    return None


def _excerpt(text: bytes) -> str:
    return repr(text[:40].decode("ascii", "backslashreplace"))
