"""Mixup and CutMix of pixels: the formulas, for every kind of image and partner map, wherever the result goes."""

from collections import Counter

import numpy as np
import pytest
import torch
from copies import Copies
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from streamaug import mix
from streamaug.mix import blend_cpu as bands
from streamaug.mix import pixels
from streamaug.mix.blend_gpu import in_groups
from streamaug.mix.overwrite_order import chains

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.uint8)
#: What one rounding of a value up to 255 may be off by.
TOLERANCE = {torch.float32: 6e-5, torch.float16: 0.07, torch.bfloat16: 0.51, torch.float64: 1e-9, torch.uint8: 0.501}


def reference(images, partner, lam, boxes):
    """The formulas, written out row by row in float64."""
    own, out = images.double(), images.double().clone()
    for i, (mate, share, (y1, y2, x1, x2)) in enumerate(zip(partner, lam, boxes, strict=True)):
        out[i] = own[i] * float(share) + own[int(mate)] * (1 - float(share))
        out[i, :, y1:y2, x1:x2] = own[int(mate), :, y1:y2, x1:x2]
    return out


def pictures(size, dtype, *, channels_last=False, height=7, width=6, seed=0):
    images = torch.rand(size, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 255
    return images.to(dtype).contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


@st.composite
def batches(draw):
    size = draw(st.integers(1, 9))
    height, width = draw(st.integers(1, 7)), draw(st.integers(1, 6))
    pairs = draw(st.sampled_from(("neighbours", "any")))
    if pairs == "neighbours":
        partner = np.array([i ^ 1 if i ^ 1 < size else i for i in range(size)])
    else:
        partner = np.array(draw(st.lists(st.integers(0, size - 1), min_size=size, max_size=size)))
    lam = np.array(draw(st.lists(st.sampled_from((0.0, 0.25, 0.7, 1.0, 1.0)), min_size=size, max_size=size)))
    boxes = []
    for _ in range(size):
        y = sorted(draw(st.lists(st.integers(0, height), min_size=2, max_size=2)))
        x = sorted(draw(st.lists(st.integers(0, width), min_size=2, max_size=2)))
        boxes.append([*y, *x] if draw(st.booleans()) else [0, 0, 0, 0])
    images = pictures(
        size, draw(st.sampled_from(DTYPES)), channels_last=draw(st.booleans()), height=height, width=width
    )
    return images, partner, lam, np.array(boxes)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(batches(), st.sampled_from(("new", "out", "in place")), st.sampled_from((1, 30, 60, bands.BAND_ELEMENTS)))
def test_any_batch_with_any_partners_is_mixed_by_the_formulas(batch, where, band_elements):
    images, partner, lam, boxes = batch
    before = images.clone()
    expected = reference(images, partner, lam, boxes)
    out = {"new": None, "out": torch.empty_like(images), "in place": images}[where]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bands, "BAND_ELEMENTS", band_elements)
        mixed = pixels.blend(images, partner, lam, boxes, out=out)
    assert (mixed.double() - expected).abs().max() <= TOLERANCE[images.dtype]
    assert mixed.dtype == images.dtype
    assert mixed.stride() == images.stride()
    if where != "new":
        assert mixed is out
    if where != "in place":
        assert torch.equal(images, before)


@settings(max_examples=300, deadline=None)
@given(batches(), st.integers(1, 4))
def test_the_path_of_gpus_gives_what_the_path_of_cpus_gives(batch, group):
    images, partner, lam, boxes = batch
    expected = pixels.blend(images, partner, lam, boxes)
    destination = images.clone()
    in_groups(destination, partner, lam, boxes, rows_per_group=group)
    torch.testing.assert_close(destination.double(), expected.double(), atol=TOLERANCE[images.dtype], rtol=0)


