"""Boxes and keypoints land where the pixels land, and what is malformed is named."""

import io
import json
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

import streamaug as sa
from streamaug import ops, recipes

SIZE = (120, 180)
COUNT = 20


def write(path, images, notes):
    with tarfile.open(path, "w") as tar:
        for number, (image, note) in enumerate(zip(images, notes, strict=True)):
            file = io.BytesIO(image if isinstance(image, bytes) else b"")
            if not isinstance(image, bytes):
                Image.fromarray(image).save(file, "PNG")
            text = note if isinstance(note, bytes) else json.dumps(note).encode()
            for suffix, data in (("png", file.getvalue()), ("json", text)):
                info = tarfile.TarInfo(f"{number:05d}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return str(path)


def read(url, operations, *, first=None, epoch=0, batch_size=COUNT, on_bad_sample="raise", **annotations):
    shards = sa.ShardSet.open(url, components=("png", "json"))
    reader = sa.ShardReader(
        shards, batch_size=batch_size, seed=5, shuffle=False, tail="pad", on_bad_sample=on_bad_sample
    )
    reader.set_epoch(epoch)
    recipe = sa.Recipe([first or ops.Resize(SIZE), *operations], output=sa.Output(dtype="uint8"))
    (batch, *_) = reader.augment(recipe, device="cpu", annotations=sa.Annotations(**annotations))
    return batch


@pytest.fixture(scope="module")
def dots(tmp_path_factory):
    """Black images with a white disc, a keypoint at its centre and a box around it."""
    rng = np.random.default_rng(3)
    images, notes = [], []
    for _ in range(COUNT):
        height, width = rng.integers(150, 400, 2)
        y, x = rng.uniform(0.3, 0.7, 2) * (height, width)
        rows, columns = np.mgrid[:height, :width] + 0.5
        disc = ((rows - y) ** 2 + (columns - x) ** 2 <= 36).astype(np.uint8) * 255
        images.append(np.repeat(disc[..., None], 3, 2))
        notes.append({"boxes": [[x - 6, y - 6, x + 6, y + 6]], "labels": [4], "keypoints": [[[x, y, 2]]]})
    return write(tmp_path_factory.mktemp("dots") / "dots-000000.tar", images, notes)


def random_stack(rng):
    kinds = [
        lambda: ops.HorizontalFlip(probability=rng.random()),
        lambda: ops.VerticalFlip(probability=rng.random()),
        lambda: ops.Rotate(degrees=float(rng.uniform(0, 60)), probability=rng.random()),
        lambda: ops.RotateCrop(degrees=float(rng.uniform(0, 20))),
        lambda: ops.Perspective(distortion_scale=float(rng.uniform(0, 0.4))),
        lambda: ops.Affine(degrees=10, translate=(0.1, 0.1), scale=(0.8, 1.2), shear=(-8, 8)),
    ]
    return [kinds[k]() for k in rng.integers(0, len(kinds), rng.integers(1, 7))]


@pytest.mark.slow
def test_two_hundred_random_stacks_move_dots_and_boxes_together(dots):
    rng = np.random.default_rng(11)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    checked = 0
    for number in range(200):
        batch = read(dots, random_stack(rng), epoch=number, batch_size=4)
        for image, points, boxes, labels in zip(
            batch.images, batch.keypoints, batch.boxes, batch.box_labels, strict=True
        ):
            mass = image[0].double().numpy()
            if not mass[2:-2, 2:-2].sum() == mass.sum() > 255 * 12:
                continue
            x, y, visible = points[0, 0].tolist()
            center = (mass * columns).sum() / mass.sum(), (mass * rows).sum() / mass.sum()
            assert np.hypot(x - center[0], y - center[1]) < 1.0
            assert visible == 2
            assert labels.tolist() == [4]
            bright = np.argwhere(mass > 127)  # the edge of the disc is at half its height
            x1, y1, x2, y2 = boxes[0].tolist()
            assert x1 - 1 <= bright[:, 1].min()
            assert y1 - 1 <= bright[:, 0].min()
            assert x2 + 1 >= bright[:, 1].max() + 1
            assert y2 + 1 >= bright[:, 0].max() + 1
            checked += 1
    assert checked > 200


FRAME = np.zeros((*SIZE, 3), np.uint8)


def one(tmp_path, note, operations=(), **options):
    return read(write(tmp_path / "one-000000.tar", [FRAME] * 2, [note] * 2), operations, batch_size=2, **options)


@pytest.mark.parametrize(
    ("box_format", "normalized", "box"),
    [
        ("xyxy", False, [18, 12, 54, 60]),
        ("xywh", False, [18, 12, 36, 48]),
        ("cxcywh", False, [36, 36, 36, 48]),
        ("xyxy", True, [0.1, 0.1, 0.3, 0.5]),
        ("cxcywh", True, [0.2, 0.3, 0.2, 0.4]),
    ],
)
def test_every_format_says_the_same_box(tmp_path, box_format, normalized, box):
    batch = one(tmp_path, {"boxes": [box], "labels": [9]}, box_format=box_format, normalized=normalized)
    np.testing.assert_allclose(batch.boxes[0].numpy(), [[18, 12, 54, 60]], atol=1e-4)
    assert batch.box_labels[0].tolist() == [9]
    assert batch.keypoints[0].shape == (0, 0, 3)


def test_boxes_beyond_the_image_are_clipped_and_counted_and_small_ones_dropped(tmp_path):
    note = {
        "boxes": [[-5, 10, 40, 300], [10, 10, 10.5, 11], [500, 500, 600, 600], [1, 2, 3, 4]],
        "labels": [1, 2, 3, 4],
    }
    url = write(tmp_path / "clip-000000.tar", [FRAME], [note])
    shards = sa.ShardSet.open(url, components=("png", "json"))
    chain = sa.ShardReader(shards, batch_size=1, shuffle=False).augment(
        sa.Recipe([ops.Resize(SIZE)]), device="cpu", annotations=sa.Annotations()
    )
    batch = next(iter(chain))
    np.testing.assert_allclose(batch.boxes[0].numpy(), [[0, 10, 40, 120], [1, 2, 3, 4]], atol=1e-4)
    assert batch.box_labels[0].tolist() == [1, 4]
    assert chain.clipped_boxes == 2


def test_boxes_that_leave_the_view_are_dropped_with_their_labels_and_keypoints(tmp_path):
    note = {
        "boxes": [[0, 0, 20, 20], [60, 30, 120, 90]],
        "labels": [1, 2],
        "keypoints": [[[5, 5, 2]], [[90, 60, 1]]],
    }
    shift = ops.Affine(translate=(0.0, 0.0), scale=(3.0, 3.0))
    batch = one(tmp_path, note, [shift], min_visibility=0.4)
    assert batch.box_labels[0].tolist() == [2]
    np.testing.assert_allclose(batch.boxes[0].numpy(), [[0, 0, 180, 120]], atol=1e-3)
    assert batch.keypoints[0][:, 0].tolist() == [[90.0, 60.0, 1.0]]
    assert len(one(tmp_path, note, [shift], min_visibility=0.9).boxes[0]) == 0


def test_mirroring_exchanges_flip_pairs(tmp_path):
    note = {"keypoints": [[[30, 20, 2], [100, 20, 1], [60, 50, 2]]]}
    flip = [ops.HorizontalFlip(probability=1.0)]
    plain = one(tmp_path, note, flip).keypoints[0][0].tolist()
    paired = one(tmp_path, note, flip, flip_pairs=[(0, 1)]).keypoints[0][0].tolist()
    assert plain == [[150, 20, 2], [80, 20, 1], [120, 50, 2]]
    assert paired == [plain[1], plain[0], plain[2]]
    twice = [*flip, ops.VerticalFlip(probability=1.0)]  # a half turn mirrors nothing
    assert one(tmp_path, note, twice, flip_pairs=[(0, 1)]).keypoints[0][0].tolist() == [
        [150, 100, 2],
        [80, 100, 1],
        [120, 70, 2],
    ]


@pytest.mark.parametrize("flip", [ops.HorizontalFlip, ops.VerticalFlip])
@pytest.mark.parametrize(
    "first", [ops.Resize(SIZE), ops.Resize((60, 90)), ops.RandomResizedCrop(SIZE, scale=(1, 1), ratio=(1.5, 1.5))]
)
def test_points_on_all_four_edges_of_the_frame_belong_to_it_whichever_way_it_is_mirrored(tmp_path, flip, first):
    height, width = SIZE
    points = [[0, 10], [width, 20], [30, 0], [40, height], [0, 0], [width, height], [-0.1, 5], [width + 0.1, 5]]
    for stack in ([], [flip(probability=1.0)], [ops.HorizontalFlip(probability=1), ops.VerticalFlip(probability=1)]):
        visible = one(tmp_path, {"keypoints": [points]}, stack, first=first).keypoints[0][0, :, 2]
        assert visible.tolist() == [2] * 6 + [0, 0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "operation",
    [
        ops.Erase(area=(0.1, 0.3), count=2, fill=0, probability=0.7),
        ops.Erase(size=60, fill=0, probability=0.7),
        ops.GridMask(ratio=(0.2, 0.7), tile=(9, 40), probability=0.7),
    ],
    ids=repr,
)
def test_what_is_painted_over_hides_keypoints(tmp_path, operation):
    points = [[[float(x), float(y), 2] for x in range(3, 180, 3) for y in range(3, 120, 3)]]
    white = np.full((*SIZE, 3), 255, np.uint8)
    url = write(tmp_path / "white-000000.tar", [white] * 8, [{"keypoints": points}] * 8)
    batch = read(url, [operation], batch_size=8)
    hidden = 0
    for image, keypoints in zip(batch.images, batch.keypoints, strict=True):
        for x, y, visible in keypoints[0].tolist():
            erased = bool((image[:, int(y), int(x)] == 0).all())
            assert erased == (visible == 0)
            hidden += erased
    assert hidden > 400


def near(image, x, y):
    """The pixel at a place and its neighbours."""
    return image[0, max(int(y) - 1, 0) : int(y) + 2, max(int(x) - 1, 0) : int(x) + 2]


@pytest.mark.parametrize(
    "crop",
    [
        [ops.RandomResizedCrop(SIZE, scale=(0.2, 0.5))],
        [ops.RandomResizedCrop(SIZE, scale=(0.2, 0.5), antialias=False)],
        [ops.ResizeShortest(200), ops.CenterCrop(SIZE)],
    ],
    ids=["crop", "crop in one warp", "centre crop"],
)
def test_what_a_crop_cut_off_does_not_come_back_with_a_rotation(tmp_path, crop):
    """A white image on a black border: the middle of a box, and a visible point, are within a pixel of the white."""
    boxes = [[x, y, x + 6, y + 6] for x in range(0, 294, 10) for y in range(0, 194, 10)]
    points = [[[x + 3, y + 3, 2]] for x, y, _, _ in boxes]
    white = np.full((200, 300, 3), 255, np.uint8)
    url = write(tmp_path / "white-000000.tar", [white] * 8, [{"boxes": boxes, "keypoints": points}] * 8)
    batch = read(url, [*crop[1:], ops.Rotate(degrees=(45, 45), fill=0)], first=crop[0], batch_size=8)
    seen = 0
    for image, found, keypoints in zip(batch.images, batch.boxes, batch.keypoints, strict=True):
        assert 0 < len(found) < len(boxes)
        for x1, y1, x2, y2 in found.tolist():
            assert near(image, (x1 + x2) / 2, (y1 + y2) / 2).max() > 0
        for x, y, visible in keypoints[:, 0].tolist():
            if visible:
                assert near(image, x, y).max() > 0
                seen += 1
    assert seen > 100


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("antialias", [True, False])
def test_annotations_are_of_the_image_turned_by_exif_where_the_recipe_turns_it(tmp_path, orientation, antialias):
    stored = np.zeros((90, 140, 3), np.uint8)
    stored[20:32, 100:112] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(stored).save(file, "JPEG", quality=95, exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(file.getvalue()))))[..., 0]
    y, x = np.argwhere(upright > 128).mean(axis=0) + 0.5
    note = {"boxes": [[x - 6, y - 6, x + 6, y + 6]], "keypoints": [[[x, y]]]}
    url = write(tmp_path / "exif-000000.tar", [file.getvalue()] * 4, [note] * 4)
    first = ops.Resize(SIZE, apply_orientation=True, antialias=antialias)
    batch = read(url, [ops.HorizontalFlip()], first=first, batch_size=4)
    for image, boxes, points in zip(batch.images, batch.boxes, batch.keypoints, strict=True):
        mass = image[0].double().numpy()
        rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
        center = (mass * columns).sum() / mass.sum(), (mass * rows).sum() / mass.sum()
        px, py, visible = points[0, 0].tolist()
        x1, y1, x2, y2 = boxes[0].tolist()
        assert np.hypot(px - center[0], py - center[1]) < 1
        assert visible == 2
        assert x1 < center[0] < x2
        assert y1 < center[1] < y2


