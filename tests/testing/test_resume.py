"""`assert_resumes_exactly` accepts stages that keep the rules and is red for those that do not; so is `differences`."""

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch
from chains import plain, train

import streamaug as sa
from streamaug.testing import assert_resumes_exactly, differences


@pytest.fixture
def url(uneven):
    return uneven[0]


class Numbers(sa.Stage):
    """A number of each batch by a function of it; what the tests change is here."""

    def __init__(self, source, number=None):
        super().__init__(source)
        self.number = number or (lambda batch: int(batch.origin.sample_ids.sum()))
        self.seen = 0

    def run(self, epoch_pass):
        for batch in self.source.run(epoch_pass):
            yield self.number(batch)


class Drawing(Numbers):
    """Draws from a generator keyed by what the batch says."""

    def run(self, epoch_pass):
        for batch in self.source.run(epoch_pass):
            origin = batch.origin
            yield np.random.default_rng((origin.seed, origin.epoch, *origin.sample_ids.tolist())).random(3)


class OfGlobalGenerator(Numbers):
    def run(self, epoch_pass):
        for batch in self.source.run(epoch_pass):
            yield batch.origin.step, torch.rand(())


class Dropping(Numbers):
    def run(self, epoch_pass):
        for batch in self.source.run(epoch_pass):
            if batch.origin.step != 3:
                yield batch


class Remembering(Numbers):
    """Adds up over the batches of a pass, as a running mean does."""

    def run(self, epoch_pass):
        total = 0
        for batch in self.source.run(epoch_pass):
            total += int(batch.origin.sample_ids.sum())
            yield total


class Counting(Numbers):
    """Counts batches over all passes, so a copy made in the middle knows more than a restored chain."""

    def run(self, epoch_pass):
        for batch in self.source.run(epoch_pass):
            self.seen += 1
            yield batch.origin.step, self.seen


class Delaying(Numbers):
    """Gives each batch one late, and the last one twice."""

    def run(self, epoch_pass):
        held = None
        for batch in self.source.run(epoch_pass):
            yield batch if held is None else held
            held = batch


class Copied(Numbers):
    """Is right, but its copy is not."""

    def __setstate__(self, state):
        super().__setstate__({**state, "number": lambda batch: -1})


class Skipping(Numbers):
    """Is right from the beginning of an epoch, and from elsewhere it is not: it looks at where the pass begins."""

    def run(self, epoch_pass):
        for batch in self.source.run(epoch_pass):
            yield batch.origin.step + (epoch_pass.start == 128)


GOOD = {
    "the reader alone": plain,
    "a number of each batch": lambda url: plain(url).pipe(Numbers),
    "draws keyed by the batch": lambda url: plain(url).pipe(Drawing),
    "images and targets": lambda url: train(url).mixup(num_classes=1000).as_tuples(),
}
BAD = {
    OfGlobalGenerator: r"epoch 0, step 0 must be as in an unbroken run, but 1: 1 of 1 values differ",
    Remembering: r"a run restored after 1 batches: epoch 0, step 1",
    Counting: r"epoch \d, step \d must be as in an unbroken run, but 1: \d+ is not \d+",
    Delaying: r"a run restored after 1 batches: epoch 0, step 1",
    Copied: r"a copy made after 0 batches: epoch 0, step 0 .* but the batch: -1 is not \d+",
    Skipping: r"a run restored after 2 batches: epoch 0, step 2 .* but the batch: 3 is not 2",
}


@pytest.mark.slow
@pytest.mark.parametrize("make", GOOD.values(), ids=GOOD)
def test_chains_that_keep_the_rules_pass(url, make):
    assert_resumes_exactly(lambda: make(url), every=2)


@pytest.mark.slow
@pytest.mark.parametrize("stage", BAD, ids=lambda stage: stage.__name__)
def test_a_stage_that_breaks_a_rule_is_named_by_step_and_value(url, stage):
    with pytest.raises(AssertionError, match=BAD[stage]):
        assert_resumes_exactly(lambda: plain(url).pipe(stage))


