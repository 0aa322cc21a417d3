"""A chain in Hugging Face's Trainer: `StreamTrainerMixin` for its loops, `LoaderState` for its checkpoints.

The Trainer counts the batches of an epoch before a checkpoint, and reads and throws away as many when it resumes. Here
the chain begins at its position, and nothing is read on the way.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from transformers.trainer_callback import ExportableState, TrainerCallback

from streamaug.batch import Batch, decoded
from streamaug.errors import StateError, StreamaugError
from streamaug.integrations.accelerate import StageLoader
from streamaug.reader.state import EpochPass
from streamaug.stages.base import Stage
from streamaug.stages.dataset import StageDataset, stage_of
from streamaug.stages.shapes import AsDicts

__all__ = ["LoaderState", "StreamTrainerMixin"]

#: The label that the losses of transformers ignore.
_IGNORED = -100


class LoaderState(TrainerCallback, ExportableState):  # type: ignore[misc]  # untyped
    """Saves and restores the chain of a Trainer, exactly, in every checkpoint; `StreamTrainerMixin` adds it.

    `trainer_state.json` holds the state; `trainer.train(resume_from_checkpoint=…)` loads it. Leave
    `ignore_data_skip` off, or Trainer counts the resumed epoch's batches from 0.

    Args:
        stage: The chain. None: the chain in the Trainer's train dataloader.

    Raises:
        StateError: When training resumes, if the checkpoint holds no state of a chain, or that of another dataset, seed
            or order.
        StreamaugError: When training begins, if there is no chain.
    """

    def __init__(self, stage: Stage | None = None) -> None:
        self._stage = stage

    def state(self) -> dict[str, Any]:
        """The part of a checkpoint: the chain's state, behind the last batch that was trained on."""
        return {"args": {}, "attributes": {"chain": None if self._stage is None else self._stage.state_dict()}}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Find the chain, and restore it where training resumes."""
        if self._stage is None:
            self._stage = _chain_of(kwargs.get("train_dataloader"))
        name = type(self).__name__
        saved = state.stateful_callbacks.get(name)
        state.stateful_callbacks[name] = self.state()
        if state.global_step == 0:
            return
        chain = None if not isinstance(saved, dict) else saved.get("attributes", {}).get("chain")
        if chain is None:
            raise StateError(
                "LoaderState: must find the state of the chain in trainer_state.json, got a checkpoint without, saved "
                "without this callback. Begin anew, or call stage.seek(epoch, step) and leave LoaderState out."
            )
        if args.ignore_data_skip and args.gradient_accumulation_steps > 1:
            raise StreamaugError(
                "TrainingArguments.ignore_data_skip: must be False with gradient_accumulation_steps above 1, got True, "
                "with which Trainer drops an optimizer step. Leave it off; skipping reads nothing."
            )
        self._stage.load_state_dict(chain)


class StreamTrainerMixin:
    """Trains and evaluates a `transformers.Trainer` on chains.

        class ChainTrainer(StreamTrainerMixin, Trainer): ...

        trainer = ChainTrainer(model, args, train_stage=train, eval_stage=evaluation)

    Batches become dicts of `pixel_values` and `labels`; the model and `compute_loss` must accept the labels. An
    evaluation leaves padding rows out of all metrics; their integer labels become -100, which losses ignore too.

    Args:
        train_stage: The chain to train on; it delivers `Batch`es, or the dicts of `as_dicts()`. A chain that is given
            as Trainer's `train_dataset` is taken for it.
        eval_stage: The chain to evaluate on, of `Batch`es, with `shuffle=False` and `tail="pad"`. Its batch size must
            be `per_device_eval_batch_size`, because Trainer weighs the losses of batches by it.

    Raises:
        TypeError: If an argument is no stage.
        ValueError: If batch sizes differ, or a shuffled epoch is padded.
    """

    def __init__(
        self, *args: Any, train_stage: Stage | None = None, eval_stage: Stage | None = None, **kwargs: Any
    ) -> None:
        for name, stage in (("train_stage", train_stage), ("eval_stage", eval_stage)):
            if not (stage is None or isinstance(stage, Stage)):
                raise TypeError(
                    f"StreamTrainerMixin.{name}: must be a streamaug stage, got {type(stage).__name__}. Pass the last "
                    "stage of the chain."
                )
        given = kwargs.get("train_dataset")
        if train_stage is None and isinstance(given, Stage | StageDataset):
            train_stage = given if isinstance(given, Stage) else given.stage
            del kwargs["train_dataset"]
        self.train_stage, self.eval_stage = train_stage, eval_stage
        if eval_stage is not None and kwargs.get("eval_dataset") is None:
            kwargs["eval_dataset"] = eval_stage.as_dataset()  # Trainer needs a data set where eval_strategy is set
        super().__init__(*args, **kwargs)
        trainer: Any = self
        if not any(isinstance(callback, LoaderState) for callback in trainer.callback_handler.callbacks):
            trainer.add_callback(LoaderState(train_stage))

    def get_train_dataloader(self) -> Any:
        """The loader of `train_stage`."""
        if self.train_stage is None:
            return super().get_train_dataloader()  # type: ignore[misc]  # Trainer's
        stage = self.train_stage
        return self._loader(stage if isinstance(stage, AsDicts) else stage.as_dicts())

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        """The loader of a given chain, else of `eval_stage`; Trainer's own loader for other datasets."""
        trainer: Any = self
        chosen = trainer.eval_dataset if eval_dataset is None else eval_dataset
        if isinstance(chosen, str):
            chosen = trainer.eval_dataset[chosen]
        loader = self._evaluation(chosen)
        return super().get_eval_dataloader(eval_dataset) if loader is None else loader  # type: ignore[misc]  # likewise

    def get_test_dataloader(self, test_dataset: Any) -> Any:
        """The loader of a chain; Trainer's own loader for other datasets."""
        loader = self._evaluation(test_dataset)
        return super().get_test_dataloader(test_dataset) if loader is None else loader  # type: ignore[misc]  # likewise

    def _evaluation(self, dataset: Any) -> "_TrainerLoader | None":
        stage = dataset.stage if isinstance(dataset, StageDataset) else dataset
        if not isinstance(stage, Stage):
            return None
        trainer: Any = self
        wanted, given = stage._reader.batch_size, trainer.args.per_device_eval_batch_size
        if wanted != given:
            raise ValueError(
                f"TrainingArguments.per_device_eval_batch_size: must be that of the evaluated chain, {wanted}, got "
                f"{given}. Trainer weighs the loss of each batch by it."
            )
        return self._loader(stage.pipe(_Unpadded).as_dicts())

    def _loader(self, stage: Stage) -> "_TrainerLoader":
        trainer: Any = self
        return _TrainerLoader(stage, trainer.accelerator.gradient_state, lambda batch: batch)