@pytest.mark.parametrize(
    ("note", "words"),
    [
        (b"{not json", "no JSON"),
        (b"[1, 2]", "must be an object"),
        ({"boxes": [[1, 2, 3]]}, "box 0 must be four"),
        ({"boxes": [[1, 2, 3, 4], [5, 6, float("nan"), 8]]}, "box 1 must be four"),
        ({"boxes": [[1, 2, 3, 4], [30, 6, 10, 8]]}, "box 1 must not end"),
        ({"boxes": {"a": 1}}, "boxes must be a list"),
        ({"boxes": [[1, 2, 3, 4]], "labels": [1, 2]}, "a label for each of 1"),
        ({"boxes": [[1, 2, 3, 4]], "labels": ["cat"]}, "label of box 0"),
        ({"boxes": [[1, 2, 3, 10**400]]}, "box 0 must be four"),
        ({"boxes": [[1, 2, 3, 4]], "labels": [1 << 63]}, "label of box 0"),
        (b"[" * 100_000, "no JSON"),
        ({"keypoints": [[[1, 2, 3, 4]]]}, "keypoints 0"),
        ({"keypoints": [[1, 2, 2, 3, 4]]}, "keypoints 0 in one list"),
        ({"keypoints": [[[1, 2]], [[1, 2], [3, 4]]]}, "keypoints 1"),
    ],
)
def test_a_malformed_annotation_is_a_bad_sample_that_names_key_and_box(tmp_path, note, words):
    good = {"boxes": [[1, 2, 30, 40]]}
    url = write(tmp_path / "bad-000000.tar", [FRAME] * 4, [good, note, good, good])
    with pytest.raises(sa.BadSampleError, match=rf"'00001'.*bad-000000.*{words}"):
        read(url, [], batch_size=4)
    batch = read(url, [], batch_size=4, on_bad_sample="substitute")
    assert batch.origin.is_substitute.tolist() == [False, True, False, False]
    assert all(len(boxes) == 1 for boxes in batch.boxes)


