"""Batches in other shapes, and stages of one's own in the chain."""

import pytest
import torch
from chains import STEPS, epoch, place, places, plain, standing, taken, train
from torch.utils.data.datapipes.datapipe import IterDataPipe

import streamaug as sa


def mixed(url):
    return train(url).mixup(num_classes=1000)


class Steps(sa.Stage):
    """Delivers (step, what it was given)."""

    def __init__(self, source, factor, *, offset=0):
        super().__init__(source)
        self.factor, self.offset = factor, offset

    def run(self, epoch_pass):
        for number, batch in enumerate(self.source.run(epoch_pass)):
            yield epoch_pass.epoch, epoch_pass.start, number * self.factor + self.offset, batch


def test_tuples_unpack_into_images_and_targets(url):
    chain = mixed(url).as_tuples()
    assert len(chain) == STEPS
    for plain_batch, pair in zip(mixed(url), chain, strict=True):
        images, targets = pair
        assert torch.equal(images, plain_batch.images)
        assert torch.equal(targets, plain_batch.targets)
        assert (pair.images, pair.targets) == (images, targets)


@pytest.mark.parametrize("names", [{}, {"images": "x", "targets": "y"}])
def test_dicts_have_two_keys_and_go_into_a_call(url, names):
    images, targets = names.get("images", "pixel_values"), names.get("targets", "labels")
    for plain_batch, mapping in zip(mixed(url), mixed(url).as_dicts(**names), strict=True):
        assert isinstance(mapping, dict)
        assert dict(**mapping).keys() == {images, targets}
        assert torch.equal(mapping[images], plain_batch.images)
        assert torch.equal(mapping[targets], plain_batch.targets)


@pytest.mark.parametrize("names", [("x", "x"), ("x", None), (1, "y")])
def test_names_of_dicts_are_two_different_strings(url, names):
    with pytest.raises(ValueError, match=r"as_dicts\.images: .*two different strings"):
        train(url).as_dicts(*names)


@pytest.mark.parametrize("shape", ["as_tuples", "as_dicts"])
def test_encoded_batches_have_no_images_to_give(url, shape):
    with pytest.raises(TypeError, match=rf"{shape}: needs batches of decoded images, got EncodedBatch"):
        next(iter(getattr(plain(url), shape)()))


@pytest.mark.parametrize("shape", ["as_tuples", "as_dicts"])
def test_other_shapes_are_stages_with_the_chains_state(url, shape):
    chain = getattr(mixed(url), shape)()
    assert isinstance(chain, sa.Stage | IterDataPipe)
    stream = taken(chain, 2)
    assert standing(chain) == (0, 2)
    chain.peek()
    assert len(list(stream)) == STEPS - 2
    assert standing(chain) == (1, 0)


def test_a_stage_of_ones_own_gets_its_arguments_and_the_pass(url):
    chain = plain(url).pipe(Steps, 2, offset=5)
    assert isinstance(chain, Steps)
    chain.seek(3, 4)
    seen = [(*facts, place(batch)) for *facts, batch in chain]
    assert seen == [(3, 4 * 64, 5, (3, 4)), (3, 4 * 64, 7, (3, 5))]


def test_a_stage_of_ones_own_may_stand_anywhere(url):
    class Halved(sa.Stage):
        def run(self, epoch_pass):
            for batch in self.source.run(epoch_pass):
                batch.images.mul_(0.5)
                yield batch

    chain = train(url).pipe(Halved).mixup(num_classes=1000).pipe(Halved)
    for expected, batch in zip(mixed(url), chain, strict=True):
        torch.testing.assert_close(batch.images, expected.images * 0.25)
    chain.seek(2, 3)
    assert place(chain.peek()) == (2, 3)
    assert places(chain) == epoch(2, 3)


@pytest.mark.parametrize("other", [torch.nn.Identity, lambda stage: stage, 3, int])
def test_only_classes_of_stages_are_piped(url, other):
    with pytest.raises(TypeError, match=r"pipe\.stage: must be a class derived from streamaug\.Stage"):
        plain(url).pipe(other)
