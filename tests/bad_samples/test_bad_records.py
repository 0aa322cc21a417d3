"""What is said of bad samples: counted once, recorded at their place, no secrets; and labels out of range."""

import json
import warnings
from pathlib import Path

import pytest
from pictures import drawn_samples
from reading import reader
from servers import http_proxy
from tars import write_tar

import streamaug as sa
from streamaug import recipes

SAMPLES = drawn_samples(64, seed=12)
TRAIN = recipes.imagenet_train(size=16)


def members(labels=None, lacking=None):
    """Members of all samples: some with other labels, and some without an image ("jpg"), a label ("cls") or both."""
    out = []
    for number, (key, _, jpeg) in enumerate(SAMPLES):
        missing = (lacking or {}).get(number, ())
        for suffix, data in (("jpg", jpeg), ("txt", b"a caption"), ("cls", (labels or {}).get(number, b"1"))):
            if suffix not in missing:
                out.append((f"{key}.{suffix}", data))
    return out


def lenient(source, **options):
    options = {"batch_size": 8, "lanes": 4, "seed": 0, "window": None, "on_bad_sample": "substitute"} | options
    return reader(str(source), **options)


def augmented(source, **options):
    return lenient(source, **options).augment(TRAIN, device="cpu", num_threads=1)


def recorded(path):
    return {line["key"]: line for line in map(json.loads, path.read_text().splitlines())}


@pytest.mark.slow
def test_no_signature_is_written_down_or_said(tmp_path):
    listed = members(labels={9: b"cat"})
    image = next(number for number, (name, _) in enumerate(listed) if name == f"{SAMPLES[40][0]}.jpg")
    listed[image] = (listed[image][0], listed[image][1][:80])
    write_tar(tmp_path / "signed-000000.tar", listed)
    quarantine = tmp_path / "bad.jsonl"
    with http_proxy(tmp_path) as (_, base):
        url = f"{base}/signed-000000.tar?X-Amz-Signature=SECRET&X-Amz-Credential=SECRET"
        first = augmented(url, quarantine=quarantine)
        list(first)
        said = [quarantine.read_text(), repr(first), repr(first._reader)]
        assert {line["shard"] for line in recorded(quarantine).values()} == {f"{base}/signed-000000.tar"}
        assert set(recorded(quarantine)) == {SAMPLES[9][0], SAMPLES[40][0]}
        for epoch in range(8):  # one of the two comes first
            strict = augmented(url, on_bad_sample="raise")
            strict.set_epoch(epoch)
            with pytest.raises(sa.BadSampleError) as caught:
                list(strict)
            said += [str(caught.value), repr(caught.value)]
            assert f"{base}/signed-000000.tar:" in str(caught.value)
        assert any("label" in text for text in said[3:])
        assert any("cut off" in text for text in said[3:])
        with pytest.raises(sa.BadSampleError, match="at most 0") as caught:
            list(augmented(url, max_bad_samples=0))
        said.append(str(caught.value))
    assert not [text for text in said if "SECRET" in text or "X-Amz" in text]


def test_the_offset_is_that_of_the_component_to_blame(tmp_path):
    labels = {5: b"cat", 20: b"-1"}
    path = write_tar(
        tmp_path / "where-000000.tar",
        members(labels, lacking={11: ("jpg",), 12: ("jpg", "txt"), 30: ("cls",), 33: ("jpg", "cls")}),
    )
    quarantine = tmp_path / "bad.jsonl"
    list(augmented(path, quarantine=quarantine))
    found, content = recorded(quarantine), path.read_bytes()

    def at(number):
        offset = found[SAMPLES[number][0]]["offset"]
        return None if offset is None else content[offset - 512 : offset].partition(b"\0")[0].decode()

    for number in labels:
        assert at(number) == f"{SAMPLES[number][0]}.cls"
    assert at(11) == at(12).replace(SAMPLES[12][0], SAMPLES[11][0]) == f"{SAMPLES[11][0]}.cls"
    assert at(30) == f"{SAMPLES[30][0]}.jpg"
    assert at(33) is None  # neither component that was asked for is there
    assert len(found) == 6


def test_bad_samples_are_counted_once_and_on_every_stage(tmp_path):
    path = write_tar(tmp_path / "count-000000.tar", members(labels={3: b"x", 4: b"y", 50: b"z"}))
    quarantine = tmp_path / "bad.jsonl"
    one = lenient(path, quarantine=quarantine, max_bad_samples=3)
    chain = one.augment(TRAIN, device="cpu", num_threads=1)
    last = chain.mixup(num_classes=10)
    assert last.num_bad_samples == 0
    for _ in range(3):  # the fourth of another epoch would be one too many, were any counted twice
        list(last)
        assert last.num_bad_samples == chain.num_bad_samples == one.num_bad_samples == 3
    assert len(quarantine.read_text().splitlines()) == 3


