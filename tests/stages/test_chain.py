"""Every stage, stopped and restored after every batch: the rest is bit for bit what it would have been."""

import dataclasses
import json

import numpy as np
import pytest
import torch

import streamaug as sa
from streamaug import recipes


def reader(url, tail="drop", shuffle=True):
    return sa.ShardReader(
        sa.ShardSet.open(url), batch_size=64, seed=3, lanes=16, window=128, tail=tail, shuffle=shuffle
    )


def train(url):
    return reader(url).augment(recipes.imagenet_train(size=32), device="cpu", num_threads=2)


def tta(url):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 5)).eval()
    torch.nn.init.constant_(model[1].weight, 0.01)
    torch.nn.init.constant_(model[1].bias, 0.1)
    recipe = recipes.imagenet_tta(views="hflip", size=16, resize=20)
    return reader(url, "pad", shuffle=False).augment(recipe, device="cpu", num_threads=2).tta(model)


def negative(batch):
    return dataclasses.replace(batch, images=-batch.images)


def progressive(epoch):
    return recipes.imagenet_train(size=24 + 8 * epoch)


CHAINS = {
    "reader": reader,
    "reader, padded": lambda url: reader(url, tail="pad"),
    "reader, unshuffled": lambda url: reader(url, "pad", shuffle=False),
    "augment": train,
    "augment, progressive": lambda url: reader(url).augment(progressive, device="cpu", num_threads=2),
    "mixup": lambda url: train(url).mixup(num_classes=1000),
    "cutmix": lambda url: train(url).cutmix(num_classes=1000),
    "mixup_or_cutmix": lambda url: train(url).mixup_or_cutmix(num_classes=1000),
    "map_batch": lambda url: train(url).map_batch(negative),
    "map_batch, mixed": lambda url: train(url).map_batch(negative).mixup(num_classes=1000, label_smoothing=0.1),
    "tta": tta,
}


def facts(batch):
    """What a batch holds, in a form that compares."""
    out = {"positions": batch.origin.positions, "keys": np.array(batch.origin.keys), "epoch": batch.origin.epoch}
    if isinstance(batch, sa.EncodedBatch):
        return out | {"data": np.array([bytes(each) for each in batch.data], object)}
    if isinstance(batch, sa.Prediction):
        return out | {"probabilities": batch.probabilities.numpy(), "targets": batch.targets.numpy()}
    return out | {"images": batch.images.clone().numpy(), "targets": batch.targets.numpy()}


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("name", CHAINS)
def test_every_stage_goes_on_exactly_after_every_batch(uneven, name):
    url, _ = uneven
    build = CHAINS[name]
    whole = build(url)
    full = [facts(batch) for _ in range(2) for batch in whole]
    length = len(whole)
    assert len(full) == 2 * length
    assert not same(full[0], full[length])
    restored = build(url)
    for taken in range(length + 1):
        first = build(url)
        assert len(first) == length
        stream = iter(first)
        for number in range(taken):
            assert same(facts(next(stream)), full[number])
        state = json.loads(json.dumps(first.state_dict()))
        first.close()
        restored.load_state_dict(state)
        rest = [facts(batch) for batch in restored]
        expected = full[taken:length] if taken < length else full[length:]
        assert len(rest) == len(expected)
        assert all(same(a, b) for a, b in zip(rest, expected, strict=True))


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


def test_representations_are_short(uneven):
    chain = train(uneven[0]).mixup(num_classes=1000)
    assert len(repr(chain)) < 300
    assert len(repr(chain._source)) < 300