@pytest.mark.parametrize("partner", [[1, 0, 3, 2, 5, 4, 6], [1, 2, 3, 4, 5, 6, 0]], ids=["pairs", "a ring"])
def test_a_batch_on_another_device_takes_one_copy_that_nobody_waits_for(partner):
    lam, boxes = np.array([0.3, 0.3, 1, 1, 1, 1, 1.0]), np.zeros((7, 4), np.int64)
    boxes[2:6] = (1, 3, 1, 2)
    images = torch.empty(7, 3, 4, 4, device="meta")
    with Copies() as copies:
        in_groups(images, np.array(partner), lam, boxes, rows_per_group=2)
    assert copies.waits == [False]
    assert copies.stalls == []


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 11), st.booleans()), min_size=12, max_size=12))
def test_chains_visit_each_row_once_and_overwrite_nothing_that_is_needed(rows):
    partner, idle = (np.array(column) for column in zip(*rows, strict=True))
    idle = idle | (partner == np.arange(12))
    written = set()
    for chain, closed in chains(partner, idle):
        for row in chain:
            assert row not in written
            assert int(partner[row]) not in written or (closed and row == chain[-1] and partner[row] == chain[0])
            written.add(row)
    assert written == set(np.flatnonzero(~idle).tolist())


@pytest.mark.parametrize("dtype", DTYPES)
def test_lam_one_is_bitwise_the_identity(dtype):
    images = pictures(4, dtype)
    if dtype.is_floating_point:
        images[2, 0, 0, 0], images[3, 0, 0, 0] = float("nan"), float("inf")
    mixed = mix.mixup(images, torch.tensor([1, 0, 3, 2]), torch.ones(4))
    assert torch.equal(mixed.view(torch.uint8), images.view(torch.uint8))


def test_an_infinity_stays_out_of_rows_that_were_not_mixed():
    images = pictures(4, torch.float32)
    images[1, 0, 0, 0] = float("inf")
    destination = images.clone()
    lam, boxes = np.array([1.0, 0.5, 0.5, 0.5]), np.zeros((4, 4), np.int64)
    in_groups(destination, np.array([1, 0, 3, 2]), lam, boxes)
    assert torch.equal(destination[0], images[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8])
@pytest.mark.parametrize("where", ["new", "out", "in place"])
def test_numpy_arrays_are_mixed_as_tensors_are(dtype, where):
    images = pictures(5, torch.float32).numpy().astype(dtype)
    partner, lam = np.array([1, 0, 3, 2, 4]), np.array([0.25, 0.25, 1.0, 0.5, 0.6])
    expected = mix.mixup(torch.from_numpy(images.copy()), partner, lam).numpy()
    before = images.copy()
    out = {"new": None, "out": np.empty_like(images), "in place": images}[where]
    mixed = mix.mixup(images, partner, lam, out=out)
    assert isinstance(mixed, np.ndarray)
    np.testing.assert_array_equal(mixed, expected)
    assert (mixed is images) == (where == "in place")
    if where != "in place":
        np.testing.assert_array_equal(images, before)


def test_read_only_and_reversed_arrays_can_be_read():
    images = pictures(4, torch.float32).numpy()
    partner, lam = np.array([1, 0, 3, 2]), np.full(4, 0.5)
    expected = mix.mixup(images, partner, lam)
    frozen = images.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(mix.mixup(frozen, partner, lam), expected)
    np.testing.assert_array_equal(mix.mixup(images[:, :, ::-1], partner, lam), expected[:, :, ::-1])
    for out in (frozen, images[:, :, ::-1]):
        with pytest.raises(ValueError, match="out: must be writable and not reversed"):
            mix.mixup(images, partner, lam, out=out)


