"""What the engine promises: pixels of the sample alone, memory that stays, bad samples replaced, batches in order."""

import io

import numpy as np
import pytest
import torch
from augmenting import augmented, encoded_batches, png, refuse, rejected_by_dali_alone, stand_in
from PIL import Image

from streamaug import ops, recipes
from streamaug.dali.engine import AugmentEngine
from streamaug.errors import BadSampleError, RecipeError, TargetError
from streamaug.recipes.output import Output
from streamaug.recipes.recipe import Recipe

HEAVY = Recipe(
    [
        ops.RandomResizedCrop(48),
        ops.HorizontalFlip(),
        ops.Rotate(degrees=20, probability=0.5),
        ops.RotateCrop(degrees=20, probability=0.5),
        ops.VerticalFlip(),
        ops.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, probability=0.8),
        ops.GaussianBlur(sigma=(0.3, 2.0), probability=0.5),
    ]
)


@pytest.fixture(scope="module")
def jpegs(drawn):
    return [jpeg for _, _, jpeg in drawn[:96]]


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe",
    [recipes.imagenet_train(size=48), recipes.imagenet_train(size=48, antialias=False), HEAVY],
    ids=["train", "one warp", "heavy"],
)
@pytest.mark.parametrize(("batch_size", "num_threads", "prefetch"), [(1, 1, 1), (7, 3, 2), (64, 2, 5)])
def test_pixels_are_a_function_of_the_sample(jpegs, recipe, batch_size, num_threads, prefetch):
    expected = augmented(recipe, jpegs, batch_size=16)
    options = {"batch_size": batch_size, "num_threads": num_threads, "prefetch": prefetch}
    assert torch.equal(expected, augmented(recipe, jpegs, **options))
    assert not torch.equal(expected, augmented(recipe, jpegs, epoch=1))
    assert not torch.equal(expected, augmented(recipe, jpegs, seed=6))


def test_a_later_batch_never_overwrites_an_earlier_one(jpegs):
    engine = AugmentEngine(recipes.imagenet_train(size=64), device="cpu", num_threads=2)
    held = []
    for _ in range(9):
        held += [(batch.images, batch.images.clone()) for batch in engine.run(encoded_batches(jpegs, 16), refuse)]
    assert len(held) == 54
    assert all(torch.equal(images, copy) for images, copy in held)


@pytest.mark.slow
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "uint8"])
def test_output_formats_hold_the_same_values(jpegs, dtype, channels_last):
    operations = [ops.RandomResizedCrop(32), ops.HorizontalFlip()]
    expected = augmented(Recipe(operations), jpegs)
    got = augmented(Recipe(operations, Output(dtype=dtype, channels_last=channels_last)), jpegs)
    assert got.dtype == getattr(torch, dtype)
    assert got.shape == (96, 3, 32, 32)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert got.is_contiguous(memory_format=layout)
    assert torch.equal(got.float(), expected)


