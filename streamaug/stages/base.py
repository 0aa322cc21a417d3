"""What every stage shares: the pass over an epoch, its state, and how stages chain.

The only import of `IterDataPipe`. A stage implements `_run`, which turns the batches of its source into its own, one
for one. Only the stage that the user iterates counts what was delivered, so a state never runs ahead of the training
loop, however much the stages below have prefetched.
"""

import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch.utils.data.datapipes.datapipe import IterDataPipe

from streamaug.batch import EncodedBatch, Problem
from streamaug.errors import StreamaugError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamaug.batch import Batch
    from streamaug.ops import Annotations
    from streamaug.recipe import Recipe
    from streamaug.stages.augmenter import Augmenter, MapBatch
    from streamaug.stages.mixing import CutMix, Mixup, MixupOrCutMix
    from streamaug.stages.reader import ShardReader
    from streamaug.stages.samples import MapSamples, SampleFunction
    from streamaug.stages.tta import TestTimeAugment
    from streamaug.tta import TTAWeights

State = dict[str, Any]


@dataclass(slots=True, eq=False)
class EpochPass:
    """One pass over one epoch: where it began, how long it is, how much the user has been given."""

    epoch: int
    start: int
    num_batches: int
    delivered: int = 0
    ended: bool = False


class PassIterator:
    """Delivers one pass and counts what it delivered. Ended by a later `iter()` of any stage of the chain."""

    def __init__(self, stage: "Stage", epoch_pass: EpochPass) -> None:
        self._pass = epoch_pass
        self._batches = stage._run(epoch_pass)

    def __iter__(self) -> "PassIterator":
        return self

    def __next__(self) -> Any:
        if self._pass.ended:
            raise StreamaugError(
                f"iterator: this pass over epoch {self._pass.epoch} was ended by a later iter(), set_epoch() or "
                "load_state_dict() of the same chain. Keep one loop over a chain at a time."
            )
        try:
            batch = next(self._batches)
        except StopIteration:
            if self._pass.delivered != self._pass.num_batches:
                raise StreamaugError(
                    f"iterator: epoch {self._pass.epoch} stopped after {self._pass.delivered} of "
                    f"{self._pass.num_batches} batches, because an earlier error or close() ended it. "
                    "Load the last state and iterate anew."
                ) from None
            raise
        self._pass.delivered += 1
        return batch

    def end(self) -> None:
        """Stop delivering and free what the pass held."""
        self._pass.ended = True
        close = getattr(self._batches, "close", None)
        if close is not None:
            close()


