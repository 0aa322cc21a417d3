"""Every stage, stopped and restored after every batch: the rest is bit for bit what it would have been."""

import pkgutil
from importlib import import_module

import pytest
import torch
from chains import negative, plain

import streamaug as sa
import streamaug.stages
from streamaug import order, recipes
from streamaug.stages.base import Stage
from streamaug.testing import assert_resumes_exactly


def train(url, **options):
    return plain(url, **options).augment(recipes.imagenet_train(size=32), device="cpu", num_threads=2)


def tta(url):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 5)).eval()
    torch.nn.init.constant_(model[1].weight, 0.01)
    torch.nn.init.constant_(model[1].bias, 0.1)
    recipe = recipes.imagenet_tta(views="hflip", size=16, resize=20)
    return plain(url, tail="pad", shuffle=False).augment(recipe, device="cpu", num_threads=2).tta(model)


def progressive(epoch):
    return recipes.imagenet_train(size=24 + 8 * epoch)


def odd_ones(key, extras):
    """Relabels samples of odd number, and rejects the others."""
    return {"cls": b"1" + extras["cls"]} if int(key.removeprefix("drawn")) % 2 else None


def rising(epoch):
    """The weight of a set that rests in epoch 0."""
    return min(epoch, 3)


def mixture(url, weight=2, **options):
    small, large = (sa.ShardSet.open(url.replace("{000000..000006}", part)) for part in ("000002", "{000003..000006}"))
    return plain(sa.ShardSet.mix({small: 1, large: weight}), **options)


#: By what is special about it: a chain to stop and restore. Every stage and every order is in one of them.
CHAINS = {
    "reader": plain,
    "reader, padded": lambda url: plain(url, tail="pad"),
    "reader, unshuffled": lambda url: plain(url, tail="pad", shuffle=False),
    "reader, sticky lanes": lambda url: plain(url, sticky_lanes=True),
    "reader, repeats": lambda url: plain(url, repeats=3),
    "reader, mixed sets": mixture,
    "reader, mixed sets, weights by epoch": lambda url: mixture(url, rising),
    "reader, mixed sets, repeats": lambda url: mixture(url, repeats=2),
    "reader, balanced classes, repeats": lambda url: plain(sa.ShardSet.open(url).balance_classes(), repeats=2),
    "reader, balanced classes": lambda url: plain(sa.ShardSet.open(url).balance_classes()),
    "map_samples": lambda url: plain(url).map_samples(odd_ones),
    "map_samples, mixed sets, augmented": lambda url: (
        mixture(url).map_samples(odd_ones).augment(recipes.imagenet_train(size=16), device="cpu", num_threads=2)
    ),
    "augment": train,
    "augment, progressive": lambda url: plain(url).augment(progressive, device="cpu", num_threads=2),
    "mixup, repeats": lambda url: train(url, repeats=3).mixup(num_classes=1000),
    "mixup": lambda url: train(url).mixup(num_classes=1000),
    "cutmix": lambda url: train(url).cutmix(num_classes=1000),
    "mixup_or_cutmix": lambda url: train(url).mixup_or_cutmix(num_classes=1000),
    "map_batch": lambda url: train(url).map_batch(negative),
    "map_batch, mixed": lambda url: train(url).map_batch(negative).mixup(num_classes=1000, label_smoothing=0.1),
    "as_tuples": lambda url: train(url).mixup(num_classes=1000).as_tuples(),
    "as_dicts": lambda url: train(url).as_dicts(),
    "tta": tta,
}


def classes_of(package):
    """The classes that the modules of a package define, without those that begin with an underscore."""
    modules = [import_module(found.name) for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")]
    return {
        value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__ and not name.startswith("_")
    }


def links(stage):
    """The stages of a chain, the last one first."""
    while stage is not None:
        yield stage
        stage = stage._source


def test_every_stage_and_every_order_is_in_the_table(uneven):
    url, _ = uneven
    chains = [build(url) for build in CHAINS.values()]
    stages = {kind for kind in classes_of(streamaug.stages) if issubclass(kind, Stage)} - {Stage}
    assert stages <= {type(stage) for chain in chains for stage in links(chain)}
    orders = {kind for kind in classes_of(order) if hasattr(kind, "sample_ids")} - {order.Order}
    assert orders <= {type(chain._reader.order) for chain in chains}


#: Chains of stages that others of the table have too, or of which little differs.
SLOW = (
    *("reader, mixed sets, repeats", "reader, balanced classes, repeats", "mixup, repeats"),
    *("reader, padded", "reader, mixed sets", "reader, balanced classes", "map_samples", "augment", "mixup"),
    *("map_samples, mixed sets, augmented", "augment, progressive", "cutmix", "mixup_or_cutmix"),
    *("map_batch", "map_batch, mixed", "as_tuples", "as_dicts", "tta"),
)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in CHAINS]
)
def test_every_stage_goes_on_exactly_after_every_batch(uneven, name):
    url, _ = uneven
    assert_resumes_exactly(lambda: CHAINS[name](url))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in CHAINS]
)
def test_every_stage_says_what_it_did(uneven, name):
    with CHAINS[name](uneven[0]) as chain:
        before, length = chain.stats().as_dict(), len(chain)
        assert not any(before.values())
        assert len(list(chain)) == length
        stats = chain.stats()
        assert list(stats.as_dict()) == list(before)
        assert [stage.name for stage in stats.stages] == [type(stage).__name__ for stage in links(chain)][::-1]
        for stage in stats.stages:
            assert (stage.batches, stage.images) == (length, 64 * length)
            assert 0 < stage.work_seconds <= stats.wait_seconds
        assert stats.stages[0].counts["bytes"] > 0


def test_a_state_taken_while_the_chain_reads_ahead_is_that_of_the_delivered_batch(uneven):
    url, _ = uneven
    seen = []
    chain = train(url)
    head = chain._source
    mapped = chain.map_batch(lambda batch: seen.append(head.state_dict()["position"]) or batch)
    stream = iter(mapped)
    for step in range(4):
        next(stream)
        assert mapped.state_dict()["position"] == head.state_dict()["position"] == 64 * (step + 1)
    assert seen == [0, 64, 128, 192]  # inside the chain, before the batch is handed over


def test_foreign_sources_and_double_augmentation_are_refused(uneven):
    url, _ = uneven
    with pytest.raises(TypeError, match="streamaug stage"):
        sa.Mixup([1, 2], num_classes=3)
    with pytest.raises(TypeError, match="one recipe"):
        train(url).augment(recipes.imagenet_train(size=32), device="cpu")
    with pytest.raises(TypeError, match="callable"):
        train(url).map_batch(3)
    with pytest.raises(TypeError, match="must return the batch to deliver, got None"):
        next(iter(train(url).map_batch(lambda batch: None)))


def test_representations_are_short(uneven):
    chain = train(uneven[0]).mixup(num_classes=1000)
    assert len(repr(chain)) < 300
    assert len(repr(chain._source)) < 300
