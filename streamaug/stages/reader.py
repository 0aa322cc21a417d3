"""`ShardReader`: the head of every chain: passes, position and state.

In: a dataset and options, which `definition` checks. Out: encoded batches, which `rank_reading` reads.
"""

import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import distributed

from streamaug.batch import EncodedBatch
from streamaug.errors import StreamaugError
from streamaug.order.base import Order
from streamaug.reader import Progress
from streamaug.reader.metering import ReaderCounts
from streamaug.reader.state import EpochPass
from streamaug.samples.problem import Problem
from streamaug.shards.shard_set import ShardSet
from streamaug.stages.base import Stage
from streamaug.stages.definition import Definition
from streamaug.stages.passes import Passes
from streamaug.stages.rank_reading import RankReading
from streamaug.stages.ranks import Ranks, check_agreement
from streamaug.stages.stats import Stats, stats_of
from streamaug.stages.weak_call import WeakCall


class ShardReader(Stage):
    """Reads a dataset as encoded batches, a pure function of (seed, epoch, position).

    The global batch of a step is the same for any number of ranks; each rank delivers its rows of it. Iterating again
    goes on to the next epoch. A pass begins with its first batch.

    Args:
        shards: The dataset.
        batch_size: B, rows that this rank delivers a step.
        seed: Of the order and of every augmentation.
        shuffle: False reads the shards as listed.
        lanes: L, see `SampleOrder`; a multiple of every number of ranks in use. None: those of the loaded state; else
            96, which 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48 and 96 ranks divide; fewer for a set of less than 384
            samples.
        window: Samples in the shuffle window, over all ranks. None: that of the loaded state; else 8,192, and at least
            64 a lane.
        tail: "drop" leaves out samples that fill no global batch; "pad" repeats samples and marks them in
            `origin.is_padding`.
        sticky_lanes: True deals the shards to the lanes once for a seed, so that in every epoch ranks find their
            samples in a disk cache; each rank then reads the same samples in every epoch, in another order.
        repeats: Copies of each sample, each augmented by draws of its own: consecutive slots of its lane, whose bytes
            are fetched once. An epoch keeps its length and takes N/repeats samples, the next epoch other samples.
            Needs shuffle.
        read_ahead: From the reader's second pass on, a pass that ends by itself also reads the beginning of the next
            epoch: the first runs of its lanes, within `memory_limit`. These bytes are held until the next pass, which
            then does not wait for them, or until `close()`; a pass that begins elsewhere drops them, and so does a loop
            that is left early. An `Augmenter` of this reader begins to decode them.
        rank: This process's number. None: torch.distributed's, else RANK of the environment, else 0, read at `len()`,
            `peek()`, `check_ranks()` or the first batch.
        world_size: W, the number of processes; None likewise. Give both or neither.
        on_bad_sample: "raise", or "substitute" another sample: of the same run where one is usable, else from around
            it, else from anywhere.
        max_bad_samples: With "substitute", how many different bad samples this process tolerates; None: any number. A
            sample counts once, however often it is met, and each rank counts its own; a new process, resumed or not,
            begins at 0. One sample more is an error, after the batches before it.
        quarantine: A JSON-lines file to which shard, key, offset, epoch and reason of each bad sample are appended,
            once a process. The offset is that of the bad component; of the sample's first component if the bad one is
            missing; null if it has none. Ranks of a host may share a file; a line that cannot be written later is a
            warning.
        num_classes: K. A label of K or more, as `augment` reads it behind any `map_samples`, makes its sample a bad one
            (`TargetError`). None: any label from 0 on is valid, and only `mixup` or your loss notices a label out of
            range, by an error that a resumed run meets again.
        stall_after: Seconds, above 0, of waiting for a batch after which the logger "streamaug.stages" warns: which
            stage is late, why, and where its thread is; then again after twice as long. None: never.

    Raises:
        TypeError: If `shards` is no `ShardSet`.
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
        lanes: int | None = None,
        window: int | None = None,
        tail: Literal["drop", "pad"] = "drop",
        sticky_lanes: bool = False,
        repeats: int = 1,
        read_ahead: bool = True,
        rank: int | None = None,
        world_size: int | None = None,
        on_bad_sample: Literal["raise", "substitute"] = "raise",
        max_bad_samples: int | None = None,
        quarantine: str | Path | None = None,
        num_classes: int | None = None,
        stall_after: float | None = 60.0,
    ) -> None:
        of_subclass = set(self.__dict__)
        super().__init__(None)
        options = {
            "batch_size": batch_size,
            "seed": seed,
            "shuffle": shuffle,
            "lanes": lanes,
            "window": window,
            "tail": tail,
            "sticky_lanes": sticky_lanes,
            "repeats": repeats,
            "read_ahead": read_ahead,
            "on_bad_sample": on_bad_sample,
            "max_bad_samples": max_bad_samples,
            "quarantine": quarantine,
            "num_classes": num_classes,
            "stall_after": stall_after,
        }
        self._definition = Definition(shards, options)
        self._ranks = Ranks(rank, world_size)
        self._reading = RankReading(self._definition, self._ranks)
        self._progress = Progress(WeakCall(self.global_batch))
        self._passes = Passes(self._progress, WeakCall(self._next_pass), WeakCall(self._left), stall_after)
        self._chain: weakref.ref[Stage] | None = None
        self._most_batches: int | None = None
        if self._ranks.given:
            self._reading.share()
        self._made_here = frozenset(self.__dict__) - of_subclass | {"_made_here", "_constructed"}

    def _described(self) -> str:
        return f"ShardReader(batch_size={self._definition.batch_size}, {self._ranks}, {self.order})"

    @property
    def shards(self) -> ShardSet:
        """The dataset."""
        return self._definition.shards

    @property
    def ranks(self) -> Ranks:
        """This process's rank, and the number of ranks."""
        return self._ranks

    @property
    def batch_size(self) -> int:
        """B, rows that this rank delivers a step."""
        return self._definition.batch_size

    @property
    def order(self) -> Order:
        """Which sample stands at which position."""
        return self._reading.order

    def global_batch(self) -> int:
        """G, rows of all ranks together in a step. Settles the ranks."""
        return self._reading.share().global_batch

    @property
    def num_classes(self) -> int | None:
        """K as given; labels must be below it."""
        return self._definition.num_classes

    @property
    def _reader(self) -> "ShardReader":
        return self

    def _replace(self, batch: EncodedBatch, problems: Mapping[int, Problem]) -> EncodedBatch:
        return self._reading.substitution.replace(batch, problems)

    def _reject(self, batch: EncodedBatch, rows: Sequence[int]) -> EncodedBatch:
        return self._reading.substitution.replace_unwanted(batch, rows)

    def run(self, epoch_pass: EpochPass) -> Iterator[EncodedBatch]:
        """This rank's encoded batches of a pass."""
        yield from self._reading.run(epoch_pass, epoch_pass.meter.counts_of(self))

    def _begin_next(self) -> EncodedBatch | None:
        """The next batch of the pass that comes next, where it was read ahead; its `run` will deliver the same."""
        return self._reading.begin_next()

    def _new_counts(self) -> ReaderCounts:
        return ReaderCounts(self._reading.substitution.bad_counts)

    def _next_pass(self, stage: Stage) -> EpochPass:
        """The next pass, for the stage that the user iterates."""
        if torch.utils.data.get_worker_info() is not None:
            raise StreamaugError(
                "ShardReader: must not be iterated inside a DataLoader worker, since it reads ahead with threads of "
                "its own. Iterate it directly, or pass it to DataLoader with num_workers=0 and batch_size=None."
            )
        share = self._reading.share()
        self._ranks.confirm()
        epoch, position = self._progress.next_place
        self._reading.check_step(self._progress.sought_step)
        if self._chain is None or self._chain() is not stage:
            self._reading.substitution.forget_verdicts()
            self._chain = weakref.ref(stage)
        num_batches = self._reading.num_batches(position)
        if self._most_batches is not None:
            num_batches = min(num_batches, self._most_batches)
        return EpochPass(epoch, position, num_batches, share.global_batch)

    def _look_at_one_batch(self) -> None:
        """Make each pass from now on one batch long, so that `peek` reads no bytes of later batches."""
        self._most_batches = 1

    def _stats(self, stage: Stage) -> Stats:
        settled = self._ranks.settled
        return stats_of(
            stage,
            self._passes.latest,
            batch_size=self._definition.batch_size,
            world_size=1 if settled is None else settled[1],
        )

    def _peek(self, stage: Stage) -> Any:
        return self._passes.peek(stage)

    def __len__(self) -> int:
        """Batches of a whole epoch, the same on every rank. Settles the ranks."""
        return self._reading.num_batches()

    @property
    def epoch(self) -> int:
        """The epoch that the next pass delivers."""
        return self._progress.epoch

    @property
    def num_bad_samples(self) -> int:
        """Different bad samples that were replaced so far in this process, those of batches under way included."""
        return self._reading.substitution.num_bad

    def set_epoch(self, epoch: int) -> None:
        """Make the next pass deliver an epoch: from its start, or from a loaded or sought position in it."""
        with self._passes.locked():
            self._progress.set_epoch(epoch)
            self._moved()

    def seek(self, epoch: int, step: int) -> None:
        """Make the next pass begin at a step of an epoch, see `Stage.seek`."""
        with self._passes.locked():
            before = self._progress.to_dict()
            self._progress.seek(epoch, step)
            if self._reading.settled is not None:
                try:
                    self._reading.check_step(step)
                except ValueError:
                    self._progress.take(before)
                    raise
            self._moved()

    def _moved(self) -> None:
        """After the next pass was moved: end the pass under way, drop bytes for another position."""
        self._passes.moved()
        if self._reading.engine is not None:  # the next place may settle the ranks
            self._reading.keep_ahead(*self._progress.next_place)

    def _left(self, epoch_pass: EpochPass) -> None:
        """A pass is over: if it was left early, end all that still runs for it."""
        if not epoch_pass.complete:
            self._reading.drop_ahead(epoch_pass)

    def state_dict(self) -> dict[str, Any]:
        """The state behind the last batch delivered: under 1 KB, the same on every rank."""
        return self._reading.state(self._progress.place)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a state was taken, on any number of ranks.

        Where this reader was given no lanes or window, it takes those of the state from then on.

        Raises:
            StateError: If the state is of another dataset, seed or order, or lies behind the end of its epoch.
        """
        with self._passes.locked():
            order, epoch, position = self._reading.taken_from(state)
            self._passes.close()
            if order is not self.order:
                self._reading.read_in(order)
                if self._ranks.settled is not None:
                    self._reading.share()
            self._progress.load(epoch, position)
            self._reading.keep_ahead(epoch, position)

    def check_ranks(self, group: "distributed.ProcessGroup | None" = None) -> None:
        """Check that all ranks read one dataset in one order, each its own share. Collective; settles the ranks.

        Args:
            group: The ranks that share the data; None: all. Nothing is done without a process group.

        Raises:
            StateError: On every rank, if fingerprint, seed, order, batch size or world size differ, or two ranks have
                one number.
        """
        self._reading.share()
        if distributed.is_available() and distributed.is_initialized():
            check_agreement(self._reading.facts(self._progress.place), group)

    def stand_in(self, position: int, attempt: int) -> int:
        """The sample id that would stand in at a position of the epoch under way, attempt 0, 1, ….

        The other samples of its run come first, then samples around the run, then some of the whole dataset.

        Raises:
            BadSampleError: If there is no further sample, or as many stand-ins were asked for as the reader tries.
        """
        return self._reading.substitution.stand_in(self._progress.place[0], position, attempt)

    def close(self) -> None:
        """End the pass under way and its threads, and free the bytes that were read ahead."""
        self._passes.close()
        self._reading.drop_ahead()

    def __getstate__(self) -> dict[str, Any]:
        """A copy is made of the definition, at this chain's position; ranks that were looked for are not kept."""
        given = self._ranks.settled if self._ranks.given else None
        return {
            "shards": self._definition.shards,
            "definition": self._definition.options
            | dict(zip(("rank", "world_size"), given or (None, None), strict=True)),
            "order": {"lanes": self.order.lanes, "window": self.order.window},
            "place": self._progress.to_dict(),
            "of_subclass": {name: value for name, value in self.__dict__.items() if name not in self._made_here},
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state["of_subclass"])
        ShardReader.__init__(self, state["shards"], **state["definition"])
        if state["order"] != {"lanes": self.order.lanes, "window": self.order.window}:
            self._reading.read_in(self._definition.order_with(**state["order"]))
        self._progress.take(state["place"])
        self._constructed = True
