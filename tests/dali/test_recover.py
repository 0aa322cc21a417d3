"""What only DALI can refuse: said in its words, met once where the bytes decide, and again where the window does."""

import json
import struct

import numpy as np
import pytest
from image_files import tiff
from pictures import decoded, drawn_samples, encoded, without_tables
from reading import rows
from shards_on_disk import write_shard

import streamaug as sa
from streamaug import ops, recipes
from streamaug.dali.sample_decoder import dali_reason
from streamaug.samples.image_header import starts_at_front

SAMPLES = drawn_samples(160, seed=21)
TRAIN = recipes.imagenet_train(size=16)


def with_zeros(jpeg):
    """The image as a PNG whose middle is zeros."""
    data = encoded(decoded(jpeg), "PNG")
    third = len(data) // 3
    return data[:third] + bytes(third) + data[2 * third :]


def with_empty_strips(jpeg):
    """The image as a TIFF whose lower strips are said to be empty: its upper rows can be read."""
    picture = np.asarray(decoded(jpeg))
    data, sizes = tiff(picture, rows=8), struct.pack("<I", 8 * picture.shape[1] * 3)
    count = picture.shape[0] // 8
    at = data.index(sizes * count) + 4 * (count * 6 // 10)
    empty = bytes(4 * (count - count * 6 // 10))
    return data[:at] + empty + data[at + len(empty) :]


def of_two_colors(jpeg):
    """The JPEG with a frame header that says two components."""
    at = jpeg.find(b"\xff\xc0")
    return jpeg[: at + 9] + b"\2" + jpeg[at + 10 :]


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Every fifth sample is refused by DALI alone; returns the shard and the keys of those samples."""
    damages = (without_tables, with_zeros, of_two_colors)
    listed, bad = [], set()
    for number, (key, label, jpeg) in enumerate(SAMPLES):
        if number % 5 == 2:
            bad.add(key)
            jpeg = damages[number // 5 % 3](jpeg)
        listed.append((key, label, jpeg))
    path = write_shard(tmp_path_factory.mktemp("refused") / "refused-000000.tar", listed)
    return str(path), bad


def chain(path, mapped=False, recipe=TRAIN, **options):
    shards = sa.ShardSet.open(path)
    one = sa.ShardReader(shards, batch_size=16, lanes=8, window=160, seed=3, on_bad_sample="substitute", **options)
    if mapped:
        one = one.map_samples(lambda key, parts: None if key.endswith("7") else parts)
    return one.augment(recipe, device="cpu", num_threads=2)


def keys(delivered):
    return {row.key for row in delivered.values()}


@pytest.mark.slow
@pytest.mark.parametrize("mapped", [False, True])
def test_later_epochs_build_no_pipeline_anew_and_have_the_same_rows(planted, mapped):
    path, bad = planted
    lasting = chain(path, mapped)
    first = rows(lasting)
    assert lasting._engine.recoveries > 0
    built = lasting._engine.recoveries
    later = [rows(lasting) for _ in range(3)]
    # A sample of which the first epoch delivered none (its tail, or a stand-in that was not needed) may come up later.
    assert lasting._engine.recoveries == built
    assert lasting.num_bad_samples == len(bad) if not mapped else lasting.num_bad_samples < len(bad)
    for number, got in enumerate([first, *later]):
        fresh = chain(path, mapped)
        fresh.set_epoch(number)
        assert rows(fresh) == got
        assert fresh._engine.recoveries > 0
        assert not keys(got) & bad


@pytest.mark.slow
def test_the_reason_is_what_dali_met(planted, tmp_path):
    quarantine = tmp_path / "bad.jsonl"
    list(chain(planted[0], quarantine=quarantine))
    reasons = {json.loads(line)["reason"] for line in quarantine.read_text().splitlines()}
    assert reasons == {
        "DALI cannot decode it: Failed to decode sample",
        "DALI cannot decode it: nvImageCodec failure: '#3'",
    }


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            "Critical error in pipeline:\nError in CPU operator `x`,\nwhich was used:\n\n  File a\n    error = 1\n\n"
            "encountered:\n\nFailed to decode sample #0 :\nCurrent pipeline object is no longer valid.",
            "Failed to decode sample",
        ),
        ("Critical error in pipeline:\nout of memory\nCurrent pipeline object is no longer valid.", "out of memory"),
        ("something else", "something else"),
        ("", "no reason given"),
    ],
)
def test_the_telling_line_of_an_error(error, told):
    assert dali_reason(error) == told


@pytest.mark.slow
def test_a_sample_that_is_bad_at_some_windows_only_is_judged_anew(tmp_path):
    listed = list(SAMPLES[:48])
    key, label, jpeg = listed[20]
    assert not starts_at_front(with_empty_strips(jpeg))
    listed[20] = (key, label, with_empty_strips(jpeg))
    path = str(write_shard(tmp_path / "strips-000000.tar", listed))
    recipe = sa.Recipe([ops.RandomResizedCrop(16, scale=(0.02, 0.3))])
    lasting = chain(path, recipe=recipe)
    epochs = [rows(lasting) for _ in range(10)]
    delivered = [key in keys(epoch) for epoch in epochs]
    assert any(delivered)
    assert not all(delivered)
    bad_first = delivered.index(False)
    assert any(delivered[bad_first:])  # good again after it was bad
    for number, got in enumerate(epochs):
        fresh = chain(path, recipe=recipe)
        fresh.set_epoch(number)
        assert rows(fresh) == got