def test_what_is_known_to_be_bad_is_not_looked_at_again(tmp_path):
    bad = range(8, 40)
    path = write_tar(tmp_path / "dead-000000.tar", members(labels=dict.fromkeys(bad, b"x")))
    seen = []

    def look(key, parts):
        seen.append(key)
        return parts

    chain = lenient(path).map_samples(look).augment(TRAIN, device="cpu", num_threads=1)
    hopeless = {SAMPLES[number][0] for number in bad}
    list(chain)
    first = [key for key in seen if key in hopeless]
    assert set(first) == hopeless
    assert len(first) <= 2 * len(hopeless)  # in its own row, and once as a stand-in under way at the time
    seen.clear()
    list(chain)
    assert len(seen) == 64
    assert not set(seen) & hopeless


def test_a_resumed_process_counts_from_none(tmp_path):
    path = write_tar(tmp_path / "resume-000000.tar", members(labels=dict.fromkeys(range(6), b"x")))
    first = augmented(path, max_bad_samples=6, batch_size=32)
    stream = iter(first)
    next(stream)
    second = augmented(path, max_bad_samples=6, batch_size=32)
    second.load_state_dict(first.state_dict())
    assert second.num_bad_samples == 0
    list(second)
    assert 0 < second.num_bad_samples <= 6


def test_a_quarantine_that_cannot_be_written_is_refused_at_the_start(tmp_path):
    path = write_tar(tmp_path / "fine-000000.tar", members())
    with pytest.raises(ValueError, match=r"quarantine: .*none/bad\.jsonl"):
        lenient(path, quarantine=tmp_path / "none" / "bad.jsonl")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_training_goes_on_where_the_quarantine_is_full(tmp_path):
    path = write_tar(tmp_path / "full-000000.tar", members(labels={3: b"x", 44: b"y"}))
    chain = augmented(path, quarantine="/dev/full")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert len(list(chain)) == 8
    said = [str(warning.message) for warning in caught]
    assert [text[:34] for text in said if not text.startswith("on_bad_sample")] == [
        "quarantine: must stay writable, go"
    ]
    assert chain.num_bad_samples == 2


def test_a_label_out_of_range_is_a_target_error(tmp_path):
    path = write_tar(tmp_path / "range-000000.tar", members(labels={30: b"10"}))
    list(augmented(path, on_bad_sample="raise"))
    with pytest.raises(sa.TargetError, match=rf"{SAMPLES[30][0]}.*range-000000.*must be below 10, .*got 10"):
        list(augmented(path, on_bad_sample="raise", num_classes=10))


def test_a_label_out_of_range_is_replaced_and_a_resumed_run_passes_it(tmp_path):
    path = write_tar(tmp_path / "range-000000.tar", members(labels={30: b"10", 31: b"999"}))
    quarantine = tmp_path / "bad.jsonl"

    def chain():
        return augmented(path, num_classes=10, quarantine=quarantine).mixup(num_classes=10)

    whole = [batch.origin.keys for batch in chain()]
    assert set(recorded(quarantine)) == {SAMPLES[30][0], SAMPLES[31][0]}
    first = chain()
    stream = iter(first)
    for keys in whole[:4]:
        assert next(stream).origin.keys == keys
    second = chain()
    second.load_state_dict(first.state_dict())
    assert [batch.origin.keys for batch in second] == whole[4:]


def test_labels_are_judged_after_they_are_mapped(tmp_path):
    path = write_tar(tmp_path / "mapped-000000.tar", members(labels={30: b"95"}))
    one = lenient(path, num_classes=10)
    mapped = one.map_samples(lambda key, parts: {"cls": str(int(parts["cls"]) // 10).encode()})
    list(mapped.augment(TRAIN, device="cpu", num_threads=1))
    assert one.num_bad_samples == 0


def test_a_label_that_is_bad_for_one_chain_is_not_for_another(tmp_path):
    path = write_tar(tmp_path / "mapped-000000.tar", members(labels={30: b"95"}))
    one = lenient(path, num_classes=10, shuffle=False)
    plain = one.augment(TRAIN, device="cpu", num_threads=1)
    mapped = one.map_samples(lambda key, parts: {"cls": str(int(parts["cls"]) // 10).encode()})
    mapped = mapped.augment(TRAIN, device="cpu", num_threads=1)
    for chain, bad in ((plain, True), (mapped, False), (plain, True), (plain, True), (mapped, False)):
        delivered = {key for batch in chain for key in batch.origin.keys}
        assert (SAMPLES[30][0] not in delivered) == bad


@pytest.mark.parametrize("wrong", [0, -1, True, 10.0, "10"])
def test_numbers_of_classes_that_are_none_are_refused(tmp_path, wrong):
    path = write_tar(tmp_path / "fine-000000.tar", members())
    with pytest.raises(ValueError, match="num_classes"):
        lenient(path, num_classes=wrong)
