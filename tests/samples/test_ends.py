"""A file is whole if the picture's own end is there: bytes behind the end do not matter, bytes before it do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import animated_png, bmp, exif, segment, tiff, webp, with_segments
from image_forms import GRAY, OTHER, PICTURE, compressed_tiffs
from pictures import encoded

from streamaug.samples.formats import jpeg
from streamaug.samples.image_header import Header, inspect

_JPEG, _PNG = encoded(PICTURE, "JPEG"), encoded(PICTURE, "PNG")
_ANOTHER = encoded(OTHER, "JPEG")
_SIZE = PICTURE.shape[:2]
_SEVERAL_SCANS = encoded(PICTURE, "JPEG", progressive=True)
_RESTARTS = encoded(PICTURE, "JPEG", restart_marker_blocks=2)
_WHOLE = {
    "jpeg": _JPEG,
    "jpeg, progressive": _SEVERAL_SCANS,
    "jpeg with restarts": _RESTARTS,
    "jpeg with a thumbnail": with_segments(_JPEG, segment(0xE1, exif(1) + _ANOTHER)),
    "jpeg with an end in a comment": with_segments(_JPEG, segment(0xFE, b"\xff\xd9")),
    "jpeg with markers filled up": _JPEG[:2] + b"\xff\xff" + _JPEG[2:-2] + b"\xff\xff\xff\xd9",
    "png": _PNG,
    "png, animated": animated_png(PICTURE, OTHER),
    "webp": encoded(PICTURE, "WEBP"),
    "webp with chunks": webp(PICTURE, (b"ICCP", b"odd"), (b"EXIF", exif(6))),
    "tiff": tiff(PICTURE, rows=7),
    "tiff, tiles": tiff(PICTURE, tile=16),
    "tiff, planar": tiff(PICTURE, planar=True),
    "jp2": encoded(PICTURE, "JPEG2000"),
    "j2k": encoded(PICTURE, "JPEG2000", no_jp2=True),
    "bmp": bmp(PICTURE),
    **dict(compressed_tiffs()),
}


@pytest.mark.parametrize("name", _WHOLE)
@settings(max_examples=20)
@given(trailer=st.binary(max_size=200), times=st.integers(1, 60))
def test_bytes_behind_the_end_do_not_matter(name, trailer, times):
    header = inspect(_WHOLE[name] + trailer * times)
    assert isinstance(header, Header)
    assert header[:2] == _SIZE


@pytest.mark.parametrize("name", _WHOLE)
@pytest.mark.parametrize("behind", [_ANOTHER, _PNG, _SEVERAL_SCANS, b"\0" * 1000])
def test_another_picture_behind_the_end_does_not_matter(name, behind):
    assert inspect(_WHOLE[name] + behind)[:2] == _SIZE


@pytest.mark.parametrize("name", [name for name in _WHOLE if name[:3] in ("jpe", "png", "web")])
@pytest.mark.parametrize("behind", [b"", _ANOTHER, _SEVERAL_SCANS, _PNG, b"\0" * 100_000], ids=len)
def test_a_cut_file_is_bad_whatever_follows(name, behind):
    whole = _WHOLE[name]
    for share in (0.4, 0.6, 0.8, 0.95):
        cut = whole[: int(len(whole) * share)]
        if name.startswith("webp"):  # a WebP says how long it is, so that what follows would be its own
            behind = b""
        assert isinstance(inspect(cut + behind), str), share


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("name", ["tiff", "tiff, tiles", "tiff, planar", "jp2", "j2k", "bmp"])
def test_missing_strips_tiles_and_rows_are_noticed(name, share):
    whole = _WHOLE[name]
    assert isinstance(inspect(whole[: int(len(whole) * share)]), str)


def test_missing_strips_are_noticed_where_the_directory_comes_first():
    whole = encoded(PICTURE, "TIFF")
    assert inspect(whole)[:2] == _SIZE
    assert "cut off" in inspect(whole[:-1])


def test_a_cut_jpeg_names_the_marker_that_breaks_its_scan_off():
    assert "0xffd8" in inspect(_JPEG[: len(_JPEG) // 2] + _ANOTHER)


def test_the_span_of_a_picture_is_without_what_lies_around_it():
    assert inspect(_JPEG).span is None
    assert inspect(_JPEG + b"trailer").span == (0, len(_JPEG))
    assert inspect(_PNG + _ANOTHER).span == (0, len(_PNG))
    assert inspect(encoded(GRAY, "PNG")).span is None
    assert inspect(webp(PICTURE, (b"EXIF", exif(1)))).span is not None


@settings(max_examples=60)
@given(data=st.data())
def test_the_end_of_a_long_scan_is_where_a_search_for_markers_finds_it(data):
    """Wherever markers, restarts and zeros are put into a scan that is long enough for the shorter way."""
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    scan = bytearray(rng.integers(0, 255, 20_000, np.uint8).tobytes())
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.one_of(st.integers(0, 20_000), st.sampled_from([0, 19_998, 19_999, 20_000])))
        scan[at : at + 2] = data.draw(st.sampled_from([b"\xff\0", b"\xff\xd0", b"\xff\xd9", b"\xff\xff", b"\xff\xc4"]))
    picture = _SEVERAL_SCANS if data.draw(st.booleans()) else _JPEG
    start = picture[: picture.index(b"\xff\xda")] + segment(0xDA, bytes(10))
    whole = start + bytes(scan) + data.draw(st.sampled_from([b"\xff\xd9", b"\xff\xff\xd9", b"", b"\xff\xd9\0"]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jpeg, "_LONG_SCAN", 1 << 60)
        by_search = inspect(whole)
    assert inspect(whole) == inspect(memoryview(whole)) == by_search


def test_the_end_is_found_behind_several_long_scans():
    rng = np.random.default_rng(0)
    scan = rng.integers(0, 255, 200_000, np.uint8).tobytes().replace(b"\xff", b"\xff\0")
    head = _JPEG[: _JPEG.index(b"\xff\xda")]
    start = segment(0xDA, bytes(10))
    assert inspect(head + (start + scan) * 3 + b"\xff\xd9")[:2] == _SIZE
