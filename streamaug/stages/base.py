"""The base of every stage: a link of the chain with one hook, `run`, and the reader's state, passes and ranks.

The only import of `IterDataPipe`. A stage turns each batch of its source into a batch of its own; then all guarantees
of a chain (exact resume, passes, ranks, copies) hold for it too.
"""

import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from torch.utils.data.datapipes.datapipe import IterDataPipe

from streamaug.batch import EncodedBatch
from streamaug.reader.metering import Counts, metered
from streamaug.reader.state import EpochPass
from streamaug.samples.problem import Problem
from streamaug.stages.fluent import Fluent
from streamaug.stages.stats import Stats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamaug.stages.passes import PassIterator
    from streamaug.stages.reader import ShardReader

State = dict[str, Any]

#: Attributes of torch's DataLoader that loops ask for, and that a chain, which is not a DataLoader, does not have.
_OF_LOADERS = frozenset({"dataset", "sampler", "batch_sampler", "batch_size", "mixup_enabled"})
_NO_LOADER = (
    "A chain is no DataLoader: use streamaug.integrations.transformers.StreamTrainerMixin for Hugging Face's Trainer, "
    "integrations.accelerate.prepare(accelerator, chain) for Accelerate, integrations.timm.Loader(chain) for timm's "
    "loop, DataLoader(chain.as_dataset(), batch_size=None) for all else"
)

_IterDataPipeMeta: Any = type(IterDataPipe)


