"""Flags and whole numbers are checked alike, whichever constructor takes them."""

import numpy as np
import pytest
from tars import pairs, write_tar

from streamaug import ShardReader, ShardSet, StorageOptions
from streamaug.mix.settings import MixSettings
from streamaug.order.base import OrderOptions


@pytest.fixture
def reader(tmp_path):
    shards = ShardSet.open(str(write_tar(tmp_path / "a.tar", pairs(20))))
    return lambda **options: ShardReader(shards, **{"batch_size": 2} | options)


FLAGS = {
    "ShardReader": ("shuffle", "sticky_lanes", "read_ahead"),
    "OrderOptions": ("shuffle", "sticky_lanes"),
    "StorageOptions": ("anonymous", "hedge"),
}


@pytest.mark.parametrize("value", ["no", None, 1, 0, 5, 1.0, np.int64(1)])
@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner, names in FLAGS.items() for name in names])
def test_a_flag_is_true_or_false_and_nothing_else(reader, owner, name, value):
    make = {"ShardReader": reader, "OrderOptions": OrderOptions, "StorageOptions": StorageOptions}[owner]
    with pytest.raises(TypeError) as caught:
        make(**{name: value})
    prefix = "" if owner == "OrderOptions" else f"{owner}."
    assert str(caught.value).startswith(f"{prefix}{name}: must be True or False, got {value!r}. ")
    assert ("window" in str(caught.value)) == (name == "shuffle")
    for flag in (np.True_, True):
        make(**{name: flag})


COUNTS = {
    "batch_size": "ShardReader.batch_size: must be an integer of at least 1",
    "lanes": "ShardReader.lanes: must be an integer of at least 1",
    "repeats": "ShardReader.repeats: must be an integer of at least 1",
    "max_bad_samples": "max_bad_samples: must be an integer of at least 0",
    "num_classes": "ShardReader.num_classes: must be an integer of at least 1",
}


@pytest.mark.parametrize("value", [True, np.True_, 1.0, "1", -1])
@pytest.mark.parametrize("name", COUNTS)
def test_a_count_is_a_whole_number_and_no_flag(reader, name, value):
    with pytest.raises(ValueError, match="must be an integer") as caught:
        reader(**{name: value}).state_dict()
    assert str(caught.value).startswith(f"{COUNTS[name]}, got {value!r}. ")
    reader(**{name: np.int64(2)}).state_dict()


@pytest.mark.parametrize("value", [True, np.True_, 2.0, 0])
def test_a_number_of_classes_is_a_whole_number_and_no_flag(value):
    with pytest.raises(ValueError, match="num_classes: must be an integer of at least 1"):
        MixSettings(stage="Mixup", num_classes=value)
