"""Mixup of two loaders, row by row, in the form that is often taught: `for (x1, y1), (x2, y2) in zip(a, b)`.

In: two chains with readers of their own, usually of other seeds. Out: their batches mixed, in the memory of the first.
The mixing stages need one loader, decode half as many images, and mix as well; this is for code with two loaders.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, Self

import numpy as np
import torch

from streamaug.batch import Batch, Origin, decoded
from streamaug.errors import StateError
from streamaug.mix.blend_cpu import lerp
from streamaug.mix.plan import beta
from streamaug.mix.settings import PlanSettings
from streamaug.mix.targets import check_classes, soft_targets
from streamaug.random import Stream, uniform

_VERSION = 1


class Chain(Protocol):
    """The methods that the chains must have: every `Stage` has them."""

    @property
    def epoch(self) -> int:
        """The epoch that the next pass delivers."""

    def __iter__(self) -> Iterator[Any]:
        """The batches of the next pass."""

    def __len__(self) -> int:
        """Batches of a whole epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Make the next pass deliver an epoch."""

    def state_dict(self) -> dict[str, Any]:
        """The state behind the last batch delivered."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a state was taken."""

    def close(self) -> None:
        """End the pass under way."""


def zip_mixup(
    a: Chain, b: Chain, *, num_classes: int, alpha: float = 0.2, label_smoothing: float = 0.0
) -> "ZippedMixup":
    """Mix the batches of two chains, row by row: λ·a + (1−λ)·b (Zhang et al., "mixup", ICLR 2018).

    Args:
        a: A chain of decoded batches. Its images are changed in place; the result has its origin and extras.
        b: Another chain with a reader of its own, of the same shards with another seed, say; with batches of the same
            size, images of the same shape and type, and targets of the same kind.
        num_classes: K, the width of the soft targets.
        alpha: α of λ ~ Beta(α, α), one λ a batch, drawn from the seed, epoch and step of `a`: the same on all ranks. 0:
            λ is 1.
        label_smoothing: ε, 0..1.

    Returns:
        An iterable of `Batch` that ends with the shorter chain, with `len`, `state_dict`, `load_state_dict` and
        `set_epoch`.

    Raises:
        ValueError: If an argument is out of range, both are one chain; while it runs, if batches do not fit.
        TypeError: If either is no chain of streamaug.
    """
    return ZippedMixup(a, b, num_classes=num_classes, alpha=alpha, label_smoothing=label_smoothing)


class ZippedMixup:
    """Two chains as one iterable of mixed batches; made by `zip_mixup`, which explains the arguments."""

    def __init__(self, a: Chain, b: Chain, *, num_classes: int, alpha: float, label_smoothing: float) -> None:
        for name, chain in (("a", a), ("b", b)):
            if not hasattr(chain, "state_dict") or not hasattr(chain, "set_epoch"):
                raise TypeError(
                    f"zip_mixup.{name}: must be a chain of streamaug, got {type(chain).__name__}. "
                    "Pass ShardReader(…).augment(…)."
                )
        if getattr(a, "_reader", a) is getattr(b, "_reader", b):
            raise ValueError(
                "zip_mixup.b: must have a reader of its own, got that of a, which gives one pass at a time. "
                "Make a second ShardReader, with another seed."
            )
        try:
            PlanSettings(mixup_alpha=alpha)
            check_classes(num_classes, label_smoothing)
        except ValueError as error:
            raise ValueError(f"zip_mixup.{str(error).removeprefix('mixup_')}") from None
        self._chains = (a, b)
        self._num_classes, self._alpha, self._label_smoothing = num_classes, alpha, label_smoothing

    def __len__(self) -> int:
        """Batches of an epoch of the shorter chain."""
        return min(map(len, self._chains))

    def __iter__(self) -> Iterator[Batch]:
        """The batches of the next pass of both chains."""
        for pair in zip(*self._chains, strict=False):
            first, second = (decoded(batch, "zip_mixup") for batch in pair)
            mixed = self._mixed(first, second)
            ended = self._end_together((first.origin, second.origin))
            yield mixed
            if ended:
                return

    def _end_together(self, origins: tuple[Origin, Origin]) -> bool:
        """Whether a chain delivered its last batch; the longer chain then also goes on to the next epoch."""
        over = [
            chain.state_dict()["epoch"] != origin.epoch for chain, origin in zip(self._chains, origins, strict=True)
        ]
        if any(over):
            for chain, origin, ended in zip(self._chains, origins, over, strict=True):
                if not ended:
                    chain.set_epoch(origin.epoch + 1)
        return any(over)

    def _mixed(self, a: Batch, b: Batch) -> Batch:
        for batch in (a, b):
            _refuse(batch)
        if a.images.shape != b.images.shape or a.images.dtype != b.images.dtype or a.images.device != b.images.device:
            raise ValueError(
                f"zip_mixup: the batches of a and b must have the same shape, type and device, got {a!r} and {b!r}. "
                "Give both the same batch_size and recipe."
            )
        origin = a.origin
        number = uniform(origin.seed, origin.epoch, np.array([origin.step]), stream=Stream.MIX, n=3)[:, 2]
        lam = float(beta(self._alpha, number)[0]) if self._alpha else 1.0
        with torch.no_grad():
            lerp(a.images, b.images, lam)
        return dataclasses.replace(a, targets=self._targets(a.targets, b.targets, lam))

    def _targets(self, own: Any, mate: Any, lam: float) -> torch.Tensor | None:
        if own is None and mate is None:
            return None
        if own is None or mate is None or own.shape != mate.shape:
            raise ValueError(
                "zip_mixup: a and b must have targets of the same kind, got "
                f"{None if own is None else tuple(own.shape)} and {None if mate is None else tuple(mate.shape)}. "
                "Open both with the same components."
            )
        first, second = (
            soft_targets(targets, num_classes=self._num_classes, label_smoothing=self._label_smoothing)
            for targets in (own, mate)
        )
        return lam * first + (1.0 - lam) * second

    @property
    def epoch(self) -> int:
        """The epoch of `a` that the next pass delivers."""
        return self._chains[0].epoch

    def set_epoch(self, epoch: int) -> None:
        """Make the next pass deliver an epoch of both chains, see `Stage.set_epoch`."""
        for chain in self._chains:
            chain.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """The states of both chains: after the last batch that was delivered."""
        a, b = self._chains
        return {"version": _VERSION, "a": a.state_dict(), "b": b.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a state was taken.

        Raises:
            StateError: If it is no such state, or a part of it belongs to another dataset, seed or order.
        """
        if state.get("version") != _VERSION or not {"a", "b"} <= state.keys():
            raise StateError(
                f"zip_mixup.state: must be what state_dict() gave, got keys {sorted(map(str, state))}. "
                "Load the state of a single chain into that chain."
            )
        for name, chain in zip("ab", self._chains, strict=True):
            chain.load_state_dict(state[name])

    def close(self) -> None:
        """Close both chains."""
        for chain in self._chains:
            chain.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        a, b = self._chains
        return f"zip_mixup({a!r}, {b!r})"


def _refuse(batch: Batch) -> None:
    if batch.mix is not None or batch.views != 1 or batch.boxes is not None or batch.keypoints is not None:
        raise ValueError(
            f"zip_mixup: needs images of one view without boxes that nothing mixed, got {batch!r}. "
            "Leave views, annotations and mixing stages out of both chains."
        )