def test_normalisation_is_the_formula(jpegs):
    raw = augmented(Recipe([ops.Resize(32)], Output(dtype="uint8")), jpegs).double()
    mean, std = (10.0, 20.0, 30.0), (2.0, 3.0, 4.0)
    got = augmented(Recipe([ops.Resize(32)], Output(mean=mean, std=std)), jpegs)
    expected = (raw - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    torch.testing.assert_close(got.double(), expected, atol=1e-4, rtol=1e-5)


def test_a_recipe_may_depend_on_the_epoch(jpegs):
    engine = AugmentEngine(lambda epoch: recipes.imagenet_train(size=32 + 16 * epoch), device="cpu", num_threads=2)
    sizes = [[b.images.shape[-1] for b in engine.run(encoded_batches(jpegs, 48, epoch=e), refuse)] for e in (0, 2, 0)]
    assert sizes == [[32, 32], [64, 64], [32, 32]]


def test_batches_may_change_their_size_on_the_way(jpegs):
    def mixed_sizes():
        for size in (8, 32, 16):
            yield next(encoded_batches(jpegs, size))

    engine = AugmentEngine(recipes.imagenet_train(size=32), device="cpu", num_threads=2)
    got = [batch.images for batch in engine.run(mixed_sizes(), refuse)]
    assert [len(images) for images in got] == [8, 32, 16]
    assert torch.equal(got[0], got[1][:8])
    assert torch.equal(got[2], got[1][:16])


def test_leaving_a_pass_leaves_the_engine_fit_for_the_next(jpegs):
    engine = AugmentEngine(recipes.imagenet_train(size=32), device="cpu", num_threads=2, prefetch=3)
    expected = augmented(recipes.imagenet_train(size=32), jpegs)
    for taken in (1, 2):
        stream = engine.run(encoded_batches(jpegs, 16), refuse)
        for _ in range(taken):
            next(stream)
        stream.close()
    again = torch.cat([batch.images for batch in engine.run(encoded_batches(jpegs, 16), refuse)])
    assert torch.equal(again, expected)


def test_labels_are_ascii_integers(jpegs):
    engine = AugmentEngine(recipes.imagenet_eval(size=16, resize=16), device="cpu")
    labels = [b"7", b" 12\n", b"+3", b"999"]
    (batch,) = engine.run(encoded_batches(jpegs[:4], 4, labels=labels), refuse)
    assert batch.targets.tolist() == [7, 12, 3, 999]
    assert batch.targets.dtype == torch.int64
    for wrong in (b"", b"cat", b"1.0", b"1_0", "٣".encode()):
        with pytest.raises(TargetError, match="ASCII integer"):
            list(engine.run(encoded_batches(jpegs[:4], 4, labels=[*labels[:3], wrong]), refuse))
    with pytest.raises(TargetError, match="at most 18 digits"):
        list(engine.run(encoded_batches(jpegs[:4], 4, labels=[*labels[:3], b"9" * 30]), refuse))
    with pytest.raises(TargetError, match="must not be negative, got -3"):
        list(engine.run(encoded_batches(jpegs[:4], 4, labels=[*labels[:3], b"-3"]), refuse))
    (batch,) = engine.run(encoded_batches(jpegs[:4], 4), refuse)
    assert batch.targets is None


def test_an_error_of_the_source_comes_after_the_batches_before_it(jpegs):
    def failing():
        yield from encoded_batches(jpegs[:48], 16)
        raise BadSampleError("the fourth")

    engine = AugmentEngine(recipes.imagenet_train(size=32), device="cpu", num_threads=2)
    stream = engine.run(failing(), refuse)
    assert [next(stream).origin.step for _ in range(3)] == [0, 1, 2]
    with pytest.raises(BadSampleError, match="the fourth"):
        next(stream)


@pytest.mark.slow
@pytest.mark.parametrize("position", [0, 17, 40, 95])
@pytest.mark.parametrize("kind", ["cut off", "dali"])
def test_a_bad_sample_is_replaced_and_nothing_else_changes(jpegs, position, kind):
    bad = rejected_by_dali_alone() if kind == "dali" else jpegs[position][: len(jpegs[position]) // 2]
    broken = [bad if i == position else jpeg for i, jpeg in enumerate(jpegs)]
    expected = augmented(HEAVY, jpegs)
    replace, asked = stand_in(jpegs[3])
    engine = AugmentEngine(HEAVY, device="cpu", num_threads=2, prefetch=3)
    got = torch.cat([batch.images for batch in engine.run(encoded_batches(broken, 16), replace)])
    assert [(step, row) for step, row, _ in asked] == [divmod(position, 16)]
    others = [i for i in range(96) if i != position]
    assert torch.equal(got[others], expected[others])
    assert not torch.equal(got[position], expected[3])  # the stand-in draws from a stream of its own


@pytest.mark.parametrize("kind", ["cut off", "dali"])
def test_a_bad_sample_is_an_error_after_the_batches_before_it(jpegs, kind):
    bad = rejected_by_dali_alone() if kind == "dali" else b"no image"
    broken = [bad if i == 40 else jpeg for i, jpeg in enumerate(jpegs)]
    engine = AugmentEngine(HEAVY, device="cpu", num_threads=2, prefetch=3)
    stream = engine.run(encoded_batches(broken, 16), refuse)
    assert [next(stream).origin.step for _ in range(2)] == [0, 1]
    with pytest.raises(BadSampleError, match=r"^40: "):
        next(stream)
    assert len(list(engine.run(encoded_batches(jpegs, 16), refuse))) == 6


def test_everything_bad_is_still_replaced(jpegs):
    broken = [rejected_by_dali_alone() if i % 3 == 0 else jpeg for i, jpeg in enumerate(jpegs[:24])]
    replace, asked = stand_in(jpegs[3])
    engine = AugmentEngine(recipes.imagenet_train(size=32), device="cpu", num_threads=2)
    assert len(list(engine.run(encoded_batches(broken, 8), replace))) == 3
    assert len(asked) == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "tpu"}, "device"),
        ({"device": "cuda:99"}, "device"),
        ({"prefetch": 0}, "prefetch"),
        ({"num_threads": 0}, "num_threads"),
        ({"annotations": "json"}, r"augment\.annotations: must be Annotations or None, got 'json'"),
    ],
)
def test_arguments_are_checked(options, message):
    with pytest.raises(RecipeError, match=message):
        AugmentEngine(recipes.imagenet_eval(), **options)


