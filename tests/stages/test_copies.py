"""Chains and batches are values: they are copied, pickled, shown in a line, and take no attribute that nobody reads."""

import copy
import dataclasses
import inspect
import io
import pickle

import numpy as np
import pytest
import torch
from chains import STEPS, epoch, negative, place, places, plain, standing, taken, train

import streamaug as sa
from streamaug import recipes
from streamaug.testing import differences


def saved(value):
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def pickled(value):
    return pickle.loads(pickle.dumps(value))


COPIES = {"pickle": pickled, "deepcopy": copy.deepcopy, "torch.save": saved}
every_copy = pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)


# --- functions and classes at the level of a module, which pickle finds by name ---------------


def relabelled(key, extras):
    return {"cls": b"1" + extras["cls"]}


def growing(number):
    return recipes.imagenet_train(size=16 + 16 * number)


def length(text):
    return len(text)


class Scaled(sa.Stage):
    def __init__(self, source, factor):
        super().__init__(source)
        self.factor = factor

    def run(self, epoch_pass):
        for batch in self.source.run(epoch_pass):
            yield dataclasses.replace(batch, images=batch.images * self.factor)


class Named(sa.ShardReader):
    """A reader with a constructor and attributes of its own."""

    def __init__(self, shards, *, name, **options):
        self.before = name
        super().__init__(shards, **options)
        self.after = [name]


def tta(url):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 5)).eval()
    recipe = recipes.imagenet_tta(views="hflip", size=16, resize=20)
    return plain(url, tail="pad", shuffle=False).augment(recipe, device="cpu", num_threads=2).tta(model)


def mixture(url):
    small, large = (sa.ShardSet.open(url.replace("{000000..000006}", part)) for part in ("000002", "{000003..000006}"))
    return plain(sa.ShardSet.mix({small: 1, large: 2}))


CHAINS = {
    "reader": plain,
    "reader, unshuffled": lambda url: plain(url, tail="pad", shuffle=False),
    "reader, default lanes": lambda url: plain(url, lanes=None, window=None),
    "reader, mixed sets": mixture,
    "reader, balanced classes": lambda url: plain(sa.ShardSet.open(url).balance_classes()),
    "map_samples": lambda url: plain(url).map_samples(relabelled),
    "augment": train,
    "augment, progressive": lambda url: plain(url).augment(growing, device="cpu", num_threads=2),
    "augment, targets": lambda url: plain(url).augment(growing, device="cpu", num_threads=2, targets=length),
    "mixup_or_cutmix": lambda url: train(url).mixup_or_cutmix(num_classes=1000, label_smoothing=0.1),
    "map_batch": lambda url: train(url).map_batch(negative),
    "a stage of one's own": lambda url: train(url).pipe(Scaled, 2.0),
    "as_tuples": lambda url: train(url).as_tuples(),
    "as_dicts": lambda url: train(url).as_dicts(images="x", targets="y"),
    "tta": tta,
}


# --- chains -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", CHAINS)
def test_a_copy_in_the_middle_delivers_what_the_chain_goes_on_with(url, name):
    chain = CHAINS[name](url)
    stream = taken(chain, 4)
    copies, state = [copied(chain) for copied in COPIES.values()], chain.state_dict()
    following = next(stream)
    for twin in copies:
        assert twin.state_dict() == state
        assert repr(twin) == repr(chain)
        assert differences(next(iter(twin)), following) is None
        twin.close()


@every_copy
def test_a_copy_goes_its_own_way(url, copied):
    chain = train(url)
    stream = taken(chain, 1)
    twin = copied(chain)
    assert places(twin) == epoch(0, 1)
    twin.set_epoch(9)
    twin.close()
    assert (standing(chain), places(stream)) == ((0, 1), epoch(0, 1))


@every_copy
def test_a_copy_keeps_a_loaded_place_for_set_epoch_and_a_step_that_nobody_counted(url, monkeypatch, copied):
    chain = plain(url)
    chain.load_state_dict({**chain.state_dict(), "epoch": 2, "position": 128})
    twin = copied(chain)
    twin.set_epoch(2)
    assert place(next(iter(twin))) == (2, 2)
    late = sa.ShardReader(sa.ShardSet.open(url), batch_size=32, seed=3, lanes=16, window=128)
    late.seek(1, 3)
    twin = copied(late)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert place(next(iter(twin))) == (1, 3)
    assert standing(twin) == (1, 4)