class Stage(IterDataPipe[Any]):
    """One link of the chain.

    Args:
        source: The stage before this one; None for the first.

    Raises:
        TypeError: If the source is no stage of streamaug.
    """

    def __init__(self, source: "Stage | None") -> None:
        if source is not None and not isinstance(source, Stage):
            raise TypeError(
                f"{type(self).__name__}.source: must be a streamaug stage, got {type(source).__name__}. "
                "Put other datapipes behind the last stage, or use map_batch(fn)."
            )
        self._source = source

    def _run(self, epoch_pass: EpochPass) -> Iterator[Any]:
        """The batches of one pass; implemented by every stage, one batch out for each batch in."""
        raise TypeError(f"{type(self).__name__}: a stage must define _run(epoch_pass), got none for {epoch_pass}.")

    def _batches(self, epoch_pass: EpochPass) -> Iterator[Any]:
        """The batches of the source in one pass."""
        if self._source is None:
            raise TypeError(f"{type(self).__name__}: must have a source to take batches from, got none. Give it one.")
        return self._source._run(epoch_pass)

    @property
    def _reader(self) -> "ShardReader":
        """The reader at the head of the chain."""
        if self._source is None:
            raise TypeError(f"{type(self).__name__}: must begin with a ShardReader, got no source. Give it one.")
        return self._source._reader

    def _replace(self, batch: EncodedBatch, problems: Mapping[int, Problem]) -> EncodedBatch:
        """The batch with stand-ins in its bad rows, as this stage would have delivered them."""
        if self._source is None:
            raise TypeError(f"{type(self).__name__}: must begin with a ShardReader, got no source. Give it one.")
        return self._source._replace(batch, problems)

    def _reject(self, batch: EncodedBatch, rows: "Sequence[int]") -> EncodedBatch:
        """The batch with stand-ins in the rows that a later stage does not want; no error, and not recorded."""
        if self._source is None:
            raise TypeError(f"{type(self).__name__}: must begin with a ShardReader, got no source. Give it one.")
        return self._source._reject(batch, rows)

    def __iter__(self) -> Iterator[Any]:
        return self._reader._deliver(self)

    def __len__(self) -> int:
        """Batches of a whole epoch, the same on every rank."""
        return len(self._reader)

    @property
    def epoch(self) -> int:
        """The epoch that the next `iter()` delivers."""
        return self._reader.epoch

    @property
    def num_bad_samples(self) -> int:
        """Different bad samples that were replaced so far in this process, those of batches under way included."""
        return self._reader.num_bad_samples

    def set_epoch(self, epoch: int) -> None:
        """Make the next `iter()` deliver an epoch: from its start, or from a loaded position if it is that epoch's."""
        self._reader.set_epoch(epoch)

    def state_dict(self) -> State:
        """Where the chain stands: after the last batch that the user was given. Under 1 KB, the same on every rank."""
        return self._reader.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a state was taken, on any number of ranks.

        Raises:
            StateError: If the state is of another dataset, seed or order.
        """
        self._reader.load_state_dict(state)

    def close(self) -> None:
        """End the pass under way and free threads and pipelines. The chain can be iterated again afterwards."""
        if self._source is not None:
            self._source.close()

    def augment(
        self,
        recipe: "Recipe | Callable[[int], Recipe]",
        *,
        device: str = "auto",
        num_threads: int | None = None,
        prefetch: int = 2,
        annotations: "Annotations | None" = None,
    ) -> "Augmenter":
        """Decode and augment, see `Augmenter`."""
        from streamaug.stages.augmenter import Augmenter

        return Augmenter(
            self, recipe, device=device, num_threads=num_threads, prefetch=prefetch, annotations=annotations
        )

    def map_batch(self, fn: "Callable[[Batch], Batch]") -> "MapBatch":
        """Apply a function of your own to every batch, see `MapBatch`."""
        from streamaug.stages.augmenter import MapBatch

        return MapBatch(self, fn)

    def map_samples(self, fn: "SampleFunction") -> "MapSamples":
        """Relabel or reject samples before they are decoded, see `MapSamples`."""
        from streamaug.stages.samples import MapSamples

        return MapSamples(self, fn)

    def mixup(
        self,
        *,
        num_classes: int,
        alpha: float = 0.2,
        probability: float = 1.0,
        label_smoothing: float = 0.0,
        lam: Literal["pair", "batch", "element"] = "pair",
        targets: Literal["soft", "sparse"] = "soft",
    ) -> "Mixup":
        """Blend pairs of images, see `Mixup`."""
        from streamaug.stages.mixing import Mixup

        return Mixup(
            self,
            num_classes=num_classes,
            alpha=alpha,
            probability=probability,
            label_smoothing=label_smoothing,
            lam=lam,
            targets=targets,
        )

    def cutmix(
        self, *, num_classes: int, alpha: float = 1.0, probability: float = 1.0, label_smoothing: float = 0.0
    ) -> "CutMix":
        """Paste boxes between pairs of images, see `CutMix`."""
        from streamaug.stages.mixing import CutMix

        return CutMix(
            self, num_classes=num_classes, alpha=alpha, probability=probability, label_smoothing=label_smoothing
        )

    def mixup_or_cutmix(
        self,
        *,
        num_classes: int,
        mixup_alpha: float = 0.2,
        cutmix_alpha: float = 1.0,
        probability: float = 1.0,
        switch_probability: float = 0.5,
        label_smoothing: float = 0.0,
    ) -> "MixupOrCutMix":
        """Mixup or CutMix, drawn for each pair, see `MixupOrCutMix`."""
        from streamaug.stages.mixing import MixupOrCutMix

        return MixupOrCutMix(
            self,
            num_classes=num_classes,
            mixup_alpha=mixup_alpha,
            cutmix_alpha=cutmix_alpha,
            probability=probability,
            switch_probability=switch_probability,
            label_smoothing=label_smoothing,
        )

    def tta(
        self,
        model: "Callable[[torch.Tensor], torch.Tensor]",
        *,
        merge: str = "mean",
        weights: "torch.Tensor | Sequence[Sequence[float]] | TTAWeights | None" = None,
        chunk_size: int | None = None,
    ) -> "TestTimeAugment":
        """Run a model on every view and merge what it says, see `TestTimeAugment`."""
        from streamaug.stages.tta import TestTimeAugment

        return TestTimeAugment(self, model, merge=merge, weights=weights, chunk_size=chunk_size)


class ActivePass:
    """The one pass that a chain has under way; starting another ends it."""

    def __init__(self) -> None:
        self._iterator: weakref.ref[PassIterator] | None = None

    def start(self, stage: Stage, epoch_pass: EpochPass) -> PassIterator:
        """End the pass under way and start one."""
        self.end()
        iterator = PassIterator(stage, epoch_pass)
        self._iterator = weakref.ref(iterator)
        return iterator

    def end(self) -> None:
        """End the pass under way, if there is one."""
        iterator = None if self._iterator is None else self._iterator()
        self._iterator = None
        if iterator is not None:
            iterator.end()