def test_cocos_annotations_are_the_same_boxes_and_keypoints_as_lists_of_each(tmp_path):
    points = [[[3, 4, 2], [9, 9, 1]], [[20, 30, 2], [0, 0, 0]]]
    columns = {"boxes": [[1, 2, 31, 42], [5, 6, 50, 60]], "labels": [7, 3], "keypoints": points}
    objects = [
        {"bbox": [1, 2, 30, 40], "category_id": 7, "keypoints": [3, 4, 2, 9, 9, 1], "iscrowd": 0},
        {"bbox": [5, 6, 45, 54], "category_id": 3, "keypoints": [20, 30, 2, 0, 0, 0]},
    ]
    url = write(tmp_path / "columns-000000.tar", [FRAME], [columns])
    flip = [ops.HorizontalFlip(probability=1.0)]
    expected = read(url, flip, batch_size=1, flip_pairs=((0, 1),))
    keys = {"boxes": "bbox", "box_format": "xywh", "labels": "category_id", "flip_pairs": ((0, 1),)}
    for name, note, more in (
        ("list", objects, {}),
        ("object", {"annotations": objects, "license": 1}, {"objects": "annotations"}),
    ):
        url = write(tmp_path / f"{name}-000000.tar", [FRAME], [note])
        got = read(url, flip, batch_size=1, **keys, **more)
        for each in ("boxes", "box_labels", "keypoints"):
            assert torch.equal(getattr(got, each)[0], getattr(expected, each)[0])
    assert expected.keypoints[0][0, 0, 2] == 1  # exchanged by the mirroring


