"""What holds on the CPU, on a real GPU. Skipped, saying so, where torch sees none."""

import numpy as np
import pytest
import torch
from augmenting import augmented, encoded_batches, refuse

from streamaug import ops, recipes
from streamaug.dali.engine import AugmentEngine
from streamaug.ops.output import Output
from streamaug.recipe import Recipe

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device on this machine"),
]

_RECIPES = {
    "train": recipes.imagenet_train(size=96, dtype="uint8"),
    "one warp": recipes.imagenet_train(size=96, dtype="uint8", antialias=False),
    "eval": recipes.imagenet_eval(size=96, resize=112, dtype="uint8"),
    "heavy": Recipe(
        [
            ops.RandomResizedCrop(96),
            ops.HorizontalFlip(),
            ops.Rotate(degrees=15, probability=0.5),
            ops.Perspective(distortion_scale=0.2, probability=0.5),
            ops.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, probability=0.8),
            ops.GaussianBlur(probability=0.5),
        ],
        Output(dtype="uint8"),
    ),
}


@pytest.fixture(scope="module")
def jpegs(drawn):
    return [jpeg for _, _, jpeg in drawn[:64]]


@pytest.mark.parametrize("name", _RECIPES)
def test_pixels_agree_with_the_cpu_s(jpegs, name):
    on_cpu = augmented(_RECIPES[name], jpegs).double()
    on_gpu = augmented(_RECIPES[name], jpegs, device="gpu")
    assert on_gpu.device.type == "cuda"
    difference = (on_gpu.cpu().double() - on_cpu).abs().flatten(1).mean(1)
    # The decoders differ in IDCT and chroma upsampling; a wrong window or matrix would differ by tens.
    assert np.median(difference) < 2.0
    assert difference.max() < 6.0


@pytest.mark.parametrize(("batch_size", "num_threads"), [(1, 1), (7, 3)])
def test_pixels_are_a_function_of_the_sample(jpegs, batch_size, num_threads):
    expected = augmented(_RECIPES["heavy"], jpegs, device="gpu")
    got = augmented(_RECIPES["heavy"], jpegs, device="gpu", batch_size=batch_size, num_threads=num_threads)
    assert torch.equal(expected, got)


def test_a_later_batch_never_overwrites_an_earlier_one(jpegs):
    engine = AugmentEngine(_RECIPES["train"], device="gpu")
    held = []
    for _ in range(13):
        held += [(batch.images, batch.images.clone()) for batch in engine.run(encoded_batches(jpegs, 16), refuse)]
    assert len(held) == 52
    assert all(torch.equal(images, copy) for images, copy in held)


def test_outputs_are_ordered_on_the_current_stream(jpegs):
    expected = augmented(_RECIPES["train"], jpegs, device="gpu").double().sum()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        total = augmented(_RECIPES["train"], jpegs, device="gpu").double().sum()
    stream.synchronize()
    assert total == expected
