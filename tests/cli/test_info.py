"""`streamaug info` says what a dataset holds, and draws a sheet of it."""

import io
import json

import numpy as np
import pytest
from image_files import COLORS_OF_16_BITS, JPEG_2000_OF_16_BITS
from PIL import Image
from shards_on_disk import write_shards

from streamaug import Output, Recipe, ShardReader, ShardSet, ops
from streamaug.cli import main
from streamaug.cli.info import draw_sheet, histogram
from streamaug.cli.pictures import picture


def encoded(width, height, form):
    file = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 40)).save(file, form)
    return file.getvalue()


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    samples = [(f"s{number:03d}", number % 3, encoded(20 + number, 40, "JPEG")) for number in range(30)]
    samples[7] = ("s007", 1, b"no image")
    return write_shards(tmp_path_factory.mktemp("info"), "x", samples, [10, 12, 8])


def test_counts_classes_sizes_and_what_is_unusable(url, capsys):
    assert main(["info", url, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["shards"], facts["samples"], facts["looked_at"], facts["classes"]) == (3, 30, 30, 3)
    assert facts["formats"] == {"JPEG": 29, "other": 1}
    assert facts["most_frequent"] == [[0, 10], [1, 10], [2, 10]]
    assert facts["samples_of_a_class"] == {"min": 10, "median": 10.0, "max": 10, "bins": [[10, 10, 3]]}
    assert facts["without_label"] == 0
    assert (facts["width"]["min"], facts["width"]["max"]) == (20, 49)
    assert sum(count for *_, count in facts["width"]["bins"]) == 29
    assert facts["height"]["bins"] == [[40, 40, 29]]
    assert facts["samples_of_a_shard"]["median"] == 10
    assert len(facts["unusable"]) == 1
    assert facts["unusable"][0].startswith("s007: the bytes start with")


def test_some_samples_of_all_shards_are_enough(url, capsys):
    assert main(["info", url, "--samples", "3", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["looked_at"] == 3
    assert facts["width"]["min"] == 20
    assert facts["width"]["max"] == 49


def test_the_terminal_shows_bars(url, capsys):
    assert main(["info", url]) == 0
    out = capsys.readouterr().out
    assert out.startswith("3 shards, 30 samples, ")
    assert "classes: 3; most frequent: 0 (10×), 1 (10×), 2 (10×)\n" in out
    assert "samples of a class: median 10, 10 to 10\n" in out
    assert "width in pixels: median 35, 20 to 49\n" in out
    assert "█" in out
    assert "unusable: s007" in out


def test_the_sheet_has_a_thumbnail_for_each_sample(url, tmp_path, capsys):
    assert main(["info", url, "--sheet", str(tmp_path / "sheet.png")]) == 0
    assert capsys.readouterr().out.endswith("sheet.png\n")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (4 * 128, 8 * 128, 3)
    centres = sheet[64::128, 64::128]
    is_red = (np.abs(centres.astype(int) - (200, 30, 40)) < 12).all(-1).ravel()
    assert is_red.tolist() == [number not in (7, 30, 31) for number in range(32)]


def deep_images():
    """Images of 16 bits by form, of one dark colour; the JPEG 2000 has all of its colours."""
    dark = np.full((40, 40), 0x2A80, np.uint16)
    for form in ("PNG", "TIFF", "JPEG2000"):
        file = io.BytesIO()
        Image.fromarray(dark).save(file, form)
        yield file.getvalue()
    yield JPEG_2000_OF_16_BITS


def test_thumbnails_of_16_bits_have_the_gray_levels_that_training_gets(tmp_path):
    samples = [(f"s{number}", 0, data) for number, data in enumerate(deep_images())]
    url = write_shards(tmp_path, "x", samples, [len(samples)])
    shards = ShardSet.open(url, components=("jpg", "cls"))
    sheet = np.asarray(draw_sheet(shards)).astype(int)
    assert (np.abs(sheet[64, 64:384:128] - 0x2A) <= 1).all()
    colors = sheet[56:72, 440:456]
    recipe = Recipe([ops.Resize(16)], output=Output(dtype="uint8"))
    (batch,) = ShardReader(shards, batch_size=4, shuffle=False).augment(recipe, device="cpu")
    np.testing.assert_array_equal(colors, batch.images[3].permute(1, 2, 0).numpy())
    assert np.abs(colors - (COLORS_OF_16_BITS >> 8)).max() <= 1
    assert (np.abs(batch.images[:3].numpy().astype(int) - 0x2A) <= 1).all()


def test_bytes_that_are_cut_off_have_no_picture():
    for data in deep_images():
        assert picture(data) is not None
        for stop in (0, 1, 12, 40, len(data) // 2):
            assert picture(data[:stop]) is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], {"min": 0, "median": 0, "max": 0, "bins": []}),
        ([5, 5], {"min": 5, "median": 5.0, "max": 5, "bins": [[5, 5, 2]]}),
        ([1, 2, 2], {"min": 1, "median": 2.0, "max": 2, "bins": [[1, 1, 1], [2, 2, 2]]}),
    ],
)
def test_a_histogram_of_few_values_has_a_bin_for_each(values, expected):
    assert histogram(values) == expected


def test_classes_have_the_names_of_the_table_beside_the_shards(tmp_path, capsys):
    url = write_shards(tmp_path, "x", [(f"s{n}", n % 3, encoded(20, 20, "JPEG")) for n in range(9)], [9])
    (tmp_path / "classes.json").write_text('["ant", "bee\\u0007"]')
    assert main(["info", url]) == 0
    out = capsys.readouterr().out
    assert "classes: 3 of 2 in classes.json; most frequent: 0 ant (3×), 1 'bee\\x07' (3×), 2 (3×)\n" in out
    assert "3 samples have a class number that classes.json lacks\n" in out
    assert main(["info", url, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["class_table"] == {"path": str(tmp_path / "classes.json"), "classes": 2}
    assert facts["class_names"] == {"0": "ant", "1": "bee\x07"}
    assert facts["beyond_the_table"] == 3
    assert facts["most_frequent"] == [[0, 3], [1, 3], [2, 3]]


def test_a_table_that_is_none_is_said(tmp_path, capsys):
    url = write_shards(tmp_path, "x", [("s", 0, encoded(20, 20, "JPEG"))], [1])
    (tmp_path / "classes.json").write_text('{"ant": 0}')
    assert main(["info", url]) == 0
    out = capsys.readouterr().out
    assert "classes: 1; most frequent: 0 (1×)\n" in out
    assert "classes.json was not read: classes: must be a list of different names, got" in out
