"""The options of a run, as a frozen set of values."""

from dataclasses import dataclass
from os import PathLike

#: Quality of re-encoded JPEGs and WebPs unless it is given.
QUALITY = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeOptions:
    """The options of a run, without its sources and its output.

    Args:
        seed: Of the shuffle, any integer (taken mod 2³²).
        shuffle: Whether samples are shuffled over all shards, or keep the order of the sources.
        max_side: Images whose longer side has more pixels are reduced to it; None: all bytes are kept.
        quality: Of the JPEGs and WebPs that are reduced, 1 to 100; None: 90.
        shard_size: The most bytes of a shard (about, where images are reduced); None: a 96th of all bytes, at
            least 4 MB and at most 256 MB.
        decode: Whether to decode every JPEG too; if not, headers and ends decide, as in training.
        skip_bad: Whether to leave out samples that cannot be used; if not, they are reported and no manifest is
            written.
        processes: Worker processes; None: one for each usable core. The bytes do not depend on it.
        ray: Address of a Ray cluster whose nodes write the shards, instead of processes of this machine; None: no
            cluster.
        part: (i, n): make the i-th of n parts of the shards, counted from 0 or from 1.
        classes: File with the class table to use: JSON as `make_shards` writes it, or a name on each line.
        image_column: Column of images in lists and Hugging Face datasets; None: a likely name.
        label_column: Column of labels; None: a likely name.

    Raises:
        ValueError: If a value is out of its range.
    """

    seed: int = 0
    shuffle: bool = True
    max_side: int | None = None
    quality: int | None = None
    shard_size: int | None = None
    decode: bool = False
    skip_bad: bool = False
    processes: int | None = None
    ray: str | None = None
    part: tuple[int, int] = (0, 1)
    classes: str | PathLike[str] | None = None
    image_column: str | None = None
    label_column: str | None = None

    def __post_init__(self) -> None:
        for name in ("max_side", "shard_size", "processes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: must be at least 1, got {value}. Leave it out for the default.")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ValueError(f"quality: must be 1 to 100, got {self.quality}. 90 is the default.")
        if self.quality is not None and self.max_side is None:
            raise ValueError(f"quality: needs max_side, got {self.quality} alone. Say above which size to re-encode.")
        if self.ray is not None and self.processes is not None:
            raise ValueError(f"processes: must be left out with ray, got {self.processes}. The cluster says how many.")
        number, count = self.part
        if count < 1 or not 0 <= number <= count:
            raise ValueError(
                f"part: must be I/N with I from 0 to N-1, or from 1 to N, got {number}/{count}. Write 1/4 to 4/4."
            )