def test_a_view_into_a_larger_tensor_is_mixed_in_place():
    whole = pictures(8, torch.float32, height=9, width=9)
    before, view = whole.clone(), whole[1::2, :, 2:7, 3:8]
    partner, lam = np.array([1, 0, 3, 2]), np.full(4, 0.25)
    expected = reference(view, partner, lam, np.zeros((4, 4), int))
    mix.mixup(view, partner, lam, out=view)
    torch.testing.assert_close(view.double(), expected, atol=1e-4, rtol=0)
    untouched = torch.ones_like(whole, dtype=torch.bool)
    untouched[1::2, :, 2:7, 3:8] = False
    assert torch.equal(whole[untouched], before[untouched])


PAIR = {"partner": np.array([1, 0]), "lam": np.array([0.5, 0.5])}


@pytest.mark.parametrize(
    ("images", "changes", "message"),
    [
        (torch.zeros(2, 3, 4), {}, r"images: must be \(B, C, H, W\)"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.int64), {}, "images: must be of float16"),
        (np.zeros((2, 3, 4, 4), ">f4"), {}, "images: must be of float16"),
        (torch.zeros(2, 3, 4, 4, requires_grad=True), {}, "images: must not require gradients"),
        (torch.zeros(2, 3, 4, 4), {"partner": np.array([1, 2])}, "partner: must lie in 0..1"),
        (torch.zeros(2, 3, 4, 4), {"partner": np.array([-1, 0])}, "partner: must lie in 0..1"),
        (torch.zeros(2, 3, 4, 4), {"partner": np.array([1, 0, 2])}, r"partner: must have shape \(2,\)"),
        (torch.zeros(2, 3, 4, 4), {"lam": np.array([0.5])}, r"lam: must have shape \(2,\)"),
        (torch.zeros(2, 3, 4, 4), {"lam": np.array([0.5, 1.5])}, "lam: must lie in 0..1"),
        (torch.zeros(2, 3, 4, 4), {"lam": np.array([0.5, float("nan")])}, "lam: must lie in 0..1"),
        (torch.zeros(2, 3, 4, 4), {"out": torch.zeros(2, 3, 4, 5)}, "out: must have the type, shape and dtype"),
        (torch.zeros(2, 3, 4, 4), {"out": np.zeros((2, 3, 4, 4), np.float32)}, "out: must have the type"),
    ],
)
def test_wrong_arguments_are_named(images, changes, message):
    with pytest.raises(ValueError, match=message):
        mix.mixup(images, **(PAIR | changes))


@pytest.mark.parametrize("box", [[0, 5, 0, 4], [3, 2, 0, 4], [0, 4, -1, 4], [0, 4, 2, 1]])
def test_boxes_outside_the_image_are_refused(box):
    with pytest.raises(ValueError, match="boxes: must be y1 ≤ y2, x1 ≤ x2 inside 4×4"):
        mix.cutmix(torch.zeros(2, 3, 4, 4), np.array([1, 0]), np.array([box, [0, 0, 0, 0]]))


class _Calls(TorchDispatchMode):
    """Counts what torch is asked to do."""

    def __init__(self):
        super().__init__()
        self.of = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.of[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def calls_for(rows, mixing, number):
    images, partner = torch.rand(rows, 3, 224, 224), np.arange(rows) ^ 1
    with _Calls() as calls:
        mixing(images, partner, np.broadcast_to(number, (rows, *np.shape(number))), out=images)
    return calls.of


def test_cutmix_on_a_cpu_asks_torch_for_nothing_whatever_the_rows():
    for rows in (2, 16):
        assert set(calls_for(rows, mix.cutmix, (20, 120, 30, 200))) <= {"detach"}  # what `Tensor.numpy` asks


def test_mixup_on_a_cpu_blends_each_band_once_and_slices_bands_of_all_rows_at_once():
    few, many = calls_for(2, mix.mixup, 0.3), calls_for(16, mix.mixup, 0.3)
    bands = few["lerp"] // 2
    assert (few["lerp"], many["lerp"]) == (2 * bands, 16 * bands)
    assert (few["unbind"], many["unbind"]) == (bands, bands)
    assert few["slice"] == many["slice"]
