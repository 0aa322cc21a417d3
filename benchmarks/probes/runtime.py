"""The behaviour besides pixels: order on streams, a training thread that runs on, memory that is freed."""

import gc
import warnings
from pathlib import Path

import torch

from probes.finding import Settings, judged, needs_gpu
from probes.images import jpegs
from streamaug import recipes
from streamaug.dali.engine import AugmentEngine
from streamaug.mix.mixer import Mixer
from streamaug.mix.settings import MixSettings

#: Clock cycles, some 100 ms, for which a stream is kept busy before it reads.
BUSY_CYCLES = 200_000_000
#: MiB by which a card's memory may grow over five pipelines that were closed.
GROWTH = 512


def streams(settings: Settings):
    """Read a batch late on a busy side stream, let go of it at once, run on, and compare with a copy made early."""
    from augmenting import encoded_batches, refuse

    if not settings.on_gpu:
        return needs_gpu("streams are a GPU's")
    data, recipe, side = jpegs(settings, 256), recipes.imagenet_train(dtype="uint8"), torch.cuda.Stream()
    early = AugmentEngine(recipe, device="gpu").run(encoded_batches(data, 64), refuse)
    expected = [batch.images.double().sum().item() for batch in early]
    wrong = 0
    for _ in range(5):
        sums = []
        with torch.cuda.stream(side):
            for batch in AugmentEngine(recipe, device="gpu", prefetch=1).run(encoded_batches(data, 64), refuse):
                torch.cuda._sleep(BUSY_CYCLES)
                sums.append(batch.images.double().sum())
                del batch
        side.synchronize()
        wrong += sum(late.item() != value for late, value in zip(sums, expected, strict=True))
    return judged(wrong == 0, f"{wrong} of {5 * len(expected)} late reads saw other pixels", {"wrong": wrong})


def held(settings: Settings):
    """Images that a program holds are never overwritten, while the engine goes on for several passes."""
    from augmenting import encoded_batches, refuse

    data, size = jpegs(settings, settings.count(256)), settings.count(64)
    engine, pairs = AugmentEngine(recipes.imagenet_train(size=96, dtype="uint8"), device=settings.device), []
    for _ in range(6):
        pairs += [(batch.images, batch.images.clone()) for batch in engine.run(encoded_batches(data, size), refuse)]
    changed = sum(not torch.equal(images, copy) for images, copy in pairs)
    return judged(changed == 0, f"{changed} of {len(pairs)} batches that were held changed", {"changed": changed})


def waits(settings: Settings):
    """Waits of the training thread: torch's own detector on Mixup and CutMix."""
    from augmenting import encoded_batches, refuse

    if not settings.on_gpu:
        return needs_gpu("a CPU has nothing to wait for")
    data, figures = jpegs(settings, 256), {}
    batches = encoded_batches(data, 256, labels=[b"1"] * len(data))
    for name, chance in (("mixup", 0.0), ("cutmix", 1.0), ("both", 0.5)):
        engine = AugmentEngine(recipes.imagenet_train(), device="gpu")
        batches = encoded_batches(data, 256, labels=[b"1"] * len(data))
        batch = next(iter(engine.run(batches, refuse)))
        mixer = Mixer(MixSettings(stage="MixupOrCutMix", num_classes=1000, switch_probability=chance))
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            mixer.mix(batch)
            torch.cuda.set_sync_debug_mode("default")
        figures[name] = sum("synchron" in str(warning.message) for warning in seen)
    return judged(not any(figures.values()), f"{sum(figures.values())} waits in three batches", figures)


def memory(settings: Settings):
    """Threads and GPU memory of pipelines that were closed, with the garbage collector off."""
    from augmenting import encoded_batches, refuse

    def state():
        free, total = torch.cuda.mem_get_info() if settings.on_gpu else (0, 0)
        return {"threads": len(list(Path("/proc/self/task").iterdir())), "MiB": (total - free) >> 20}

    data, rows = jpegs(settings, settings.count(64)), {}
    gc.disable()
    for size in (96, 128, 160, 192, 224):
        engine = AugmentEngine(recipes.imagenet_train(size=size), device=settings.device)
        for batch in engine.run(encoded_batches(data, len(data)), refuse):
            del batch
        engine.close()
        del engine
        rows[f"after size {size}"] = state()
    gc.enable()
    gc.collect()
    rows["after the garbage collector"] = state()
    first, last = rows["after size 96"], rows["after size 224"]
    threads, grown = last["threads"] - first["threads"], last["MiB"] - first["MiB"]
    return judged(threads <= 0 and grown < GROWTH, f"four more pipelines: {threads:+} threads, {grown:+} MiB", rows)