@every_copy
def test_ranks_that_were_found_are_found_anew_by_a_copy_and_given_ones_stay(url, monkeypatch, copied):
    late = sa.ShardReader(sa.ShardSet.open(url), batch_size=64, seed=3, lanes=16, window=128)
    assert len(late) == STEPS
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert len(copied(late)) == STEPS // 2
    assert len(copied(plain(url))) == STEPS


@every_copy
def test_a_copy_keeps_the_lanes_that_a_state_brought(url, copied):
    source = plain(url, lanes=8, window=64)
    taken(source, 2)
    chain = plain(url, lanes=None, window=None)
    chain.load_state_dict(source.state_dict())
    assert copied(chain).state_dict() == source.state_dict()


@every_copy
def test_a_subclass_of_the_reader_is_copied_with_what_is_its_own(url, copied):
    chain = Named(sa.ShardSet.open(url), name="mine", batch_size=64, lanes=16)
    next(iter(chain))
    twin = copied(chain)
    assert (type(twin), twin.before, twin.after) == (Named, "mine", ["mine"])
    assert twin.after is not chain.after
    assert place(next(iter(twin))) == (0, 1)
    with pytest.raises(AttributeError):
        twin.sampler = None


def test_a_shallow_copy_of_a_stage_is_another_stage_of_the_same_chain(url):
    chain = train(url).map_batch(negative)
    twin = copy.copy(chain)
    taken(chain, 2)
    assert standing(twin) == (0, 2)
    assert place(next(iter(twin))) == (1, 0)


def test_a_function_that_pickle_does_not_find_is_named(url):
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(train(url).map_batch(lambda batch: batch))


# --- stages as objects ------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHAINS)
def test_attributes_that_are_none_are_refused(url, name):
    chain = CHAINS[name](url)
    for attribute in ("mixup_enabled", "sampler", "dataset", "batch_sampler"):
        assert not hasattr(chain, attribute)
        with pytest.raises(AttributeError, match=rf"{type(chain).__name__}\.{attribute}: .*__init__"):
            setattr(chain, attribute, None)
    chain._mine = 1
    assert copy.deepcopy(chain)._mine == 1


def test_attributes_of_a_stage_of_ones_own_are_its_own(url):
    chain = train(url).pipe(Scaled, 2.0)
    chain.factor = 3.0
    twin = copy.deepcopy(chain)
    assert twin.factor == 3.0
    twin.factor = 1.0
    with pytest.raises(AttributeError, match=r"Scaled\.offset"):
        twin.offset = 1.0
    for name in ("epoch", "num_bad_samples", "source"):
        with pytest.raises(AttributeError):
            setattr(chain, name, 1)
    for name in ("ranks", "num_classes", "batch_size", "seed", "shuffle"):
        with pytest.raises(AttributeError):
            setattr(chain.source.source, name, 1)


@dataclasses.dataclass(eq=False, repr=False)
class Dataclass(sa.Stage):
    before: dataclasses.InitVar[sa.Stage]
    factor: float = 1.0

    def __post_init__(self, before):
        super().__init__(before)

    run = Scaled.run


def test_a_dataclass_may_be_a_stage(url):
    chain = train(url).pipe(Dataclass, factor=2.0)
    expected = train(url).pipe(Scaled, 2.0)
    assert differences(list(copy.deepcopy(chain)), list(expected)) is None


def test_a_stage_without_run_or_without_a_source_is_an_error(url):
    class Idle(sa.Stage):
        pass

    class Forgetful(sa.Stage):
        def __init__(self, source):
            self.factor = 2

        def run(self, epoch_pass):
            yield from self.source.run(epoch_pass)

    with pytest.raises(TypeError, match=r"abstract method '?run"):
        plain(url).pipe(Idle)
    forgetful = plain(url).pipe(Forgetful)
    assert repr(forgetful) == "Forgetful"
    with pytest.raises(TypeError, match=r"Forgetful\.source: .*super\(\).__init__\(source\)"):
        next(iter(forgetful))


