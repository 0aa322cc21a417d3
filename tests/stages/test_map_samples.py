"""MapSamples: relabel and reject, with order, batch counts and ranks kept."""

import numpy as np
import pytest
import torch
from reading import reader, readers, rows
from shards_on_disk import write_shard

import streamaug as sa
from streamaug import recipes


def relabel(key, extras):
    return {"cls": str(int(extras["cls"]) % 7).encode()}


def with_text(key, extras):
    """The very dict that it was given, with another component."""
    extras["txt"] = b"seven"
    return extras


def without_label(key, extras):
    """The very dict that it was given, without its component."""
    del extras["cls"]
    return extras


def odd_only(key, extras):
    return extras if int(key.removeprefix("drawn")) % 2 else None


def test_labels_change_and_nothing_else(uneven):
    plain = list(reader(uneven[0]).augment(recipes.imagenet_train(size=16), device="cpu"))
    mapped = list(reader(uneven[0]).map_samples(relabel).augment(recipes.imagenet_train(size=16), device="cpu"))
    for a, b in zip(plain, mapped, strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.targets % 7, b.targets)
        np.testing.assert_array_equal(a.origin.sample_ids, b.origin.sample_ids)


@pytest.mark.slow
@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_rejected_samples_are_replaced_alike_on_any_number_of_ranks(uneven, world_size):
    plain = rows(reader(uneven[0]))
    alone = rows(reader(uneven[0]).map_samples(odd_only))
    ranks = [one.map_samples(odd_only) for one in readers(uneven[0], world_size)]
    assert len({len(list(one)) for one in ranks}) == 1
    for one in ranks:
        one.set_epoch(0)
    assert rows([batch for one in ranks for batch in one]) == alone
    assert alone.keys() == plain.keys()
    truth = {key: label for key, label, _ in uneven[1]}
    for position, row in alone.items():
        assert int(row.key.removeprefix("drawn")) % 2
        assert row.target == truth[row.key]
        assert row.is_substitute == (plain[position].key != row.key)


def test_functions_chain_and_stand_ins_of_later_ones_pass_through_earlier_ones(uneven):
    chain = reader(uneven[0]).map_samples(relabel).map_samples(odd_only)
    for row in rows(chain).values():
        assert row.target < 7
        assert int(row.key.removeprefix("drawn")) % 2


def test_stand_ins_of_bad_images_are_mapped_too(drawn, tmp_path):
    samples = [(key, 900, jpeg[:50] if i % 5 == 0 else jpeg) for i, (key, _, jpeg) in enumerate(drawn[:64])]
    path = write_shard(tmp_path / "bad-000000.tar", samples)
    chain = sa.ShardReader(sa.ShardSet.open(str(path)), batch_size=16, lanes=4, window=64, on_bad_sample="substitute")
    batches = list(chain.map_samples(relabel).augment(recipes.imagenet_train(size=16), device="cpu"))
    assert any(batch.origin.is_substitute.any() for batch in batches)
    assert all((batch.targets == 900 % 7).all() for batch in batches)


def test_wrong_functions_and_places_are_refused(uneven):
    with pytest.raises(TypeError, match="callable"):
        reader(uneven[0]).map_samples(3)
    with pytest.raises(ValueError, match="Return them all"):
        next(iter(reader(uneven[0]).map_samples(lambda key, extras: {})))
    with pytest.raises(ValueError, match=r"must return the components \['cls'\] or None, got int"):
        next(iter(reader(uneven[0]).map_samples(lambda key, extras: 7)))
    for change in (with_text, without_label):
        with pytest.raises(ValueError, match=r"must return the components \['cls'\] or None, got \["):
            next(iter(reader(uneven[0]).map_samples(change)))
    for label in (7, "7"):  # bytes(7) would be seven zero bytes
        with pytest.raises(
            TypeError, match=f"bytes for each component, got {type(label).__name__} for 'cls' of sample"
        ):
            next(iter(reader(uneven[0]).map_samples(lambda key, extras, label=label: {"cls": label})))
    late = reader(uneven[0]).augment(recipes.imagenet_train(size=16), device="cpu").map_samples(relabel)
    with pytest.raises(TypeError, match="before augment"):
        next(iter(late))
    with pytest.raises(sa.BadSampleError, match="usable"):
        next(iter(reader(uneven[0]).map_samples(lambda key, extras: None)))