class _TrainerLoader(StageLoader):
    """A `StageLoader` whose dataset counts samples, for Trainer's reports."""

    def dataset_length(self) -> int:
        """Samples of an epoch."""
        return self.num_samples


class _Unpadded(Stage):
    """Gives rows of padding labels that losses leave out.

    Args:
        source: A stage that delivers `Batch`es.
    """

    def __init__(self, source: Stage) -> None:
        super().__init__(source)

    def run(self, epoch_pass: EpochPass) -> Iterator[Batch]:
        """The batches of a pass, with marked labels."""
        for batch in self.source.run(epoch_pass):
            targets = decoded(batch, "eval_stage").targets
            if isinstance(targets, torch.Tensor) and targets.dtype == torch.int64 and targets.ndim == 1:
                padding = torch.from_numpy(batch.origin.is_padding).to(targets.device)
                yield dataclasses.replace(batch, targets=targets.masked_fill(padding, _IGNORED))
            else:
                yield batch


def _chain_of(loader: Any) -> Stage:
    """The chain in a train dataloader."""
    stage = loader.stage if isinstance(loader, StageLoader) else stage_of(loader)
    if stage is None:
        raise StreamaugError(
            f"LoaderState.stage: must be given where the train dataloader holds no chain, got a "
            f"{type(loader).__name__}. Write LoaderState(stage), or train with StreamTrainerMixin."
        )
    return stage
