"""The types that travel along the chain: `Origin`, `EncodedBatch`, `Batch` (with `SparseTargets`), `Prediction`.

All are frozen; `dataclasses.replace` makes the next one. They hold data and move it between devices, and never know
how it was made.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from streamaug.errors import BadSampleError

if TYPE_CHECKING:
    from streamaug.mix import MixPlan

Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Float64Array = npt.NDArray[np.float64]
Encoded = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """Where a batch comes from; with the recipe it determines every pixel.

    Attributes:
        seed: The reader's seed.
        epoch: The epoch, from 0.
        step: The global step within the epoch, ⌊position / global batch size⌋.
        lanes: The number of lanes of the order.
        positions: int64 (B,), the rows' positions in the epoch, over all ranks.
        sample_ids: int64 (B,), each row's number in the shards as listed.
        keys: B webdataset keys.
        is_padding: bool (B,), True where the row repeats a sample only to fill the batch.
        is_substitute: bool (B,), True where the row stands in for a bad sample.
    """

    seed: int
    epoch: int
    step: int
    lanes: int
    positions: Int64Array
    sample_ids: Int64Array
    keys: tuple[str, ...]
    is_padding: BoolArray
    is_substitute: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class EncodedBatch:
    """A batch of samples as they were stored.

    Attributes:
        data: B bytes-like images, still encoded (the first component).
        extras: Component name to B bytes-like values, for every other component.
        origin: Where the rows come from.
        attempts: int64 (B,), 0 for ordinary rows, a for the a-th stand-in tried for a bad sample; None: all 0.
    """

    data: Sequence[Encoded]
    extras: Mapping[str, Sequence[Encoded]]
    origin: Origin
    attempts: Int64Array | None = None


class Problem(NamedTuple):
    """Why a sample cannot be used.

    Attributes:
        reason: One line, to go on after "it must be usable, but".
        error: What says so when bad samples are errors.
        component: The component that is to blame; None: the image.
        lasting: Whether the sample's bytes alone decide, so that for the same chain it is bad in every epoch.
    """

    reason: str
    error: type[BadSampleError]
    component: str | None = None
    lasting: bool = False


#: Given a batch and its bad rows, the batch with stand-ins in those rows, or the error.
Replace = Callable[[EncodedBatch, Mapping[int, Problem]], EncodedBatch]


class SparseTargets(NamedTuple):
    """Targets of mixed images as two classes and a share, for a two-term loss; unpacks as a tuple of three.

    Attributes:
        targets: int64 (B,), each row's own class.
        partner_targets: int64 (B,), its partner's class.
        lam: float32 (B,), 0..1, the share of the row's own class.
    """

    targets: torch.Tensor
    partner_targets: torch.Tensor
    lam: torch.Tensor

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "SparseTargets":
        """The same targets with every tensor on `device`."""
        return SparseTargets(*(tensor.to(device, non_blocking=non_blocking) for tensor in self))

    def pin_memory(self) -> "SparseTargets":
        """The same targets in page-locked memory."""
        return SparseTargets(*(tensor.pin_memory() for tensor in self))


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """A batch of decoded images.

    Attributes:
        images: (B, C, H, W); with V views (V·B, C, H, W), view-major.
        targets: int64 (B,), or float32 (B, K) after mixing (`SparseTargets` where asked for), or None without a label
            component.
        origin: Where the rows come from.
        views: V, the number of views of each image.
        mix: How rows were mixed, if they were.
        boxes: B float32 tensors (Mᵢ, 4), x1, y1, x2, y2 in output pixels; None without annotations.
        box_labels: B int64 tensors (Mᵢ,); None without annotations.
        keypoints: B float32 tensors (Mᵢ, K, 3), x, y, visibility; None without annotations.
        extras: Component name to B bytes-like values, as the reader delivered them.
    """

    images: torch.Tensor
    targets: torch.Tensor | SparseTargets | None
    origin: Origin
    views: int = 1
    mix: "MixPlan | None" = None
    boxes: tuple[torch.Tensor, ...] | None = None
    box_labels: tuple[torch.Tensor, ...] | None = None
    keypoints: tuple[torch.Tensor, ...] | None = None
    extras: Mapping[str, Sequence[Encoded]] = field(default_factory=dict)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """The same batch with every tensor on `device`."""
        return self._moved(
            lambda tensor: tensor.to(device, non_blocking=non_blocking),
            lambda sparse: sparse.to(device, non_blocking=non_blocking),
        )

    def pin_memory(self) -> "Batch":
        """The same batch with every tensor in page-locked memory, from which copies to a GPU can be asynchronous."""
        return self._moved(lambda tensor: tensor.pin_memory(), lambda sparse: sparse.pin_memory())

    def _moved(
        self, move: Callable[[torch.Tensor], torch.Tensor], move_sparse: Callable[[SparseTargets], SparseTargets]
    ) -> "Batch":
        def each(tensors: tuple[torch.Tensor, ...] | None) -> tuple[torch.Tensor, ...] | None:
            return None if tensors is None else tuple(move(tensor) for tensor in tensors)

        targets = self.targets
        if targets is not None:
            targets = move(targets) if isinstance(targets, torch.Tensor) else move_sparse(targets)
        return dataclasses.replace(
            self,
            images=move(self.images),
            targets=targets,
            boxes=each(self.boxes),
            box_labels=each(self.box_labels),
            keypoints=each(self.keypoints),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What a model said of a batch, merged over its views.

    Attributes:
        probabilities: float32 (B, K), each row sums to 1.
        targets: int64 (B,), or None without a label component.
        origin: Where the rows come from.
    """

    probabilities: torch.Tensor
    targets: torch.Tensor | None
    origin: Origin
