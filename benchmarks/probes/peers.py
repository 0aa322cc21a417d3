"""The loaders that are measured: streamaug, plain DALI and its decoder alone, on the same files in memory."""

import itertools
import time
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import torch

from probes.finding import Settings
from streamaug.batch import EncodedBatch, Origin
from streamaug.dali.engine import AugmentEngine
from streamaug.recipes.imagenet import IMAGENET_MEAN, IMAGENET_STD

WARM_UP = 8


def plain(
    settings: Settings, data, batch: int, threads: int, *, load=None, huffman=None, only_decode=False
) -> Iterator[torch.Tensor]:
    """Plain DALI: whole images decoded, its own random crop, resize, mirror, normalised; or its decoder alone.

    Args:
        settings: The device.
        data: Encoded images.
        batch: Images at a time.
        threads: CPU threads.
        load: `hw_decoder_load`; None: DALI's default.
        huffman: `hybrid_huffman_threshold`; None: DALI's default. This and `load` matter on a GPU alone.
        only_decode: Cut 8 × 8 pixels out of what was decoded, and nothing else.
    """
    from nvidia.dali import Pipeline, fn, types

    arrays = [np.frombuffer(file, np.uint8) for file in data]
    rows = itertools.cycle(arrays)
    pipe = Pipeline(
        batch_size=batch,
        num_threads=threads,
        device_id=0 if settings.on_gpu else None,
        exec_dynamic=True,
        prefetch_queue_depth=2,
        seed=1,
    )
    options = {"hw_decoder_load": load, "hybrid_huffman_threshold": huffman}
    options = {name: value for name, value in options.items() if settings.on_gpu and value is not None}
    options |= {"device": "mixed" if settings.on_gpu else "cpu", "output_type": types.RGB}
    with pipe:
        files = fn.external_source(source=lambda: list(itertools.islice(rows, batch)), batch=True, no_copy=True)
        images = fn.decoders.image(files, **options)
        if only_decode:
            out = fn.crop(images, crop=(8, 8), out_of_bounds_policy="pad")
        else:
            out = fn.crop_mirror_normalize(
                fn.random_resized_crop(images, size=[224, 224], antialias=True),
                dtype=types.FLOAT,
                output_layout="CHW",
                mean=list(IMAGENET_MEAN),
                std=list(IMAGENET_STD),
                mirror=fn.random.coin_flip(),
            )
        pipe.set_outputs(out)
    pipe.build()
    while True:
        (images,) = pipe.run(torch.cuda.current_stream()) if settings.on_gpu else pipe.run()
        yield torch.from_dlpack(images.as_tensor())


def ours(settings: Settings, data, batch, threads, recipe) -> Iterator[torch.Tensor]:
    """The images of streamaug's engine, on the same files."""
    from augmenting import refuse

    none = np.zeros(batch, bool)

    def batches():
        for step in itertools.count():
            ids = np.arange(step * batch, (step + 1) * batch, dtype=np.int64)
            files = [memoryview(data[number % len(data)]) for number in ids.tolist()]
            origin = Origin(1, 0, step, 1, ids, ids, ("",) * batch, none, none)
            yield EncodedBatch(files, {"cls": [b"7"] * batch}, origin)

    with closing(AugmentEngine(recipe, device=settings.device, num_threads=threads)) as engine:
        for images in engine.run(batches(), refuse):
            yield images.images


def rate(settings: Settings, images: Iterator[torch.Tensor], seconds: float) -> dict[str, float]:
    """Images/s, and milliseconds of the calling thread for 256 images, after a few batches."""

    def finished():
        if settings.on_gpu:
            torch.cuda.synchronize()

    for _ in range(WARM_UP if settings.on_gpu else 1):
        next(images)
    finished()
    start, thread, count = time.perf_counter(), time.thread_time(), 0
    while count == 0 or time.perf_counter() - start < seconds:
        count += len(next(images))
    finished()
    wall, own = time.perf_counter() - start, time.thread_time() - thread
    return {"images_per_second": round(count / wall, 1), "thread_ms_per_256": round(1e3 * own / count * 256, 2)}