def test_a_function_of_the_epoch_that_returns_no_recipe_is_told_so(jpegs):
    engine = AugmentEngine(lambda epoch: None, device="cpu", num_threads=1)
    with pytest.raises(RecipeError, match="the function must return a Recipe, got None for epoch 0"):
        next(engine.run(encoded_batches(jpegs[:8], 8), refuse))


def test_images_of_every_kind_decode():
    rng = np.random.default_rng(1)
    color = rng.integers(0, 256, (40, 60, 3), np.uint8)
    files = {
        "gray png": png(color[..., 0]),
        "1x1": png(color[:1, :1]),
        "1x500": png(np.tile(color[:1, :1], (1, 500, 1))),
    }
    for name, image, kind in (
        ("cmyk", Image.fromarray(color).convert("CMYK"), "JPEG"),
        ("gray", Image.fromarray(color[..., 0]), "JPEG"),
        ("progressive", Image.fromarray(color), "JPEG"),
        ("webp", Image.fromarray(color), "WEBP"),
        ("tiff", Image.fromarray(color), "TIFF"),
        ("jpeg2000", Image.fromarray(color), "JPEG2000"),
        ("bmp", Image.fromarray(color), "BMP"),
        ("palette", Image.fromarray(color).convert("P"), "PNG"),
        ("alpha", Image.fromarray(np.dstack([color, color[..., 0]])), "PNG"),
    ):
        file = io.BytesIO()
        image.save(file, kind, **({"progressive": True} if name == "progressive" else {}))
        files[name] = file.getvalue()
    sixteen = io.BytesIO()
    Image.fromarray(np.full((30, 30), 0x8080, np.uint16)).save(sixteen, "PNG")
    files["16 bit"] = sixteen.getvalue()
    images = augmented(Recipe([ops.Resize(32)], Output(dtype="uint8")), list(files.values()), batch_size=4)
    got = dict(zip(files, images, strict=True))
    assert (got["16 bit"] == 128).all()
    assert (got["gray"][0] == got["gray"][2]).all()
    assert (got["1x1"] == torch.from_numpy(color[0, 0]).view(3, 1, 1)).all()
    for lossless in ("tiff", "bmp"):
        assert torch.equal(got[lossless], got["tiff"])
    assert (got["cmyk"].float() - got["tiff"].float()).abs().mean() < 40


def test_batches_of_two_sizes_survive_a_refusal_while_both_are_under_way(jpegs):
    def sizes(second):
        for number, size in enumerate((32, 8, 32, 8, 32)):
            yield next(encoded_batches(second if number == 1 else jpegs, size))

    def images(second, replace):
        engine = AugmentEngine(recipes.imagenet_train(size=32), device="cpu", num_threads=2, prefetch=3)
        return [batch.images for batch in engine.run(sizes(second), replace)]

    replace, asked = stand_in(jpegs[3])
    expected, got = images(jpegs, replace), images([rejected_by_dali_alone(), *jpegs[1:]], replace)
    assert len(asked) == 1
    assert [len(batch) for batch in got] == [32, 8, 32, 8, 32]
    assert torch.equal(got[1][1:], expected[1][1:])
    assert all(torch.equal(got[number], expected[number]) for number in (0, 2, 3, 4))
