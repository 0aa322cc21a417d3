"""Speeds: five interleaved pairs against plain DALI, the decoder alone, policies, and a ResNet-50 that trains."""

import itertools
import os
import time

import torch
from harness import median_interval

from probes.finding import OK, Finding, Settings, judged
from probes.images import compared, decoded, jpegs
from probes.peers import ours, plain, rate
from streamaug import ops, recipes

PAIRS = 5
#: `hybrid_huffman_threshold`, pixels of an image above which the GPU helps to decode the Huffman codes: all images,
#: DALI's default, none.
HUFFMAN = (0, 1_000_000, 2**31 - 1)
FILES = 500


def _load(settings: Settings):
    """(files, images a batch, CPU threads)."""
    return jpegs(settings, settings.count(FILES)), settings.count(256), len(os.sched_getaffinity(0))


def _measured(text: str, figures) -> Finding:
    return Finding(verdict=OK, summary=text, figures=figures)


def pairs(settings: Settings) -> Finding:
    """`imagenet_train` beside plain DALI at load 0 and at its default, in turns."""
    data, batch, cores = _load(settings)
    rounds, seconds = (PAIRS, settings.seconds / (4 * PAIRS)) if settings.on_gpu else (1, 0.0)
    runs = {
        "streamaug": ours(settings, data, batch, cores, recipes.imagenet_train()),
        "plain, load 0": plain(settings, data, batch, cores, load=0.0),
        "plain, default load": plain(settings, data, batch, cores),
    }
    rows = {name: [] for name in runs}
    names = list(runs)
    for turn in range(rounds):
        for name in names[turn % 3 :] + names[: turn % 3]:
            rows[name].append(rate(settings, runs[name], seconds)["images_per_second"])
    figures = {"batch": batch, "cores": cores, "images_per_second": rows, "ratio": {}}
    for peer in names[1:]:
        quotients = [a / b for a, b in zip(rows["streamaug"], rows[peer], strict=True)]
        middle = median_interval(quotients) if len(quotients) > 1 else quotients[0]
        figures["ratio"][peer] = str(middle)
    text = "; ".join(f"{value} of {peer}" for peer, value in figures["ratio"].items())
    return _measured(f"batch {batch}, {cores} cores: {text}", figures)


def decoding(settings: Settings) -> Finding:
    """The decoder alone, at each load: no loader is faster than this."""
    data, batch, cores = _load(settings)
    figures = {"batch": batch, "cores": cores}
    loads = (0.0, 0.65, 1.0) if settings.on_gpu else (None,)
    for load in loads:
        images = plain(settings, data, batch, cores, load=load, only_decode=True)
        figures[f"load {load}"] = rate(settings, images, settings.seconds / 8 if settings.on_gpu else 0.0)
    lines = [f"{name}: {row['images_per_second']:.0f}" for name, row in figures.items() if isinstance(row, dict)]
    return _measured(f"images/s at {', '.join(lines)}", figures)


def huffman(settings: Settings) -> Finding:
    """The Huffman threshold to take: the fastest at load 0 with which no pixel depends on the batch."""
    data, batch, cores = _load(settings)
    some = data[: settings.count(128)]
    figures, steady = {"batch": batch, "cores": cores}, {}
    for threshold in HUFFMAN if settings.on_gpu else HUFFMAN[1:2]:
        once, backwards, few = (
            decoded(some[::step], settings.device, load=0.0, huffman=threshold, batch=size)[::step]
            for step, size in ((1, None), (-1, None), (1, 7))
        )
        differ = compared(once, backwards)["differ"] + compared(once, few)["differ"]
        images = plain(settings, data, batch, cores, load=0.0, huffman=threshold, only_decode=True)
        row = rate(settings, images, settings.seconds / 10 if settings.on_gpu else 0.0)
        figures[f"threshold {threshold}"] = row | {"differ": differ}
        if differ == 0:
            steady[threshold] = row["images_per_second"]
    best = max(steady, key=steady.get, default=None)
    figures["take"] = best
    return judged(best is not None, f"take {best}: the fastest of those that leave pixels alone", figures)


def policies(settings: Settings) -> Finding:
    """Other recipes, and fewer threads."""
    data, batch, cores = _load(settings)
    named = {
        "train": (recipes.imagenet_train(), cores),
        "no antialias": (recipes.imagenet_train(antialias=False), cores),
        "erase": (recipes.imagenet_train(erase=0.25), cores),
        "trivial": (recipes.imagenet_train(policy=ops.TrivialAugmentWide()), cores),
        "rand": (recipes.imagenet_train(policy=ops.RandAugment()), cores),
        "jitter": (recipes.imagenet_train(jitter=0.4), cores),
    }
    named |= {f"train, {n} threads": (recipes.imagenet_train(), n) for n in (4, 8) if n < cores}
    figures = {"batch": batch, "cores": cores}
    for name, (recipe, threads) in named.items():
        images = ours(settings, data, batch, threads, recipe)
        figures[name] = rate(settings, images, settings.seconds / 16 if settings.on_gpu else 0.0)
        images.close()
    lines = [f"{name} {row['images_per_second']:.0f}" for name, row in figures.items() if isinstance(row, dict)]
    return _measured(f"images/s: {', '.join(lines)}", figures)


def resnet50(settings: Settings) -> Finding:
    """A ResNet-50 in bfloat16 and channels_last, on our batches and on a synthetic one; its share of waiting."""
    from models import find_model

    data, batch, cores = _load(settings)
    build, source = find_model("resnet50" if settings.on_gpu else "tiny_resnet")
    model = build(num_classes=1000).to(settings.torch_device, memory_format=torch.channels_last)
    optimizer, loss = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), torch.nn.CrossEntropyLoss()
    targets = torch.zeros(batch, dtype=torch.int64, device=settings.torch_device)
    waited = 0.0

    def trained(images):
        nonlocal waited
        while True:
            asked = time.perf_counter()
            batch_of_images = next(images)
            waited += time.perf_counter() - asked
            with torch.autocast(settings.torch_device, torch.bfloat16):
                value = loss(model(batch_of_images.contiguous(memory_format=torch.channels_last)), targets)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            yield batch_of_images

    seconds = settings.seconds / 4 if settings.on_gpu else 0.0
    figures = {"model": source, "batch": batch, "cores": cores}
    synthetic = torch.randn(batch, 3, 224, 224, device=settings.torch_device)
    figures["synthetic"] = rate(settings, trained(itertools.repeat(synthetic)), seconds)
    images, start, waited = ours(settings, data, batch, cores, recipes.imagenet_train()), time.perf_counter(), 0.0
    figures["streamaug"] = rate(settings, trained(images), seconds)
    figures["waited"] = round(waited / (time.perf_counter() - start), 4)
    kept = figures["streamaug"]["images_per_second"] / figures["synthetic"]["images_per_second"]
    figures["share_of_synthetic"] = round(kept, 4)
    return _measured(f"{kept:.1%} of the speed on synthetic data, {figures['waited']:.1%} of the time waited", figures)
