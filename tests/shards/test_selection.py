"""Parts of a set: some shards, some samples of each, read as any set is."""

import numpy as np
import pytest
from reading import reader, readers, rows
from tars import consecutive, write_tars

import streamaug as sa
from streamaug.cli import main


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = write_tars(tmp_path_factory.mktemp("selection"), consecutive([11, 30, 7, 20]))
    main(["index", f"{folder}/x-{{0..3}}.tar", "--checksum"])
    return sa.ShardSet.open(str(folder / "x-{0..3}.tar"))


def keys(shards, **options):
    batches = reader(shards, batch_size=1, shuffle=False, tail="pad", **options)
    return [row.key for _, row in sorted(rows(batches).items())]


def test_shards_are_taken_by_slice_and_by_list(shards):
    whole = keys(shards)
    assert keys(shards.select()) == whole
    assert keys(shards.select(slice(1, 3))) == whole[11:48]
    assert keys(shards.select(slice(None, None, 2))) == whole[:11] + whole[41:48]
    assert keys(shards.select([2, 0])) == whole[41:48] + whole[:11]
    assert keys(shards.select(np.array([-1]))) == whole[48:]
    assert [shard.num_samples for shard in shards.select([-1, 1]).shards] == [20, 30]


def test_a_fraction_is_the_beginning_of_each_shard_rounded_down(shards):
    whole = keys(shards)
    assert keys(shards.select(fraction=0.5)) == whole[:5] + whole[11:26] + whole[41:44] + whole[48:58]
    assert keys(shards.select(slice(1), 1.0)) == whole[:11]
    assert shards.select([1, 3], fraction=0.1).num_samples == 3 + 2
    assert keys(shards.select(fraction=0.5).select([1], fraction=0.2)) == whole[11:14]


def test_a_part_is_shuffled_and_shared_as_any_set_is(shards):
    part = shards.select([0, 1, 3], fraction=0.5)
    ranks = readers(part, 2, batch_size=10, lanes=2)
    delivered = [row.key for _, row in sorted(rows(batch for one in ranks for batch in one).items())]
    assert sorted(delivered) == sorted(keys(part))
    assert delivered != keys(part)


def test_a_part_has_a_fingerprint_of_its_own(shards):
    parts = [shards, shards.select([0, 1]), shards.select([1, 0]), shards.select(fraction=0.5), shards.select([0])]
    assert len({part.fingerprint for part in parts}) == 5
    assert shards.select(slice(0, 2)).fingerprint == shards.select([0, 1]).fingerprint
    state = reader(shards, batch_size=4).state_dict()
    with pytest.raises(sa.StateError, match="fingerprint"):
        reader(shards.select(fraction=0.5), batch_size=4).load_state_dict(state)


def test_parts_are_mixed_and_balanced(shards):
    mixed = sa.ShardSet.mix({shards.select([0, 1]): 1, shards.select([3]): 1})
    assert mixed.num_samples == 61
    assert shards.select([3], fraction=0.5).balance_classes().num_samples == 10
    with pytest.raises(ValueError, match="select: must be asked of a plain set"):
        mixed.select([0])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([4],), ValueError, r"select\.shards: each must be the number of a shard, 0\.\.3, got 4"),
        (([1, -3],), ValueError, r"select\.shards: each shard must be named once"),
        (("12",), TypeError, r"select\.shards: must be a slice or a list of integers"),
        ((3,), TypeError, r"select\.shards: must be a slice or a list of integers"),
        (([0.5],), TypeError, r"select\.shards: must be a slice or a list of integers"),
        ((None, 1.5), ValueError, r"select\.fraction: must lie in 0\.\.1, and above 0, got 1\.5"),
        ((None, 0), ValueError, r"select\.fraction: must lie in 0\.\.1, and above 0, got 0"),
        ((None, True), ValueError, r"select\.fraction: must lie"),
        ((slice(4, 9),), ValueError, "select: must leave at least one sample"),
        (([],), ValueError, "select: must leave at least one sample"),
        (([2], 0.1), ValueError, "select: must leave at least one sample"),
    ],
)
def test_a_part_that_cannot_be_is_refused(shards, arguments, error, message):
    with pytest.raises(error, match=message):
        shards.select(*arguments)
