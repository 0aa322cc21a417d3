"""`ShardReader`: the head of every chain. Positions, ranks, passes and state; the bytes come from the engine below."""

import os
import warnings
import weakref
from collections.abc import Iterator, Mapping, Sequence
from math import gcd
from pathlib import Path
from typing import Any, Literal

import torch

from streamaug.batch import EncodedBatch, Problem
from streamaug.errors import StreamaugError
from streamaug.order import Order
from streamaug.reader import BatchReader, Progress, Share
from streamaug.shards import ShardSet
from streamaug.stages.base import ActivePass, EpochPass, Stage
from streamaug.substitution import Substitution


class ShardReader(Stage):
    """Reads a dataset as encoded batches, a pure function of (seed, epoch, position).

    The global batch of a step is the same for any number of ranks; each rank delivers its rows of it. Iterating again
    goes on to the next epoch.

    Args:
        shards: The dataset.
        batch_size: B, rows that this rank delivers a step.
        seed: Of the order and of every augmentation.
        shuffle: False reads the shards as listed.
        lanes: L, see `SampleOrder`; choose twice a multiple of every number of ranks in use.
        window: Samples in the shuffle window, over all ranks; None: 256 a lane.
        tail: "drop" leaves out what fills no global batch; "pad" repeats samples and marks them in `origin.is_padding`.
        rank: This process's number; None: torch.distributed's, else RANK of the environment, else 0.
        world_size: W, the number of processes; None likewise. Give both or neither.
        on_bad_sample: "raise", or "substitute" another sample: of the same run where one is usable, else from around
            it, else from anywhere.
        max_bad_samples: With "substitute", how many different bad samples this process bears; None: any number. Each
            counts once, however often it is met, and each rank counts its own; a new process, resumed or not, begins
            at 0. One more is an error, after the batches before it.
        quarantine: A JSON-lines file to which shard, key, offset, epoch and reason of each bad sample are appended,
            once a process. The offset is that of the component to blame, of the sample's first one if that is missing,
            null if it has none. Ranks of a host may share a file; what cannot be written later is a warning.
        num_classes: K; with it a label that `augment` reads, after any `map_samples`, is a bad sample (`TargetError`)
            unless it is below K. Without it, a label out of range is found only by `mixup` or your loss, as an error
            that a resumed run meets again. None: any label from 0 will do.

    Raises:
        ValueError: If a value is out of its range, an epoch has less than one global batch, or the quarantine cannot be
            appended to.
    """

    def __init__(
        self,
        shards: ShardSet,
        *,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = True,
        lanes: int = 32,
        window: int | None = None,
        tail: Literal["drop", "pad"] = "drop",
        rank: int | None = None,
        world_size: int | None = None,
        on_bad_sample: Literal["raise", "substitute"] = "raise",
        max_bad_samples: int | None = None,
        quarantine: str | Path | None = None,
        num_classes: int | None = None,
    ) -> None:
        super().__init__(None)
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"ShardReader.batch_size: must be an integer of at least 1, got {batch_size!r}. Try 256.")
        if num_classes is not None and (
            isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1
        ):
            raise ValueError(
                f"ShardReader.num_classes: must be an integer of at least 1, got {num_classes!r}. None sets no bound."
            )
        rank, world_size = resolve_ranks(rank, world_size)
        self._order: Order = shards.order(seed=seed, lanes=lanes, window=window, shuffle=shuffle, tail=tail)
        self._share = Share(batch_size, rank, world_size, interleaved=shuffle)
        self._length = self._share.num_batches(self._order)
        if self._length == 0:
            raise ValueError(
                "ShardReader.batch_size: an epoch must hold at least one global batch, got "
                f"{self._order.num_positions} positions for {world_size} ranks of {batch_size}. Use a batch_size of at "
                f'most {max(1, self._order.num_positions // world_size)}, or tail="pad".'
            )
        _warn_of_shared_lanes(self._order, world_size)
        #: K as given; labels must be below it.
        self.num_classes = num_classes
        self._shards = shards
        self._substitution = Substitution(
            shards, self._order, on_bad_sample=on_bad_sample, max_bad_samples=max_bad_samples, quarantine=quarantine
        )
        self._engine = BatchReader(shards, self._order, self._share, self._substitution.screen)
        self._progress = Progress(self._order, shards.fingerprint, self._share.global_batch)
        self._active = ActivePass()
        self._chain: weakref.ref[Stage] | None = None

    def __repr__(self) -> str:
        share = self._share
        return f"ShardReader(batch_size={share.batch_size}, rank={share.rank} of {share.world_size}, {self._order})"

    @property
    def _reader(self) -> "ShardReader":
        return self

    def _replace(self, batch: EncodedBatch, problems: Mapping[int, Problem]) -> EncodedBatch:
        return self._substitution.replace(batch, problems)

    def _reject(self, batch: EncodedBatch, rows: Sequence[int]) -> EncodedBatch:
        return self._substitution.reject(batch, rows)

    def _run(self, epoch_pass: EpochPass) -> Iterator[EncodedBatch]:
        return self._engine.read(epoch_pass)

    def _deliver(self, stage: Stage) -> Iterator[Any]:
        """Begin the next pass for the stage that the user iterates."""
        if torch.utils.data.get_worker_info() is not None:
            raise StreamaugError(
                "ShardReader: must not be iterated inside a DataLoader worker, since it reads ahead with threads of "
                "its own. Iterate it directly, or pass it to DataLoader with num_workers=0 and batch_size=None."
            )
        self._active.end()
        if self._chain is None or self._chain() is not stage:
            self._substitution.forget()
            self._chain = weakref.ref(stage)
        epoch_pass = self._progress.begin(
            lambda epoch, start: EpochPass(epoch, start, self._share.num_batches(self._order, start))
        )
        return self._active.start(stage, epoch_pass)

    def __len__(self) -> int:
        """Batches of a whole epoch, the same on every rank."""
        return self._length

    @property
    def epoch(self) -> int:
        """The epoch that the next `iter()` delivers."""
        return self._progress.epoch

    @property
    def num_bad_samples(self) -> int:
        """Different bad samples that were replaced so far in this process, those of batches under way included."""
        return self._substitution.num_bad

    def set_epoch(self, epoch: int) -> None:
        """Make the next `iter()` deliver an epoch: from its start, or from a loaded position if it is that epoch's."""
        self._progress.set_epoch(epoch)
        self._active.end()

    def state_dict(self) -> dict[str, Any]:
        """Where the chain stands: after the last batch that the user was given. Under 1 KB, the same on every rank."""
        return self._progress.state()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a state was taken, on any number of ranks.

        Raises:
            StateError: If the state is of another dataset, seed or order.
        """
        self._progress.load(state)
        self._active.end()

    def stand_in(self, position: int, attempt: int) -> int:
        """The sample id that would stand in at a position of the epoch under way, attempt 0, 1, ….

        First come the other samples of its run, then those around it, then some of the whole dataset.

        Raises:
            BadSampleError: If there is no further sample, or as many as are tried were asked for.
        """
        return self._substitution.stand_in(self._progress.state()["epoch"], position, attempt)

    def close(self) -> None:
        """End the pass under way and its threads."""
        self._active.end()

    def __enter__(self) -> "ShardReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def resolve_ranks(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """This process's rank and the number of ranks: as given, else torch.distributed's, else the environment's."""
    if (rank is None) != (world_size is None):
        raise ValueError(
            f"ShardReader.rank: rank and world_size go together, got rank={rank}, world_size={world_size}. "
            "Give both or neither."
        )
    if rank is None or world_size is None:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            rank, world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        elif "RANK" in os.environ and "WORLD_SIZE" in os.environ:
            rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        else:
            rank, world_size = 0, 1
    if not 0 <= rank < world_size:
        raise ValueError(
            f"ShardReader.rank: must lie in 0..world_size-1, got {rank} of {world_size}. Check the launcher."
        )
    return rank, world_size


def _warn_of_shared_lanes(order: Order, world_size: int) -> None:
    if not order.shuffle or order.lanes % world_size == 0:
        return
    readers = world_size // gcd(world_size, order.lanes)
    warnings.warn(
        f"ShardReader.lanes: should be a multiple of the {world_size} ranks, got {order.lanes}, so each byte is read "
        f"by up to {readers} ranks. Batches are the same; "
        f"lanes={2 * world_size * max(1, order.lanes // (2 * world_size))} would read each byte once.",
        stacklevel=3,
    )