@pytest.mark.parametrize("name", CHAINS)
def test_the_repr_is_one_line_that_names_every_stage(url, name):
    chain = CHAINS[name](url)
    text, stage = repr(chain), chain
    assert str(chain) == text
    assert "\n" not in text
    while stage is not None:
        assert type(stage).__name__ in text
        stage = stage._source


def test_with_hands_the_chain_over_and_closes_it(url):
    with train(url) as chain:
        stream = taken(chain, 2)
    with pytest.raises(sa.StreamaugError, match=r"close\(\)"):
        next(stream)
    with pytest.raises(KeyError), chain:
        raise KeyError
    assert place(next(iter(chain))) == (1, 0)


def test_looking_at_all_members_is_harmless(url):
    chain = train(url)
    assert dict(inspect.getmembers(chain))["epoch"] == 0
    assert places(chain) == epoch(0)


# --- batches ----------------------------------------------------------------------------------


def batches(url):
    yield next(iter(plain(url)))
    yield next(iter(train(url).mixup(num_classes=1000)))
    yield next(iter(train(url).mixup(num_classes=1000, targets="sparse")))
    yield next(iter(tta(url)))
    yield next(iter(train(url).as_tuples()))
    yield next(iter(train(url).as_dicts()))


@pytest.mark.slow
@every_copy
def test_batches_of_every_kind_are_copied_whole(url, copied):
    for batch in batches(url):
        twin = copied(batch)
        assert type(twin) is type(batch)
        assert differences(twin, batch) is None


@every_copy
def test_a_copied_batch_shares_no_memory(url, copied):
    batch = next(iter(train(url).mixup(num_classes=1000)))
    twin, before = copied(batch), batch.images.clone()
    twin.images.zero_()
    twin.origin.sample_ids[:] = 0
    assert torch.equal(batch.images, before)
    assert batch.origin.sample_ids.any()


@every_copy
def test_an_encoded_batch_of_views_is_copied_as_bytes(url, copied):
    batch = next(iter(plain(url)))
    assert any(isinstance(data, memoryview) for data in batch.data)
    twin = copied(batch)
    assert all(isinstance(data, bytes) for data in [*twin.data, *twin.extras["cls"]])
    assert [bytes(data) for data in batch.data] == list(twin.data)


def test_labels_hold_no_fetched_buffer(url):
    for batch in (next(iter(plain(url))), next(iter(train(url)))):
        assert all(isinstance(label, bytes) for label in batch.extras["cls"])


def test_batches_unpack_and_count_samples(url):
    images, targets = next(iter(train(url)))
    assert (images.shape, targets.shape) == ((64, 3, 16, 16), (64,))
    recipe = recipes.imagenet_tta(views="five_crop", size=16, resize=20)
    views = next(iter(plain(url).augment(recipe, device="cpu", num_threads=2)))
    assert (views.batch_size, len(views.images), views.views) == (64, 320, 5)
    assert next(iter(plain(url))).batch_size == 64


@pytest.mark.slow
def test_the_repr_of_batches_is_one_short_line(url):
    for batch in list(batches(url))[:4]:
        text = repr(batch)
        assert text.startswith(type(batch).__name__)
        assert "\n" not in text
        assert len(text) < 300
    assert "mixed" in repr(next(iter(train(url).mixup(num_classes=1000))))


def test_a_prediction_moves_with_and_without_targets(url):
    prediction = next(iter(tta(url)))
    moved = prediction.to("meta", non_blocking=True)
    assert {moved.probabilities.device.type, moved.targets.device.type} == {"meta"}
    assert moved.origin is prediction.origin
    assert dataclasses.replace(prediction, targets=None).to(torch.device("meta")).targets is None
    np.testing.assert_array_equal(moved.origin.positions, prediction.origin.positions)


def test_a_dtype_is_no_device_because_it_would_round_class_numbers(url):
    mixed = next(iter(train(url).mixup(num_classes=1000, targets="sparse")))
    for value in (mixed, mixed.targets, next(iter(tta(url))), next(iter(plain(url)))):
        with pytest.raises(TypeError, match=rf"^{type(value).__name__}\.to: must be given a device, got torch.float16"):
            value.to(torch.float16)
