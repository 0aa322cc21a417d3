import io
import json
import pickle
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_files import JPEG_2000_OF_16_BITS, tiff
from pictures import encoded
from PIL import Image
from servers import http_proxy
from tars import write_tar, write_tars

from streamaug.cli import main
from streamaug.cli.check.duplicates import in_several
from streamaug.cli.check.inspector import ShardInspector
from streamaug.samples.formats import tiff as tiff_format
from streamaug.storage import Storage
from streamaug.storage.options import StorageOptions


def jpeg(number, size=(40, 30)):
    return encoded(Image.new("RGB", size, (number * 7 % 256, 30, 200)))


def samples(count, start=0):
    return [pair for i in range(start, start + count) for pair in ((f"k{i}.jpg", jpeg(i)), (f"k{i}.cls", b"%d" % i))]


@pytest.fixture
def folder(tmp_path):
    return write_tars(tmp_path, [samples(5, start=5 * number) for number in range(3)])


def check(folder, capsys, *options):
    status = main(["check", str(folder / "x-{0..2}.tar"), "--json", *options])
    report = json.loads(capsys.readouterr().out)
    assert status == (1 if report["findings"] else 0)
    return report


def kinds(report):
    return [(f["kind"], f["shard"][-7:], f["key"]) for f in report["findings"]]


def test_sound_shards_have_no_findings(folder, capsys):
    report = check(folder, capsys, "--decode", "--num-classes", "15")
    total = sum(path.stat().st_size for path in folder.glob("*.tar"))
    assert report == {"shards": 3, "samples": 15, "bytes": total, "passed_over": {}, "findings": []}
    main(["index", str(folder / "x-{0..2}.tar"), "--checksum"])
    capsys.readouterr()
    assert check(folder, capsys)["findings"] == []
    assert main(["check", str(folder / "x-0.tar")]) == 0
    assert "5 samples" in capsys.readouterr().out


