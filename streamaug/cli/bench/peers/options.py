"""The options of a peer: the shards and the shape of a batch. They travel to the peer's process as JSON."""

import json
from dataclasses import asdict, dataclass

#: ImageNet's mean and standard deviation, in units of 0..1.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerOptions:
    """The options of a peer.

    Attributes:
        paths: Local tars.
        images: The possible suffixes of images.
        labels: The possible suffixes of labels; empty: no labels.
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
        """The options as a line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "PeerOptions":
        """The options of such a line."""
        return cls(**json.loads(text))
