"""A chain in Lightning's Trainer: `LoaderState` for exact checkpoints, `StreamDataModule` for chains made in time.

Lightning restores a loader only where a checkpoint was taken in the middle of an epoch, and not even there if
`estimated_stepping_batches` was read (its issue 20550). The callback keeps the state of the chains that a Trainer
trains on, restores it in every case, and makes a trainer's epoch the data's epoch.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer

from streamaug.batch import Batch, EncodedBatch, Prediction
from streamaug.errors import StateError
from streamaug.stages.base import Stage
from streamaug.stages.dataset import stage_of

__all__ = ["LoaderState", "StreamDataModule"]


class LoaderState(Callback):  # type: ignore[misc]  # Lightning need not be installed where types are checked
    """Saves and restores the chains of a Trainer, exactly, in every checkpoint: `Trainer(callbacks=[LoaderState()])`.

    It takes the chains from the train dataloaders, by themselves or in a DataLoader over `as_dataset()`, in lists and
    dicts too. A trainer's epoch is the data's epoch, in validation too. Where Lightning repeats a shorter chain beside
    a longer one, the shorter counts its epochs by itself.

    With precision "bf16-true", "16-true" or "64-true" it lets Lightning convert a `Batch`, which is frozen.

    Raises:
        StateError: When training begins, if a checkpoint holds the states of another number of chains, or of another
            dataset, seed or order.
    """

    def __init__(self) -> None:
        self._trainer: Trainer | None = None
        self._loaded: dict[str, Any] | None = None
        self._finished = -1  # batches of the trainer's run, when the states below were taken
        self._states: list[dict[str, Any]] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Let the Trainer's precision convert batches; forget a state that an earlier run loaded."""
        self._trainer, self._loaded, self._finished = trainer, None, -1
        _convert_batches(trainer.precision_plugin)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Leave the precision as it was."""
        trainer.precision_plugin.__dict__.pop("convert_input", None)

    def state_dict(self) -> dict[str, Any]:
        """The states of the chains behind the last batch that was trained on, and the trainer's epoch."""
        if self._trainer is None or self._trainer.train_dataloader is None:
            return self._loaded or {}
        if self._finished != self._batches_done():  # a callback before this one saves, or nothing was trained yet
            self._take()
        return {"chains": self._states, "epoch": self._trainer.current_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the states until the chains are made."""
        self._loaded = dict(state_dict)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Restore the chains; Lightning calls no `on_train_epoch_start` where it goes on in an epoch."""
        trainer.fit_loop.setup_data()  # which may make the chains anew, and would do so right after this
        loaded, self._loaded = self._loaded, None
        chains = _training_chains(trainer)
        if loaded is not None and "chains" in loaded:
            if len(loaded["chains"]) != len(chains):
                raise StateError(
                    f"LoaderState: must be given as many chains as were saved, {len(loaded['chains'])}, got "
                    f"{len(chains)}. Train on the same loaders, each with a chain or without."
                )
            for chain, state in zip(chains, loaded["chains"], strict=True):
                chain.load_state_dict(state)
                if loaded["epoch"] != trainer.current_epoch and state["position"] > 0:
                    chain.set_epoch(state["epoch"] + 1)  # as a loop does that leaves an epoch early
        self._begin_epoch(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Make the trainer's epoch the data's; Lightning may have made the chains anew."""
        self._begin_epoch(trainer)

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        """Take the states, since a checkpoint of the next batch's time must bring that batch again."""
        self._take()

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Validate on the data's epoch of the same number."""
        for chain in _chains(trainer.val_dataloaders):
            chain.set_epoch(trainer.current_epoch)

    def _begin_epoch(self, trainer: Trainer) -> None:
        for chain in _training_chains(trainer):
            if len(chain) >= trainer.num_training_batches:
                chain.set_epoch(trainer.current_epoch)
        self._take()

    def _take(self) -> None:
        trainer = self._trainer
        if trainer is not None:
            self._finished = self._batches_done()
            self._states = [chain.state_dict() for chain in _training_chains(trainer)]

    def _batches_done(self) -> int:
        trainer = self._trainer
        return -1 if trainer is None else int(trainer.fit_loop.epoch_loop.batch_progress.total.processed)


class StreamDataModule(LightningDataModule):  # type: ignore[misc]  # see LoaderState
    """Makes chains when Lightning asks for them, in each process, when the ranks are settled.

        data = StreamDataModule(train=make_train, val=make_val)
        Trainer(callbacks=[LoaderState()]).fit(model, datamodule=data)

    Args:
        train: Makes the chain of `fit`.
        val: Makes the chain of validation, `tail="pad"` and `shuffle=False` in most cases; None: no validation.
        test: Makes the chain of `test`.
        predict: Makes the chain of `predict`.

    Raises:
        TypeError: If an argument is no function, or a function returns no chain.
    """

    def __init__(
        self,
        train: Callable[[], Stage] | None = None,
        val: Callable[[], Stage] | None = None,
        test: Callable[[], Stage] | None = None,
        predict: Callable[[], Stage] | None = None,
    ) -> None:
        super().__init__()
        self._makers = {"train": train, "val": val, "test": test, "predict": predict}
        for name, make in self._makers.items():
            if make is None:
                continue
            if not callable(make) or isinstance(make, Stage):
                raise TypeError(
                    f"StreamDataModule.{name}: must be a function that makes a chain, got {type(make).__name__}. "
                    "Pass the function, without calling it."
                )
            # Lightning runs a loop where its method is overridden.
            setattr(self, f"{name}_dataloader", getattr(self, f"_{name}"))

    def _train(self) -> Stage:
        return self._made("train")

    def _val(self) -> Stage:
        return self._made("val")

    def _test(self) -> Stage:
        return self._made("test")

    def _predict(self) -> Stage:
        return self._made("predict")

    def _made(self, name: str) -> Stage:
        make = self._makers[name]
        chain = None if make is None else make()
        if not isinstance(chain, Stage):
            raise TypeError(
                f"StreamDataModule.{name}: must return a streamaug stage, got {type(chain).__name__}. Return the last "
                "stage of the chain."
            )
        return chain


def _training_chains(trainer: Trainer) -> list[Stage]:
    return list(_chains(trainer.train_dataloader))


def _chains(loaders: Any) -> Iterator[Stage]:
    """The chains in a collection of loaders, in its order."""
    if isinstance(loaders, Mapping):
        loaders = list(loaders.values())
    if isinstance(loaders, list | tuple):
        for loader in loaders:
            yield from _chains(loader)
        return
    stage = stage_of(loaders)
    if stage is not None:
        yield stage


def _convert_batches(precision: Any) -> None:
    """Have a precision plugin convert the tensors of a `Batch` or a `Prediction`, as it converts those of a tuple."""
    convert = type(precision).convert_input.__get__(precision)

    def convert_input(data: Any) -> Any:
        return _converted(data, convert)

    precision.convert_input = convert_input


def _converted(data: Any, convert: Callable[[Any], Any]) -> Any:
    if isinstance(data, Batch):
        return dataclasses.replace(data, images=convert(data.images), targets=convert(data.targets))
    if isinstance(data, EncodedBatch):
        return data
    if isinstance(data, Prediction):
        return dataclasses.replace(data, probabilities=convert(data.probabilities))
    if type(data) is dict:
        return {name: _converted(value, convert) for name, value in data.items()}
    if type(data) in (list, tuple):
        return type(data)(_converted(value, convert) for value in data)
    return convert(data)
