"""What a peer is told: the shards and the shape of a batch. It travels to the peer's process as JSON."""

import json
from dataclasses import asdict, dataclass

#: ImageNet's mean and standard deviation, in units of 0..1.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerOptions:
    """What a peer reads, and how.

    Attributes:
        paths: Local tars.
        images: The suffixes under which images may stand.
        labels: Those of labels; empty: there are none.
        batch_size: Images of a batch.
        height: Of the output, in pixels.
        width: Likewise.
        workers: Threads, or processes.
        device: "cpu" or "gpu", for peers that decode on either.
    """

    paths: list[str]
    images: list[str]
    labels: list[str]
    batch_size: int
    height: int
    width: int
    workers: int
    device: str

    def to_json(self) -> str:
        """In one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "PeerOptions":
        """From such a line."""
        return cls(**json.loads(text))
