"""The orientation in an EXIF block, whatever its form or damage, is the one that Pillow reads."""

import random
import struct
import warnings

import pytest
from PIL import Image

from streamaug.samples.formats import exif

_SIXES = {  # an entry of orientation 6 in each numeric type, its value in the entry or behind the directory
    "SHORT": (3, "H"),
    "LONG": (4, "I"),
    "SBYTE": (6, "b"),
    "SSHORT": (8, "h"),
    "SLONG": (9, "i"),
    "FLOAT": (11, "f"),
    "IFD": (13, "I"),
}


def by_pillow(block):
    """Pillow's orientation; 1 where it gives up the block, or where the value is no orientation."""
    tags = Image.Exif()
    with warnings.catch_warnings(action="ignore"):
        try:
            tags.load(block)
            value = tags.get(exif.TAG, 1)
        except (SyntaxError, struct.error):
            return 1
    return next((number for number in range(1, 9) if value == number), 1)


def block(order, entries, *, magic=None, prefix=b"Exif\0\0", start=8, more=0, tail=bytes(4)):
    """An EXIF block of entries (tag, type, count, four bytes); `more`: entries announced that are not there."""
    magic = magic or (b"II*\0" if order == "<" else b"MM\0*")
    packed = b"".join(struct.pack(order + "HHI", *numbers) + value for *numbers, value in entries)
    return prefix + magic + struct.pack(order + "IH", start, len(entries) + more) + packed + tail


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("kind", _SIXES)
def test_any_numeric_type_says_the_orientation(kind, count, order):
    code, letter = _SIXES[kind]
    values = struct.pack(f"{order}{count}{letter}", *[6, 3][:count])
    place = values.ljust(4, b"\0") if len(values) <= 4 else struct.pack(order + "I", 22)
    data = block(order, [(exif.TAG, code, count, place)], tail=values + bytes(4))
    assert by_pillow(data) == 6
    assert exif.orientation(data) == 6


@pytest.mark.parametrize("seed", range(3))
def test_damaged_and_odd_blocks_are_read_as_pillow_reads_them(seed):
    rng = random.Random(seed)
    turned = 0
    for _ in range(4000):
        data = _drawn(rng)
        assert exif.orientation(data) == by_pillow(data), data
        turned += exif.orientation(data) > 1
    assert turned > 50


def _drawn(rng):
    """A block of one to four entries, drawn from what writers and damage make."""
    order = rng.choice("<>")
    digit, other = rng.randrange(10), rng.randrange(10)
    values = (
        struct.pack(order + "HH", digit, other),
        struct.pack(order + "I", digit),
        struct.pack(order + "I", rng.choice([8, 26, 40, 60, 90])),
        struct.pack(order + "f", rng.choice([6.0, 3.5, float("nan"), float("inf")])),
    )
    tags, types, counts = (exif.TAG, exif.TAG, 0x010F), (*range(14), 3, 3, 16, 99), (1, 1, 1, 2, 0, 3, 100, 2**31)
    entries = [
        (rng.choice(tags), rng.choice(types), rng.choice(counts), rng.choice(values))
        for _ in range(rng.randrange(1, 5))
    ]
    magics = (b"II*\0", b"II*\0", b"II+\0", b"II\0*") if order == "<" else (b"MM\0*", b"MM\0*", b"MM*\0", b"MM\0+")
    tail = rng.choice([b"", bytes(4), struct.pack(order + "IIIIdHHHH", 6, 1, 12, 2, 6.0, 6, 6, 8, 8)])
    prefix, start = rng.choice([b"Exif\0\0", b"", b"Exif\0\0" * 2, b"Exif\0\0" * 3]), rng.choice([8, 8, 8, 9, 1000])
    more = rng.choice([0, 0, 1, -1])
    data = block(order, entries, magic=rng.choice(magics), prefix=prefix, start=start, more=more, tail=tail)
    return data[: rng.randrange(1, len(data))] if rng.random() < 0.2 else data
