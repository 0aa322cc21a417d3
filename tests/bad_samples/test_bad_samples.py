"""Bad samples: each kind is named, replaced deterministically, recorded and capped; all others stay bitwise."""

import dataclasses
import json
import os
import struct
from pathlib import Path

import pytest
from pictures import decoded, drawn_samples, encoded, without_tables
from reading import readers, rows
from shards_on_disk import write_shard, write_shards

import streamaug as sa
from streamaug import recipes


def resized_header(jpeg, height, width):
    """The JPEG with other dimensions in its frame header."""
    data = bytearray(jpeg)
    at = data.find(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def kinds(jpeg):
    """kind: (image bytes, label bytes, words of the reason)."""
    png, webp = encoded(decoded(jpeg), "PNG"), encoded(decoded(jpeg), "WEBP")
    return {
        "truncated": (jpeg[: len(jpeg) // 2], b"1", "end-of-image"),
        "truncated near the end": (jpeg[:-200], b"1", "end-of-image"),
        "empty": (b"", b"1", "empty"),
        "text": (b"this is not an image " * 20, b"1", "no image format"),
        "html": (b"<html>404</html>", b"1", "no image format"),
        "header only": (jpeg[:200], b"1", "cut off"),
        "start marker only": (jpeg[:2], b"1", "no image format"),
        "zeros": (bytes(5000), b"1", "no image format"),
        "noise": (bytes(range(7, 250)) * 20, b"1", "no image format"),
        "gif": (b"GIF89a" + bytes(300), b"1", "no image format"),
        "avif": (b"\0\0\0\x1cftypavif" + bytes(300), b"1", "no image format"),
        "png cut": (png[: len(png) // 2], b"1", "IEND"),
        "webp cut": (webp[: len(webp) // 2], b"1", "cut off"),
        "no pixels": (resized_header(jpeg, 0, 0), b"1", "0×0"),
        "bomb": (resized_header(jpeg, 65500, 65500), b"1", "more than the limit"),
        "png bomb": (png[:16] + struct.pack(">II", 10**6, 10**6) + png[24:], b"1", "more than the limit"),
        "damaged tables": (without_tables(jpeg), b"1", "DALI cannot decode it: Failed to decode"),
        "no frame header": (jpeg[:2] + jpeg[-2:] + bytes(40) + b"\xff\xd9", b"1", "no frame header"),
        "label of letters": (jpeg, b"cat", "label, component 'cls', must be an ASCII integer, got 'cat'"),
        "label empty": (jpeg, b"", "label, component 'cls', must be an ASCII integer, got ''"),
        "label negative": (jpeg, b"-1", "label, component 'cls', must not be negative, got -1"),
    }


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Twenty-one kinds of corrupt sample among 500; (url, clean url, {key: kind}, {kind: words of the reason})."""
    samples = drawn_samples(500, seed=5)
    folder = tmp_path_factory.mktemp("planted")
    damaged, bad, words = list(samples), {}, {}
    for number, (kind, (image, label, reason)) in enumerate(kinds(samples[0][2]).items()):
        place = 9 + 24 * number
        key = samples[place][0]
        damaged[place] = (key, label.decode(), image)
        bad[key], words[kind] = kind, reason
    urls = [write_shards(folder, name, chosen, [125] * 4) for name, chosen in (("bad", damaged), ("clean", samples))]
    return *urls, bad, words


def pixels(url, world_size=1, **options):
    """The rows of all ranks, augmented."""
    train = recipes.imagenet_train(size=32)
    ranks = readers(url, world_size, batch_size=40, seed=2, lanes=8, **options)
    return rows(batch for one in ranks for batch in one.augment(train, device="cpu", num_threads=2))


@pytest.mark.slow
def test_bad_samples_are_replaced_and_every_other_stays_bitwise(planted, tmp_path):
    url, clean_url, bad, words = planted
    quarantine = tmp_path / "quarantine.jsonl"
    clean = pixels(clean_url)
    got = pixels(url, on_bad_sample="substitute", quarantine=quarantine)
    assert got.keys() == clean.keys()
    for position, row in got.items():
        assert row.is_substitute == (clean[position].key in bad)
        if row.is_substitute:
            assert row.key not in bad
        else:
            assert row == clean[position]
    lines = [json.loads(line) for line in quarantine.read_text().splitlines()]
    assert len({line["key"] for line in lines}) == len(lines)
    delivered = {row.key for row in clean.values()} & set(bad)
    assert {line["key"] for line in lines} >= delivered
    for line in lines:
        assert words[bad[line["key"]]] in line["reason"]
        assert "pipeline" not in line["reason"]
        assert line["shard"].endswith(".tar")
        assert line["offset"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("world_size", [2, 4])
def test_stand_ins_do_not_depend_on_the_rank_count(planted, world_size):
    url, _, _, _ = planted
    alone = pixels(url, on_bad_sample="substitute")
    assert any(row.is_substitute for row in alone.values())
    assert pixels(url, world_size, on_bad_sample="substitute") == alone


def test_by_default_the_first_bad_sample_is_an_error_with_key_and_shard(planted):
    url, _, bad, _ = planted
    with pytest.raises(sa.BadSampleError, match=r"bad-00000\d\.tar") as caught:
        pixels(url)
    assert any(repr(key) in str(caught.value) for key in bad)


def test_a_wrong_label_is_a_target_error(planted, drawn, tmp_path):
    rows = [(key, label, jpeg) for key, label, jpeg in drawn[:32]]
    rows[5] = (rows[5][0], "3.5", rows[5][2])
    path = write_shard(tmp_path / "labels-000000.tar", rows)
    with pytest.raises(sa.TargetError, match=r"drawn00005.*labels-000000"):
        list(
            sa.ShardReader(sa.ShardSet.open(str(path)), batch_size=8, lanes=4).augment(
                recipes.imagenet_train(size=32), device="cpu"
            )
        )


def test_more_bad_samples_than_allowed_are_an_error(planted):
    with pytest.raises(sa.BadSampleError, match="at most 3"):
        pixels(planted[0], on_bad_sample="substitute", max_bad_samples=3)


def test_batches_before_a_bad_one_are_delivered_and_the_state_goes_on_there(planted):
    url, _, _, _ = planted

    def chain(**options):
        reader = sa.ShardReader(sa.ShardSet.open(url), batch_size=8, seed=2, lanes=8, window=128, **options)
        return reader.augment(recipes.imagenet_train(size=32), device="cpu", num_threads=2)

    strict, delivered = chain(), []
    with pytest.raises(sa.BadSampleError):
        delivered.extend(strict)
    seen = len(delivered)
    assert seen > 0
    assert strict.state_dict()["position"] == 8 * seen
    lenient = chain(on_bad_sample="substitute")
    lenient.load_state_dict(strict.state_dict())
    assert next(iter(lenient)).origin.step == seen


def test_a_run_of_bad_samples_only_is_an_error(drawn, tmp_path):
    rows = [(key, label, jpeg[:100]) for key, label, jpeg in drawn[:16]]
    path = write_shard(tmp_path / "hopeless-000000.tar", rows)
    reader = sa.ShardReader(sa.ShardSet.open(str(path)), batch_size=4, lanes=2, on_bad_sample="substitute")
    with pytest.raises(sa.BadSampleError, match="usable"):
        list(reader.augment(recipes.imagenet_train(size=32), device="cpu"))


@pytest.mark.slow
def test_five_hundred_bad_images_do_not_make_memory_grow(drawn, tmp_path):
    good = drawn[0][2]
    broken = without_tables(good)
    rows = [(f"k{i:05d}", 1, broken if i % 2 else good) for i in range(100)]
    path = write_shard(tmp_path / "grow-000000.tar", rows)
    reader = sa.ShardReader(sa.ShardSet.open(str(path)), batch_size=20, lanes=4, window=100, on_bad_sample="substitute")
    chain = reader.augment(recipes.imagenet_train(size=32), device="cpu", num_threads=2)
    resident = []
    for _ in range(10):
        for batch in chain:
            assert batch.origin.is_substitute.any()
        with Path("/proc/self/statm").open() as file:
            resident.append(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
    assert resident[-1] - resident[2] < 40 << 20


def test_frozen_types_can_be_replaced(planted):
    batch = next(iter(sa.ShardReader(sa.ShardSet.open(planted[1]), batch_size=4, lanes=4)))
    changed = dataclasses.replace(batch.origin, step=99)
    assert changed.step == 99
    with pytest.raises(dataclasses.FrozenInstanceError):
        batch.origin.step = 1