def test_a_stage_that_drops_a_batch_is_an_error(url):
    with pytest.raises(sa.StreamaugError, match="gave less than it was given"):
        assert_resumes_exactly(lambda: plain(url).pipe(Dropping))


def test_chains_that_differ_from_each_other_are_not_one(url):
    numbers = iter(range(100))

    def make():
        number = next(numbers)
        return plain(url).pipe(Numbers, lambda batch: number)

    with pytest.raises(
        AssertionError, match="epoch 0, step 0 must be as in an unbroken run, but the batch: 1 is not 0"
    ):
        assert_resumes_exactly(make)


def test_a_batch_that_a_later_one_overwrites_is_compared_as_it_was(url):
    buffer = torch.zeros(1)
    assert_resumes_exactly(lambda: plain(url).pipe(Numbers, lambda batch: buffer.fill_(batch.origin.step)))


@pytest.mark.parametrize("options", [{"epochs": 1}, {"epochs": True}, {"every": 0}, {"every": 1.5}])
def test_arguments_out_of_range_are_refused(url, options):
    with pytest.raises(ValueError, match=r"assert_resumes_exactly\.(epochs|every)"):
        assert_resumes_exactly(lambda: plain(url), **options)


def test_every_says_how_many_states_are_tried(url):
    made = []
    assert_resumes_exactly(lambda: made.append(1) or plain(url), every=4)
    assert len(made) == 3 + len([0, 4, 6])


def test_what_cannot_be_copied_is_an_error_with_words(url):
    with pytest.raises(sa.StreamaugError, match="batches must be copyable, got generator"):
        assert_resumes_exactly(lambda: plain(url).pipe(Numbers, lambda batch: (number for number in [1])))


@dataclasses.dataclass
class Pair:
    first: object
    second: object


NAN = float("nan")
SAME = [
    (torch.tensor([1.0, NAN]), torch.tensor([1.0, NAN])),
    (torch.tensor([1.0, 2.0], dtype=torch.bfloat16), torch.tensor([1.0, 2.0], dtype=torch.bfloat16)),
    (np.array(["a", "b"]), np.array(["a", "b"])),
    pytest.param((memoryview(b"ab"), b"ab"), id="a memoryview"),
    (Pair(1, (2, {"x": b"3"})), Pair(1, (2, {"x": b"3"}))),
    (None, None),
]
DIFFERENT = {
    "images: 1 of 2 values differ": ({"images": torch.tensor([1.0, 2.0])}, {"images": torch.tensor([1.0, 3.0])}),
    "the batch: 1 of 1 values differ": (torch.tensor(1.0, dtype=torch.bfloat16), torch.tensor(2, dtype=torch.bfloat16)),
    r"the batch: is float32 \(1,\), not float64 \(1,\)": (torch.zeros(1), torch.zeros(1, dtype=torch.float64)),
    r"the batch: is int64 \(2,\), not int64 \(1, 2\)": (np.zeros(2, np.int64), np.zeros((1, 2), np.int64)),
    "the batch: Tensor is not ndarray": (torch.zeros(1), np.zeros(1)),
    r"second\.1\.x: bytes differ": (Pair(1, (2, {"x": b"3"})), Pair(1, (2, {"x": b"4"}))),
    r"the batch: has the keys \['a'\], not \['b'\]": ({"a": 1}, {"b": 1}),
    "the batch: has 1 values, not 2": ([1], [1, 2]),
    "the batch: 1 is not 2": (1, 2),
    "first: NoneType is not int": (Pair(None, 1), Pair(1, 1)),
}


@pytest.mark.parametrize("pair", SAME, ids=partial(str))
def test_equal_values_do_not_differ(pair):
    assert differences(*pair) is None


@pytest.mark.parametrize("message", DIFFERENT)
def test_the_first_value_that_differs_is_named(message):
    with pytest.raises(AssertionError, match=f"^{message}$"):
        raise AssertionError(differences(*DIFFERENT[message]))
