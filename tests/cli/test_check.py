import io
import json

import pytest
from PIL import Image
from servers import http_proxy
from tars import write_tar

from streamaug.cli import main


def jpeg(number, size=(40, 30)):
    file = io.BytesIO()
    Image.new("RGB", size, (number * 7 % 256, 30, 200)).save(file, "JPEG")
    return file.getvalue()


def samples(count, start=0):
    return [pair for i in range(start, start + count) for pair in ((f"k{i}.jpg", jpeg(i)), (f"k{i}.cls", b"%d" % i))]


@pytest.fixture
def folder(tmp_path):
    for number in range(3):
        write_tar(tmp_path / f"x-{number}.tar", samples(5, start=5 * number))
    return tmp_path


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
    assert report == {"shards": 3, "samples": 15, "bytes": total, "findings": []}
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


def test_pixels_that_do_not_decode_are_found_with_decode_only(folder, capsys):
    listed = samples(5, start=5)
    file = io.BytesIO()
    Image.effect_noise((64, 64), 80).save(file, "PNG")
    data = bytearray(file.getvalue())
    data[len(data) // 2] ^= 0xFF
    write_tar(folder / "x-1.tar", [*listed[:4], ("k7.png", bytes(data)), ("k7.cls", b"7"), *listed[6:]])
    assert check(folder, capsys)["findings"] == []
    assert kinds(check(folder, capsys, "--decode")) == [("image", "x-1.tar", "k7")]


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
    ]


def test_findings_in_words(folder, capsys):
    write_tar(folder / "x-1.tar", [("a.jpg", b"?"), ("a.cls", b"x")])
    assert main(["check", str(folder / "x-1.tar")]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(f"image: {folder / 'x-1.tar'} at offset 512, sample 'a': ")
    assert out[1].startswith(f"label: {folder / 'x-1.tar'} at offset 1536, sample 'a': ")
    assert out[2] == "1 shards, 1 samples, 10240 bytes: 2 findings"


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
