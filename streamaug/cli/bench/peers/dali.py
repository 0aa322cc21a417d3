"""DALI with its own reader of WebDataset tars, as its documentation shows it for ImageNet."""

from collections.abc import Iterator

from torch.utils.dlpack import from_dlpack

from streamaug.cli.bench.peers.options import MEAN, STD, PeerOptions
from streamaug.ops.nodes import dali, dali_fn, dali_types


def batches(options: PeerOptions) -> Iterator[int]:
    """Endless batches; of each the number of images."""
    fn, types = dali_fn(), dali_types()
    on_gpu = options.device == "gpu"
    pipeline = dali().Pipeline(
        batch_size=options.batch_size,
        num_threads=options.workers + 1,
        device_id=0 if on_gpu else None,
        prefetch_queue_depth=2,
        exec_dynamic=True,
        seed=1,
    )
    with pipeline:
        names = [";".join(options.images), *([";".join(options.labels)] if options.labels else [])]
        read = fn.readers.webdataset(paths=options.paths, ext=names, random_shuffle=True, initial_fill=1024)
        encoded = read[0] if isinstance(read, list | tuple) else read
        images = fn.decoders.image_random_crop(
            encoded,
            device="mixed" if on_gpu else "cpu",
            random_area=[0.08, 1.0],
            random_aspect_ratio=[3 / 4, 4 / 3],
            num_attempts=10,
            output_type=types.RGB,
        )
        images = fn.resize(
            images, size=[options.height, options.width], interp_type=types.INTERP_LINEAR, antialias=True
        )
        pipeline.set_outputs(
            fn.crop_mirror_normalize(
                images,
                dtype=types.FLOAT,
                output_layout="CHW",
                mean=[255 * value for value in MEAN],
                std=[255 * value for value in STD],
                mirror=fn.random.coin_flip(probability=0.5),
            )
        )
    pipeline.build()
    while True:
        (images,) = pipeline.run()
        yield len(from_dlpack(images.as_tensor()))