def test_a_malformed_box_is_left_out_and_counted_where_that_is_asked(tmp_path):
    good, box = {"boxes": [[1, 2, 30, 40]]}, [1, 2, 30, 40]
    note = {
        "boxes": [[9, 9, 1, 1], box, [1, 2, 3], [2, 2, 20, 20]],
        "labels": ["cat", "dog", "dog", "bird"],
        "keypoints": [[1, 1, 2], [5, 6, 2], [2, 2, 2], [3, 3, 2]],
    }
    url = write(tmp_path / "bad-000000.tar", [FRAME] * 3, [good, note, good])
    names = {"label_names": ("cat", "dog")}
    with pytest.raises(sa.BadSampleError, match="box 0"):
        read(url, [], batch_size=3, **names)
    shards = sa.ShardSet.open(url, components=("png", "json"))
    reader = sa.ShardReader(shards, batch_size=3, shuffle=False)
    recipe = sa.Recipe([ops.Resize(FRAME.shape[:2])])
    chain = reader.augment(recipe, device="cpu", annotations=sa.Annotations(on_bad_box="drop", **names))
    with pytest.warns(UserWarning, match="3 malformed boxes"):
        (batch,) = chain
    assert [boxes.tolist() for boxes in batch.boxes] == [[box]] * 3
    assert batch.box_labels[1].tolist() == [1]
    assert batch.keypoints[1].tolist() == [[[5, 6, 2]]]
    assert not batch.origin.is_substitute.any()
    assert chain.dropped_boxes == 3


def test_a_missing_component_and_several_views_are_refused(tmp_path, dots):
    shards = sa.ShardSet.open(dots, components=("png", "json"))
    reader = sa.ShardReader(shards, batch_size=4, shuffle=False)
    with pytest.raises(sa.RecipeError, match=r"Annotations\.component"):
        next(
            iter(reader.augment(sa.Recipe([ops.Resize(8)]), device="cpu", annotations=sa.Annotations(component="txt")))
        )
    views = recipes.imagenet_tta(views="hflip", size=32, resize=40)
    with pytest.raises(sa.RecipeError, match="one view"):
        next(iter(reader.augment(views, device="cpu", annotations=sa.Annotations())))
