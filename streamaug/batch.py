"""The types that travel along the chain: `Origin`, `EncodedBatch`, `Batch` (with `SparseTargets`), `Prediction`.

All are frozen; `dataclasses.replace` makes the next. They hold data and move it between devices, and know nothing of
how it was made.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from streamaug.encoded import Encoded

if TYPE_CHECKING:
    from streamaug.mix import MixPlan

Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Float64Array = npt.NDArray[np.float64]
#: The arrays that the pure functions of `mix` and `tta` take: numpy or torch.
ArrayLike = npt.NDArray[Any] | torch.Tensor


@dataclass(frozen=True, slots=True, eq=False, repr=False)
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
        repeats: Consecutive slots of a lane that hold copies of one sample, see `ShardReader`.
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
    repeats: int = 1

    @property
    def copies(self) -> Int64Array:
        """int64 (B,), 0..repeats−1: which copy of its sample each row is."""
        return self.positions // self.lanes % self.repeats

    @property
    def draw_ids(self) -> Int64Array:
        """int64 (B,), ids by which rows draw random numbers: the sample id; above its 48 bits the copy's number."""
        return self.sample_ids if self.repeats == 1 else self.sample_ids | self.copies << 48

    def __repr__(self) -> str:
        return f"Origin(seed={self.seed}, epoch={self.epoch}, step={self.step}, {len(self.positions)} rows)"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
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

    @property
    def batch_size(self) -> int:
        """B, the samples of this rank's batch."""
        return len(self.data)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "EncodedBatch":  # noqa: ARG002
        """The batch itself: encoded bytes stay in host memory, and a loop that moves every batch may call this."""
        _check_device("EncodedBatch", device)
        return self

    def __repr__(self) -> str:
        return f"EncodedBatch({self.batch_size} samples, extras={list(self.extras)}, {self.origin})"

    def __reduce__(self) -> tuple[Any, ...]:
        return EncodedBatch, (_copied(self.data), _copied_columns(self.extras), self.origin, self.attempts)


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
        _check_device("SparseTargets", device)
        return SparseTargets(*(tensor.to(device, non_blocking=non_blocking) for tensor in self))

    def pin_memory(self) -> "SparseTargets":
        """The same targets in page-locked memory."""
        return SparseTargets(*(tensor.pin_memory() for tensor in self))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Batch:
    """A batch of decoded images.

    Attributes:
        images: (B, C, H, W); with V views (V·B, C, H, W), view-major.
        targets: int64 (B,), or the result of your `targets` function; float32 (B, K) after mixing, or (B,) for binary
            targets (`SparseTargets` with targets="sparse"); None without a label component.
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

    @property
    def batch_size(self) -> int:
        """B, the samples of this rank's batch, however many views each has."""
        return len(self.origin.positions)

    def __iter__(self) -> Iterator[Any]:
        """Images, then targets: `for images, targets in loader`."""
        return iter((self.images, self.targets))

    def __repr__(self) -> str:
        views = f", views={self.views}" if self.views > 1 else ""
        mixed = ", mixed" if self.mix is not None else ""
        targets = self.targets.targets if isinstance(self.targets, SparseTargets) else self.targets
        return f"Batch(images={_shown(self.images)}, targets={_shown(targets)}{views}{mixed}, {self.origin})"

    def __reduce__(self) -> tuple[Any, ...]:
        values = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        return Batch, tuple((values | {"extras": _copied_columns(self.extras)}).values())

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """The same batch with every tensor on `device`.

        Raises:
            TypeError: If `device` is a dtype; targets of another type would be other targets.
        """
        _check_device("Batch", device)
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


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Prediction:
    """A model's predictions for a batch, merged over its views.

    Attributes:
        probabilities: float32 (B, K); each row sums to 1 under softmax.
        targets: As in `Batch`; None without a label component.
        origin: Where the rows come from.
    """

    probabilities: torch.Tensor
    targets: torch.Tensor | None
    origin: Origin

    def __iter__(self) -> Iterator[Any]:
        """Probabilities, then targets."""
        return iter((self.probabilities, self.targets))

    def __repr__(self) -> str:
        shown = f"probabilities={_shown(self.probabilities)}, targets={_shown(self.targets)}"
        return f"Prediction({shown}, {self.origin})"

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Prediction":
        """The same prediction with every tensor on `device`."""
        _check_device("Prediction", device)
        targets = None if self.targets is None else self.targets.to(device, non_blocking=non_blocking)
        return Prediction(self.probabilities.to(device, non_blocking=non_blocking), targets, self.origin)


def decoded(batch: object, stage: str) -> Batch:
    """The batch, if its images are decoded.

    Args:
        batch: The batch that the stage was given.
        stage: The stage that needs decoded images, for the error.

    Raises:
        TypeError: If the batch is of another type.
    """
    if not isinstance(batch, Batch):
        raise TypeError(
            f"{stage}: needs batches of decoded images, got {type(batch).__name__}. Put it behind .augment()."
        )
    return batch


def _check_device(kind: str, device: object) -> None:
    """Refuse a dtype, which torch's `to` takes as well: it would round class numbers.

    Raises:
        TypeError: If it is a dtype.
    """
    if isinstance(device, torch.dtype):
        raise TypeError(
            f"{kind}.to: must be given a device, got {device}, which would convert the targets too. Convert the images "
            f"alone, batch.images.to({device})."
        )


def _shown(tensor: torch.Tensor | None) -> str:
    """Type, shape and device of a tensor."""
    if tensor is None:
        return "None"
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)} {tensor.device}"


def _copied(values: Sequence[Encoded]) -> list[bytes]:
    """Copies of the values as bytes, which can be pickled and which keep no larger buffer alive."""
    return [bytes(value) for value in values]


def _copied_columns(columns: Mapping[str, Sequence[Encoded]]) -> dict[str, list[bytes]]:
    return {name: _copied(values) for name, values in columns.items()}
