"""The measured chain, taken apart into parts that can be measured alone.

In: a chain of the user's, or shards and a recipe. Out: its reader, the stages before the augmenter, the augmenter, the
stages behind it; and some of the batches that each of them gets.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from streamaug.batch import EncodedBatch
from streamaug.recipes.recipe import Recipe
from streamaug.shards.shard_set import ShardSet
from streamaug.stages.augmenter import Augmenter
from streamaug.stages.base import Stage
from streamaug.stages.reader import ShardReader

#: The number of batches on which parts of the chain are measured, over and over.
HELD = 4


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A chain in its parts.

    Attributes:
        chain: The last stage.
        reader: The first.
        before: The stages between the reader and the augmenter; all stages where there is no augmenter.
        augmenter: The stage that decodes, if there is one.
        after: The stages behind it.
    """

    chain: Stage
    reader: ShardReader
    before: tuple[Stage, ...]
    augmenter: Augmenter | None
    after: tuple[Stage, ...]

    @classmethod
    def of(cls, chain: Stage) -> "Subject":
        """The parts of a chain."""
        stage, passed, after = chain, list[Stage](), list[Stage]()
        augmenter: Augmenter | None = None
        while not isinstance(stage, ShardReader):
            if isinstance(stage, Augmenter):
                augmenter, after, passed = stage, passed, []
            else:
                passed.insert(0, stage)
            stage = stage.source
        return cls(chain, stage, tuple(passed), augmenter, tuple(after))

    @property
    def batch_size(self) -> int:
        """Images of a batch."""
        return self.reader.batch_size

    @property
    def recipe(self) -> Recipe | None:
        """The recipe of the first epoch."""
        return None if self.augmenter is None else self.augmenter.recipe(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The options of a chain of shards and a recipe.

    Attributes:
        recipe: The augmenter's recipe.
        batch_size: Images of a batch.
        device: As of `Augmenter`.
        num_threads: As of `Augmenter`.
        num_classes: Classes of the mixed targets; None: nothing is mixed.
    """

    recipe: Recipe
    batch_size: int
    device: str
    num_threads: int | None
    num_classes: int | None

    def chain(self, shards: ShardSet) -> Stage:
        """The chain: read, decode, augment, and mix where that is possible."""
        has_labels = len(shards.components) > 1
        reader = ShardReader(shards, batch_size=min(self.batch_size, shards.num_samples))
        augmented = reader.augment(
            self.recipe,
            device=self.device,
            num_threads=self.num_threads,
            targets="label" if has_labels else None,
        )
        if self.num_classes is None or self.recipe.views or not has_labels:
            return augmented
        return augmented.mixup_or_cutmix(num_classes=self.num_classes)


def delivered_by(stage: Stage, count: int) -> list[Any]:
    """The first batches of a stage from the chain's position on; afterwards the chain is at its beginning."""
    try:
        return list(itertools.islice(iter(stage), count))
    finally:
        stage.close()
        stage.seek(0, 0)


def encoded_batches(subject: Subject) -> list[EncodedBatch]:
    """Batches for the augmenter; of a chain without an augmenter, batches of its last stage."""
    stage = subject.chain if subject.augmenter is None else subject.augmenter.source
    return [batch for batch in delivered_by(stage, HELD) if isinstance(batch, EncodedBatch)]


def endless(stage: Stage) -> Iterator[tuple[Any, bool]]:
    """(batch, whether it is the first of its pass), epoch after epoch."""
    while True:
        first = True
        for batch in stage:
            yield batch, first
            first = False


def synchronize() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
