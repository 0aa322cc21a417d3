"""Plain DALI: its own reader, its own random operators one by one, as its documentation has it."""

from pathlib import Path

from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.auto_aug import trivial_augment
from nvidia.dali.plugin.pytorch import feed_ndarray  # noqa: F401 - what a training loop imports
from turns import arguments, take_turns

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def crop(encoded):
    image = fn.decoders.image_random_crop(
        encoded, device="cpu", output_type=types.RGB, random_area=[0.08, 1.0], random_aspect_ratio=[3 / 4, 4 / 3]
    )
    return fn.resize(image, size=[224, 224], interp_type=types.INTERP_LINEAR, antialias=True)


def output(image, mirror):
    return fn.crop_mirror_normalize(image, dtype=types.FLOAT, output_layout="CHW", mean=MEAN, std=STD, mirror=mirror)


def heavy(image):
    image = fn.rotate(image, angle=fn.random.uniform(range=(-15.0, 15.0)), keep_size=True, fill_value=0)
    corners = fn.random.uniform(range=(-0.1, 0.1), shape=(2,))
    zeros = types.Constant([0.0, 0.0, 1.0], dtype=types.FLOAT)
    tilt = fn.stack(
        fn.cat(types.Constant([1.0, 0.0, 0.0], dtype=types.FLOAT)),
        fn.cat(types.Constant([0.0, 1.0, 0.0], dtype=types.FLOAT)),
        fn.cat(corners / 224.0, zeros[2:3]),
    )
    image = fn.experimental.warp_perspective(image, matrix=tilt, pixel_origin="corner", fill_value=0)
    image = fn.color_twist(
        image,
        brightness=fn.random.uniform(range=(0.6, 1.4)),
        contrast=fn.random.uniform(range=(0.6, 1.4)),
        saturation=fn.random.uniform(range=(0.6, 1.4)),
        hue=fn.random.uniform(range=(-36.0, 36.0)),
    )
    image = fn.gaussian_blur(image, sigma=fn.random.uniform(range=(0.1, 2.0)))
    image = fn.noise.gaussian(image, stddev=fn.random.uniform(range=(0.0, 12.75)))
    anchor, shape = fn.random.uniform(range=(0.0, 0.7), shape=(2,)), fn.random.uniform(range=(0.15, 0.45), shape=(2,))
    return fn.erase(image, anchor=anchor, shape=shape, axis_names="HW", normalized=True, fill_value=0)


@pipeline_def
def graph(recipe, shards):
    indexes = [str(Path(shard).with_suffix(".idx")) for shard in shards]
    encoded, label = fn.readers.webdataset(
        paths=shards, index_paths=indexes, ext=["jpg", "cls"], random_shuffle=True, initial_fill=1024, name="reader"
    )
    image, mirror = crop(encoded), fn.random.coin_flip(probability=0.5)
    if recipe == "heavy":
        image = heavy(image)
    elif recipe == "trivial_augment":
        image = trivial_augment.trivial_augment_wide(image, shape=[224, 224], fill_value=0)
    return output(image, mirror), label


def main() -> None:
    import torch

    recipe, shards, threads = arguments()
    enabled = {"enable_conditionals": True} if recipe == "trivial_augment" else {}
    pipe = graph(
        recipe,
        shards,
        batch_size=64,
        num_threads=threads,
        device_id=None,
        seed=1,
        exec_dynamic=True,
        prefetch_queue_depth=2,
        **enabled,
    )
    pipe.build()
    count = pipe.epoch_size("reader") // 64

    def epoch() -> int:
        images = 0
        for _ in range(count):
            pixels, _ = pipe.run()
            images += len(torch.from_dlpack(pixels.as_tensor()))
        return images

    take_turns(epoch, "DALI's own operators, one by one")


if __name__ == "__main__":
    main()