def damage(kind, listed):
    image, label = dict(listed)["k7.jpg"], ("k7.cls", b"7")
    return {
        "missing": [("k7.jpg", image)],
        "truncated": [("k7.jpg", image[: len(image) // 2]), label],
        "empty": [("k7.jpg", b""), label],
        "text": [("k7.jpg", b"no image at all"), label],
        "no number": [("k7.jpg", image), ("k7.cls", b"seven")],
        "underscore": [("k7.jpg", image), ("k7.cls", b"1_0")],
        "19 digits": [("k7.jpg", image), ("k7.cls", b"9" * 19)],
        "5,000 digits": [("k7.jpg", image), ("k7.cls", b"7" * 5000)],
        "negative": [("k7.jpg", image), ("k7.cls", b"-1")],
        "too large": [("k7.jpg", image), ("k7.cls", b"99")],
        "in two shards": [("k7.jpg", image), label, ("k1.jpg", image), ("k1.cls", b"7")],
        "twice in one": [("k7.jpg", image), label, ("k5.jpg", image), ("k5.cls", b"7")],
    }[kind]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("missing", ("missing", "k7")),
        ("truncated", ("image", "k7")),
        ("empty", ("image", "k7")),
        ("text", ("image", "k7")),
        ("no number", ("label", "k7")),
        ("underscore", ("label", "k7")),
        ("19 digits", ("label", "k7")),
        ("5,000 digits", ("label", "k7")),
        ("negative", ("label", "k7")),
        ("too large", ("label", "k7")),
        ("in two shards", ("duplicate", "k1")),
        ("twice in one", ("duplicate", "k5")),
    ],
)
def test_what_is_wrong_with_a_sample_is_found(folder, capsys, kind, expected):
    listed = samples(5, start=5)
    write_tar(folder / "x-1.tar", listed[:4] + damage(kind, listed) + listed[6:])
    report = check(folder, capsys, "--num-classes", "50")
    assert kinds(report) == [(expected[0], "x-1.tar", expected[1])]
    offset = report["findings"][0]["offset"]
    data = (folder / "x-1.tar").read_bytes()
    assert expected[1].encode() in data[offset : offset + 20] or expected[1].encode() in data[offset - 512 : offset]


def noise(file_format):
    file = io.BytesIO()
    Image.effect_noise((300, 200), 80).convert("RGB").save(file, file_format)
    return file.getvalue()


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


@pytest.mark.parametrize(
    ("damaged", "by_dali", "by_pillow"),
    [
        (lambda png: flipped(png, len(png) // 2), True, True),
        (lambda png: flipped(png, len(png) - 13), True, False),  # the check sum of the pixels' chunk
        (lambda jp2: jp2 * 2, False, True),  # DALI reads the first and ignores the rest
    ],
)
def test_pixels_that_do_not_decode_are_found_with_decode_only(folder, capsys, damaged, by_dali, by_pillow):
    data = damaged(noise("JPEG2000" if not by_dali else "PNG"))
    listed = samples(5, start=5)
    write_tar(folder / "x-1.tar", [*listed[:4], ("k7.png", data), ("k7.cls", b"7"), *listed[6:]])
    assert check(folder, capsys)["findings"] == []
    report = check(folder, capsys, "--decode")
    assert kinds(report) == [("image", "x-1.tar", "k7")]
    message = report["findings"][0]["message"]
    assert ("DALI cannot decode it" in message, "Pillow cannot decode it" in message) == (by_dali, by_pillow)


def test_pixels_that_differ_from_pillows_are_found_with_decode(folder, capsys, monkeypatch):
    picture = tiff(np.dstack([np.full((20, 30), 90), np.full((20, 30), 200)]).astype(np.uint8), photometric=1, extra=2)
    listed = samples(5, start=5)
    write_tar(folder / "x-1.tar", [*listed[:4], ("k7.tiff", picture), ("k7.cls", b"7"), *listed[6:]])
    assert check(folder, capsys, "--decode", "--components", "jpg;png;tiff,cls")["findings"] == []
    # A form that DALI misreads, and of which this package does not know that it does.
    monkeypatch.setattr(tiff_format, "_PLAIN_COLORS", ((1, 2),))
    report = check(folder, capsys, "--decode", "--components", "jpg;png;tiff,cls")
    assert kinds(report) == [("image", "x-1.tar", "k7")]
    found = re.search(r"DALI's pixels differ from Pillow's by ([0-9.]+) gray levels", report["findings"][0]["message"])
    assert float(found[1]) > 8


def test_pixels_that_pillow_alone_gets_wrong_are_no_finding(folder, capsys):
    listed = samples(5, start=5)
    write_tar(folder / "x-1.tar", [*listed[:4], ("k7.png", JPEG_2000_OF_16_BITS), ("k7.cls", b"7"), *listed[6:]])
    assert check(folder, capsys, "--decode")["findings"] == []


@pytest.mark.slow
def test_all_images_of_a_long_shard_are_decoded(folder, capsys):
    listed = [(name, data if name.endswith("cls") else noise("PNG")) for name, data in samples(70, start=5)]
    for number in (0, 64, 68):
        listed[2 * number] = (listed[2 * number][0], flipped(listed[2 * number][1], -13))
    path = write_tar(folder / "x-1.tar", listed)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"k74.cls")])  # so that k73 is the last whole sample
    assert main(["check", str(path), "--decode", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [f["key"] for f in report["findings"]] == ["k5", "k69", "k73", None]
    assert report["findings"][3]["kind"] == "shard"


def test_a_flipped_bit_is_found_by_its_checksum(folder, capsys):
    main(["index", str(folder / "x-{0..2}.tar"), "--checksum"])
    capsys.readouterr()
    path = folder / "x-2.tar"
    data = bytearray(path.read_bytes())
    at = data.index(b"\xff\xda") + 30
    data[at] ^= 1
    path.write_bytes(data)
    report = check(folder, capsys)
    assert kinds(report) == [("checksum", "x-2.tar", "k10")]
    assert 0 <= at - report["findings"][0]["offset"] < 1000


def test_truncation_and_a_stale_index_and_a_missing_shard_are_all_found_at_once(folder, capsys):
    main(["index", str(folder / "x-{0..2}.tar")])
    capsys.readouterr()
    path = folder / "x-0.tar"
    path.write_bytes(path.read_bytes()[:6000])
    write_tar(folder / "x-1.tar", samples(4, start=5))
    (folder / "x-2.tar").unlink()
    assert [kind[:2] for kind in kinds(check(folder, capsys))] == [
        ("shard", "x-0.tar"),
        ("index", "x-1.tar"),
        ("storage", "x-2.tar"),
        ("manifest", "x-0.tar"),
        ("manifest", "x-1.tar"),
    ]


def test_findings_in_words(folder, capsys):
    write_tar(folder / "x-1.tar", [("a.jpg", b"?"), ("a.cls", b"x")])
    assert main(["check", str(folder / "x-1.tar")]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(f"image: {folder / 'x-1.tar'} at offset 512, sample 'a': ")
    assert out[1].startswith(f"label: {folder / 'x-1.tar'} at offset 1536, sample 'a': ")
    assert out[2] == "1 shard, 1 sample, 10240 bytes: 2 findings"


def test_the_line_of_a_finding_names_the_shard_once(folder, capsys):
    main(["index", str(folder / "x-{0..2}.tar")])
    cut, text, gone = (folder / f"x-{number}.tar" for number in range(3))
    cut.write_bytes(cut.read_bytes()[:6000])
    text.write_bytes(b"no tar" * 500)
    gone.unlink()
    capsys.readouterr()
    assert main(["check", str(cut), str(text), str(gone)]) == 1
    lines = capsys.readouterr().out.splitlines()
    begins = {cut: f"shard: {cut} at offset ", text: f"shard: {text} at offset 0: ", gone: f"storage: {gone}: "}
    for line, (path, begin) in zip(lines[:3], begins.items(), strict=True):
        assert line.startswith(begin)
        assert line.count(str(path)) == 1


def test_other_components(folder, capsys):
    assert len(check(folder, capsys, "--components", "jpg,txt")["findings"]) == 15
    assert check(folder, capsys, "--components", "jpg")["findings"] == []


def test_remote_shards_are_checked_the_same(folder, capsys):
    write_tar(folder / "x-1.tar", [*samples(5, start=5), ("z.jpg", b"?"), ("z.cls", b"1")])
    with http_proxy(folder) as (proxy, base):
        assert main(["check", base + "/x-{0..2}.tar", "--json"]) == 1
        assert kinds(json.loads(capsys.readouterr().out)) == [("image", "x-1.tar", "z")]
        assert proxy.bytes == sum(path.stat().st_size for path in folder.glob("*.tar"))


def test_cache_is_shown_and_cleared(folder, tmp_path_factory, capsys):
    cache = tmp_path_factory.mktemp("cache")
    assert main(["cache", str(cache)]) == 2
    with http_proxy(folder) as (_, base):
        main(["check", base + "/x-{0..2}.tar", "--cache-dir", str(cache)])
    capsys.readouterr()
    assert main(["cache", str(cache)]) == 0
    size = sum(path.stat().st_size + 16 for path in folder.glob("*.tar"))
    assert capsys.readouterr().out == f"{cache}: 3 blocks, {size} bytes\n"
    assert main(["cache", str(cache), "--clear"]) == 0
    assert main(["cache", str(cache)]) == 0
    assert capsys.readouterr().out.endswith(": 0 blocks, 0 bytes\n")


def detection(folder, *notes):
    members = [pair for i, note in enumerate(notes) for pair in ((f"k{i}.jpg", jpeg(i)), (f"k{i}.json", note))]
    write_tar(folder / "d.tar", members)
    return str(folder / "d.tar")


def findings_of(capsys, *arguments):
    status = main(["check", "--json", *arguments])
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert status == (1 if findings else 0)
    return findings


def test_json_components_must_be_objects_and_are_no_labels(folder, capsys):
    url = detection(folder, b'{"boxes": []}', b"{", b"[1]", b"[" * 100_000, b'{"a": "\xff"}', b" {} ")
    findings = findings_of(capsys, url, "--components", "jpg,json")
    assert [(f["kind"], f["key"]) for f in findings] == [("json", f"k{i}") for i in (1, 2, 3, 4)]
    assert findings[1]["message"] == "it must be a JSON object, got b'[1]'"


def test_what_a_component_must_be_is_said_by_its_name(folder, capsys):
    image = jpeg(0)
    members = [("a.jpg", image), ("a.txt", b"a cat"), ("a.label", b"cat"), ("a.seg.json", b"?"), ("a.cls", b"3")]
    write_tar(folder / "d.tar", members)
    findings = findings_of(capsys, str(folder / "d.tar"), "--components", "jpg,txt,label,seg.json,cls")
    assert [f["kind"] for f in findings] == ["label", "json"]


def test_a_manifest_that_says_otherwise_is_found(folder, capsys):
    main(["index", str(folder / "x-{0..2}.tar")])
    place = folder / "index.json"
    content = json.loads(place.read_text())
    content["shardlist"][0]["nsamples"] += 1
    content["shardlist"][2]["filesize"] -= 512
    place.write_text(json.dumps(content))
    capsys.readouterr()
    report = check(folder, capsys)
    assert kinds(report) == [("manifest", "x-0.tar", None), ("manifest", "x-2.tar", None)]
    assert report["findings"][0]["message"].startswith(f"{place} must say 5 samples, got 6.")
    place.write_text('{"shardlist": [')
    assert [f["kind"] for f in check(folder, capsys)["findings"]] == ["manifest"]


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_text("v1.2 9\n")])
def test_checksums_that_could_not_be_compared_are_found(folder, capsys, spoil):
    main(["index", str(folder / "x-{0..2}.tar"), "--checksum"])
    spoil(folder / "x-1.idx")
    capsys.readouterr()
    findings = check(folder, capsys)["findings"]
    assert [f["kind"] for f in findings if f["kind"] != "index"] == ["checksum"]
    assert findings[-1]["message"].startswith(f"no checksum could be compared: {folder / 'x-1.crc32c'} must have an")


def test_checksums_that_the_manifest_promises_and_nobody_copied_are_found(folder, capsys):
    main(["index", str(folder / "x-{0..2}.tar"), "--checksum"])
    (folder / "x-1.crc32c").unlink()
    capsys.readouterr()
    report = check(folder, capsys)
    assert kinds(report) == [("manifest", "x-1.tar", None)]
    assert report["findings"][0]["message"].startswith(f"{folder / 'x-1.crc32c'} must be there")


def test_an_empty_shard_is_found(folder, capsys):
    write_tar(folder / "x-1.tar", [])
    report = check(folder, capsys)
    assert kinds(report) == [("shard", "x-1.tar", None)]
    assert "must hold a sample" in report["findings"][0]["message"]


def test_a_shard_that_is_listed_twice_is_found_once(folder, capsys):
    url = str(folder / "x-1.tar")
    assert main(["check", url, url, url, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["shards"], report["samples"]) == (1, 5)
    assert [(f["kind"], f["message"]) for f in report["findings"]] == [
        ("duplicate", "it must be listed once, got 3 times. Name it once.")
    ]


@pytest.mark.parametrize("value", ["0", "-1", "ten", "1_0", "9" * 5000])
def test_a_number_of_classes_below_one_is_a_usage_error(folder, capsys, value):
    assert main(["check", str(folder / "x-0.tar"), "--num-classes", value]) == 2
    assert "must be a whole number from 1" in capsys.readouterr().err


def test_a_shard_that_cannot_even_be_named_does_not_hide_the_others(folder, capsys):
    write_tar(folder / "x-1.tar", [("a.jpg", b"?"), ("a.cls", b"1")])
    findings = findings_of(capsys, "https:///x.tar?sig=planted", str(folder / "x-1.tar"))
    assert [f["kind"] for f in findings] == ["shard", "image"]
    assert "planted" not in json.dumps(findings)


@pytest.mark.parametrize("indexed", [False, True])
def test_keys_in_several_shards_are_found_in_broken_and_sound_ones(folder, capsys, indexed):
    write_tar(folder / "x-1.tar", [*samples(3, start=5), *samples(1, start=1)])
    path = write_tar(folder / "x-2.tar", [*samples(2, start=6), *samples(3, start=1)])
    if indexed:
        main(["index", str(folder / "x-{0..2}.tar")])
        capsys.readouterr()
    else:
        data = path.read_bytes()
        path.write_bytes(data[: data.index(b"k1.cls")])  # so that k7 is the last whole sample
    duplicates = [kind for kind in kinds(check(folder, capsys)) if kind[0] == "duplicate"]
    kept = ["k6", "k7", "k1", "k2", "k3"] if indexed else ["k6", "k7"]
    assert duplicates[0] == ("duplicate", "x-1.tar", "k1")
    assert [key for _, shard, key in duplicates[1:] if shard == "x-2.tar"] == kept


@given(st.lists(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 9) | st.just(2**64 - 1))))
def test_numbers_in_several_arrays(lists):
    arrays = [np.unique(np.array(numbers, np.uint64)) for numbers in lists]
    counts = Counter(number for array in arrays for number in array.tolist())
    assert in_several(arrays).tolist() == sorted(number for number, count in counts.items() if count > 1)


def test_what_is_kept_of_all_keys_is_eight_bytes_each(folder):
    write_tar(folder / "x-0.tar", [(f"k{i}.cls", b"1") for i in range(2000)])
    inspector = ShardInspector(Storage(StorageOptions()), (("cls",),), decode=False, num_classes=None)
    kept = pickle.dumps(inspector.inspect(str(folder / "x-0.tar")).digests)
    assert len(kept) < 2000 * 8 + 500


def test_keys_are_read_again_from_the_index_not_from_the_shard(folder, capsys):
    write_tar(folder / "x-1.tar", samples(5, start=1))
    main(["index", str(folder / "x-{0..2}.tar")])
    capsys.readouterr()
    with http_proxy(folder) as (proxy, base):
        assert len(findings_of(capsys, base + "/x-{0..2}.tar")) == 4
        assert proxy.bytes < 1.3 * sum(path.stat().st_size for path in folder.glob("*.tar"))


def test_a_shard_that_cannot_be_read_is_named_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["check", "missing.tar"]) == 1
    first = capsys.readouterr().out.splitlines()[0]
    assert first == "storage: missing.tar: the file must exist, got none. Check the path."
