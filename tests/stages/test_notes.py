"""Where an error happened: every kind of function of the user's, and what the note on its error names."""

from dataclasses import dataclass

import numpy as np
import pytest
from reading import reader
from shards_on_disk import write_shards

import streamaug as sa
from streamaug import ops, recipes


def failing(*_, **__):
    raise LookupError("of the user")


@dataclass(frozen=True, slots=True, kw_only=True)
class BadMatrix(ops.Geometric):
    probability: float = 1.0

    draws = 1

    def matrix(self, draws, height, width):
        failing()


@dataclass(frozen=True, slots=True, kw_only=True)
class BadParameters(ops.Photometric):
    probability: float = 1.0

    draws = 1

    def parameters(self, draws, height, width):
        failing()

    def build(self, image, arguments):
        return image


class BadBuild(BadParameters):
    __slots__ = ()

    def parameters(self, draws, height, width):
        return {"x": np.zeros((len(draws), 1), np.float32)}

    def build(self, image, arguments):
        failing()


class FailsInIteration(sa.Stage):
    def run(self, epoch_pass):
        for batch in self.source.run(epoch_pass):
            yield failing(batch)


class FailsInRun(sa.Stage):
    def run(self, epoch_pass):
        next(iter(self.source.run(epoch_pass)))
        failing()


class FailsInMap(sa.Stage):
    def run(self, epoch_pass):
        return map(failing, self.source.run(epoch_pass))


def augmented(stage, *operations, **options):
    recipe = sa.Recipe([ops.Resize(16), *operations], output=sa.Output())
    return stage.augment(options.pop("recipe", recipe), device="cpu", num_threads=1, **options)


def views(stage):
    recipe = recipes.imagenet_tta(views="hflip", size=16, resize=20)
    return stage.augment(recipe, device="cpu", num_threads=1)


#: By what raises: the chain, and the stage that is to blame.
FUNCTIONS = {
    "map_batch": (lambda head: augmented(head).map_batch(failing), "MapBatch"),
    "map_batch, of tuples": (lambda head: augmented(head).as_tuples().map_batch(failing), "MapBatch"),
    "map_batch, of dicts": (lambda head: augmented(head).as_dicts().map_batch(failing), "MapBatch"),
    "map_samples": (lambda head: head.map_samples(failing), "MapSamples"),
    "map_samples, augmented": (lambda head: augmented(head.map_samples(failing)).as_tuples(), "MapSamples"),
    "targets": (lambda head: augmented(head, targets=failing).map_batch(lambda batch: batch), "Augmenter"),
    "recipe": (lambda head: augmented(head, recipe=failing), "Augmenter"),
    "schedule": (lambda head: augmented(head).mixup(num_classes=1000, schedule=failing), "Mixup"),
    "model": (lambda head: views(head).tta(failing), "TestTimeAugment"),
    "output": (lambda head: views(head).tta(lambda images: images, output=failing), "TestTimeAugment"),
    "operation's matrix": (lambda head: augmented(head, BadMatrix()).as_tuples(), "Augmenter"),
    "operation's parameters": (lambda head: augmented(head, BadParameters()), "Augmenter"),
    "operation's nodes": (lambda head: augmented(head, BadBuild()), "Augmenter"),
    "stage": (lambda head: head.pipe(FailsInIteration).map_batch(lambda batch: batch), "FailsInIteration"),
    "stage, behind tuples": (lambda head: augmented(head).as_tuples().pipe(FailsInIteration), "FailsInIteration"),
    "stage, in run itself": (lambda head: head.pipe(FailsInRun), "FailsInRun"),
    "stage, by map": (lambda head: head.pipe(FailsInMap).map_batch(lambda batch: batch), "FailsInMap"),
}


@pytest.fixture(scope="module")
def url(drawn, tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("noted"), "x", drawn[:96], [96])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_error_of_every_function_names_stage_epoch_step_and_samples(url, name):
    build, stage = FUNCTIONS[name]
    with reader(url) as head:
        head.seek(2, 1)
        keys = head.peek().origin.keys
    with build(reader(url)) as chain:
        chain.seek(2, 1)
        with pytest.raises((LookupError, sa.TargetError)) as caught:
            list(chain)
    error = caught.value
    assert isinstance(error if name != "targets" else error.__cause__, LookupError)
    notes = error.__notes__
    said = f"{stage} failed at epoch 2, step 1, in the batch of the samples {', '.join(keys[:8])} and 24 more."
    assert [note for note in notes if " failed at " in note] == [said]
    if "map_samples" in name:
        assert f"MapSamples.fn was given the sample {keys[0]!r}." in notes
