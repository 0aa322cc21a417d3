"""The settings of a probe, and its answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field

OK, WRONG, NEEDS_GPU = "ok", "wrong", "needs a GPU"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The device and the images of a run.

    Attributes:
        device: "gpu" or "cpu". On a CPU a probe shows that it works, with few images, and its figures mean nothing.
        jpegs: A glob of tars with .jpg members; None: photographs that are drawn.
        seconds: Limit of the probe, of which those that measure take a part for each line.
    """

    device: str
    jpegs: str | None
    seconds: float

    @property
    def on_gpu(self) -> bool:
        """Whether a GPU decodes and augments."""
        return self.device == "gpu"

    @property
    def torch_device(self) -> str:
        """The device's name for torch."""
        return "cuda" if self.on_gpu else "cpu"

    def count(self, on_gpu: int) -> int:
        """A number of images, a sixteenth of it on a CPU."""
        return on_gpu if self.on_gpu else max(2, on_gpu // 16)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """An answer.

    Attributes:
        verdict: "ok", "wrong", or "needs a GPU".
        summary: A sentence.
        figures: The numbers behind it.
    """

    verdict: str
    summary: str
    figures: Mapping[str, object] = field(default_factory=dict)


def judged(holds: bool, summary: str, figures: Mapping[str, object]) -> Finding:
    """Ok or wrong."""
    return Finding(verdict=OK if holds else WRONG, summary=summary, figures=figures)


def needs_gpu(why: str) -> Finding:
    """A probe that has nothing to do on a CPU."""
    return Finding(verdict=NEEDS_GPU, summary=why)
