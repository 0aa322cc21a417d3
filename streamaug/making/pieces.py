"""A part's piece of the manifest, and the manifest of all pieces.

In: the finished shards of a part of a job array. Out: a small JSON file, whose name the other parts can compute, so
that object storage need not be listed; and the sum of all pieces when all exist.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from streamaug.errors import IndexFormatError
from streamaug.making.output import Finished, Output
from streamaug.making.shard_writer import BadSample


class Piece(NamedTuple):
    """The records of some shards.

    Attributes:
        shards: (number, samples, bytes) of each.
        left_out: Their samples that cannot be used.
        suffixes: Of their members.
    """

    shards: list[tuple[int, int, int]]
    left_out: list[BadSample]
    suffixes: frozenset[str]

    @classmethod
    def of(cls, finished: Iterable[Finished], left_out: Iterable[BadSample]) -> "Piece":
        """The piece of shards that were just made, or were finished before."""
        shards = sorted(finished)
        suffixes: frozenset[str] = frozenset().union(*(shard.suffixes for shard in shards))
        return cls([(shard.number, len(shard.keys), shard.num_bytes) for shard in shards], sorted(left_out), suffixes)

    def write(self, fingerprint: str) -> str:
        """The text of its file."""
        return json.dumps({"fingerprint": fingerprint} | self._asdict() | {"suffixes": sorted(self.suffixes)}) + "\n"


def piece_name(part: tuple[int, int]) -> str:
    """The file of a part's piece."""
    return f"make-shards.part-{part[0] % part[1]:05d}-of-{part[1]:05d}.json"


def merged(output: Output, count: int, fingerprint: str) -> Piece | list[int]:
    """The sum of all pieces, or the parts, from 0, that are not finished.

    Raises:
        IndexFormatError: If a piece belongs to another run.
        StorageError: If storage does not answer.
    """
    contents = {number: output.read(piece_name((number, count))) for number in range(count)}
    missing = [number for number, content in contents.items() if content is None]
    if missing:
        return missing
    pieces = [
        _parsed(output.file(piece_name((number, count))).shown, content, fingerprint)
        for number, content in contents.items()
    ]
    shards = sorted(shard for piece in pieces for shard in piece.shards)
    left_out = sorted(bad for piece in pieces for bad in piece.left_out)
    return Piece(shards, left_out, frozenset().union(*(piece.suffixes for piece in pieces)))


def _parsed(url: str, content: Any, fingerprint: str) -> Piece:
    try:
        if content["fingerprint"] != fingerprint:
            raise IndexFormatError(
                f"{url}: must be of the same run as the other parts, got another fingerprint. "
                "Run all parts with the same sources, options and versions of Pillow."
            )
        shards = [(int(number), int(samples), int(size)) for number, samples, size in content["shards"]]
        return Piece(shards, [BadSample(*bad) for bad in content["left_out"]], frozenset(content["suffixes"]))
    except (KeyError, TypeError, ValueError) as error:
        raise IndexFormatError(
            f"{url}: must be a part's piece, got {error!r}. Delete it, and run the part again."
        ) from None


def left_out_text(left_out: Sequence[BadSample]) -> str:
    """The text of the list of samples that were left out."""
    return json.dumps([bad._asdict() for bad in left_out], indent=1) + "\n"