class _StageMeta(_IterDataPipeMeta):  # type: ignore[misc]  # torch's metaclass is private
    """Lets a stage refuse new attributes once its constructor has returned."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        stage = super().__call__(*arguments, **options)
        stage.__dict__["_constructed"] = True
        return stage


class Stage(Fluent, IterDataPipe[Any], metaclass=_StageMeta):
    """One link of the chain.

    A stage of your own derives from this and defines `run`:

        class Scaled(Stage):
            def __init__(self, source, factor):
                super().__init__(source)
                self.factor = factor

            def run(self, epoch_pass):
                for batch in self.source.run(epoch_pass):
                    yield dataclasses.replace(batch, images=batch.images * self.factor)

        loader = reader.augment(recipe).pipe(Scaled, 0.5)

    `run` must depend on its batches alone (`batch.origin` has seed, epoch and sample ids to draw from), or runs do not
    repeat; `streamaug.testing.assert_resumes_exactly` shows whether they do.

    Args:
        source: The stage before; None for a reader, the first stage.

    Raises:
        TypeError: If the source is no stage of streamaug.
    """

    #: Whether images may be mixed behind it: False where it mixes them itself, or delivers no images.
    _delivers_plain_images = True

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        run = cls.__dict__.get("run")
        if run is not None and not getattr(run, "__isabstractmethod__", False):
            cls.run = metered(run)  # type: ignore[method-assign, assignment]  # the same signature, measured

    def __init__(self, source: "Stage | None") -> None:
        if source is not None and not isinstance(source, Stage):
            raise TypeError(
                f"{type(self).__name__}.source: must be a streamaug stage, got {type(source).__name__}. "
                "Put other datapipes behind the last stage, or use map_batch(fn)."
            )
        self._source = source

    @abstractmethod
    def run(self, epoch_pass: EpochPass) -> Iterator[Any]:
        """The batches of a pass, one for each batch of `self.source.run(epoch_pass)`.

        Args:
            epoch_pass: The pass: its `epoch`, the position `start` at which it begins, and `num_batches`.
        """

    @property
    def source(self) -> "Stage":
        """The stage before.

        Raises:
            TypeError: If it is the first of a chain and no reader.
        """
        source: Stage | None = self.__dict__.get("_source")
        if source is None:
            raise TypeError(
                f"{type(self).__name__}.source: a chain must begin with a ShardReader, got a stage without a source. "
                "Give it one, and call super().__init__(source) first."
            )
        return source

    @property
    def _reader(self) -> "ShardReader":
        """The reader at the head of the chain."""
        return self.source._reader

    def _replace(self, batch: EncodedBatch, problems: Mapping[int, Problem]) -> EncodedBatch:
        """The batch with stand-ins in its bad rows, as this stage would have delivered them."""
        return self.source._replace(batch, problems)

    def _reject(self, batch: EncodedBatch, rows: "Sequence[int]") -> EncodedBatch:
        """The batch with stand-ins in the rows that a later stage rejects; no error, and not recorded."""
        return self.source._reject(batch, rows)

    def _new_counts(self) -> Counts | None:
        """The stage's counts in a pass besides time and batches; None: it has none."""
        return None

    def iterator(self, *, within_dataset: bool = False) -> "PassIterator":
        """The iterator that `iter()` returns; `within_dataset` for `as_dataset()`, whose state torch's loaders save."""
        return self._reader._passes.iterator(self, within_dataset=within_dataset)

    def __len__(self) -> int:
        """Batches of a whole epoch, the same on every rank."""
        return len(self._reader)

    def __bool__(self) -> bool:
        """True; it counts no batches, which would settle the ranks."""
        return True

    @property
    def epoch(self) -> int:
        """The epoch that the next pass delivers."""
        return self._reader.epoch

    @property
    def num_bad_samples(self) -> int:
        """Different bad samples that were replaced so far in this process, those of batches under way included."""
        return self._reader.num_bad_samples

    def set_epoch(self, epoch: int) -> None:
        """Make the next pass deliver an epoch: from its start, or from a loaded or sought position in it.

        Raises:
            ValueError: If it is no integer of at least 0.
        """
        self._reader.set_epoch(epoch)

    def seek(self, epoch: int, step: int) -> None:
        """Make the next pass begin at a step of an epoch; nothing is read on the way.

        Args:
            epoch: The epoch, from 0.
            step: The step of all ranks together, 0 ≤ step < len(self).

        Raises:
            ValueError: If there is no such step; at the first batch, where ranks are not settled yet.
        """
        self._reader.seek(epoch, step)

    def peek(self) -> Any:
        """The next batch of the pass under way, else of the next pass, without using it up.

        After an epoch's last batch this is the first of the next epoch. The very object is delivered afterwards.

        Raises:
            StreamaugError: If the pass under way is of another stage of the chain.
        """
        return self._reader._peek(self)

    def stats(self) -> Stats:
        """The work and the waiting of this stage and of those before it since the pass began.

        The numbers are of the pass that began last; after a loop they stay until the next pass begins. Before the first
        pass, and in a copy of a chain, all are 0.
        """
        return self._reader._stats(self)

    def state_dict(self) -> State:
        """The state behind the last batch delivered: under 1 KB, the same on every rank."""
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _described(self) -> str:
        """This stage alone, in one line; by default the class's name."""
        name: str = type(self).__name__
        return name

    def __repr__(self) -> str:
        earlier: Stage | None = self.__dict__.get("_source")
        mine = self._described()
        return mine if earlier is None else f"{earlier!r} → {mine}"

    def __str__(self) -> str:
        return repr(self)

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        if "_constructed" in own and not (name.startswith("_") or name in own or hasattr(type(self), name)):
            raise AttributeError(
                f"{type(self).__name__}.{name}: a stage must have the attributes of its class, got a new one, which "
                "nothing would read. Set it in the stage's __init__, or begin its name with an underscore."
            )
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        """Torch's functional datapipes by name; they make datapipes without a state, and warn of it."""
        if name not in IterDataPipe.functions:
            hint = f". {_NO_LOADER}" if name in _OF_LOADERS else ""
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}")
        function = super().__getattr__(name)

        def stateless(*arguments: Any, **options: Any) -> Any:
            self._warn_stateless(f".{name}()", stacklevel=3)
            return function(*arguments, **options)

        return stateless

    def __add__(self, other: Any) -> Any:
        self._warn_stateless("+", stacklevel=3)
        return super().__add__(other)

    def _warn_stateless(self, what: str, *, stacklevel: int) -> None:
        warnings.warn(
            f"{type(self).__name__}: torch's {what} makes a datapipe without state_dict() and set_epoch(), so a job "
            "cannot go on where it stopped. Use map_batch(fn) or pipe(StageClass), or put it behind what is saved.",
            UserWarning,
            stacklevel=stacklevel,
        )

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        hook = IterDataPipe.getstate_hook
        return state if hook is None else hook(state)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
