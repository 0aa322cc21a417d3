"""Operations and mixing: whether the GPU's arithmetic is the CPU's, and a function of the sample alone."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import streamaug
from probes.finding import Settings, judged
from probes.images import jpegs, pngs
from streamaug import MixPlan, Output, Recipe, ops, recipes
from streamaug.batch import Origin
from streamaug.mix import apply

BORDERS = ("constant", "replicate", "reflect", "reflect_101", "wrap")
#: The GPU codes JPEGs with a DCT of its own: DALI's tests allow a mean of 5 levels.
JPEG_MEAN = 5.0


def every_recipe():
    """{name: recipe}: every operation alone, as the tests of the graphs have them, and every border; uint8."""
    path = Path(streamaug.__file__).resolve().parents[1] / "tests/dali/test_graphs.py"
    spec = importlib.util.spec_from_file_location("test_graphs", path)
    graphs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(graphs)
    output = Output(dtype="uint8")
    found = {name: replace(recipe, output=output) for name, recipe in graphs._RECIPES.items() if not recipe.views}
    for border in BORDERS:
        warp = ops.Affine(degrees=40, scale=(0.3, 1.5), translate=(0.3, 0.3), border=border)
        found[f"affine {border}"] = Recipe([ops.Resize(64), warp], output)
    return found


def operations(settings: Settings):
    """Every operation on losslessly coded pictures, which both devices decode alike: only the operation differs."""
    from augmenting import augmented

    data, figures, wrong = pngs(settings.count(48)), {}, []
    for name, recipe in every_recipe().items():
        try:
            ours, theirs = (augmented(recipe, data, device=device).cpu().int() for device in (settings.device, "cpu"))
        except RuntimeError as error:
            figures[name] = {"error": str(error).strip().splitlines()[-1][:200]}
            wrong.append(name)
            continue
        levels = (ours - theirs).abs()
        mean, most = float(levels.double().mean()), int(levels.max())
        figures[name] = {"mean": round(mean, 3), "max": most, "over 2": round(float((levels > 2).double().mean()), 5)}
        if most > 2 and not ("jpeg" in name.lower() and mean < JPEG_MEAN):
            wrong.append(name)
    return judged(not wrong, f"{len(figures)} recipes; over 2 levels: {', '.join(wrong) or 'none'}", figures)


def function(settings: Settings):
    """Pixels are a function of the sample, for any batch size, threads and prefetching."""
    from augmenting import augmented

    figures, output = {}, Output(dtype="uint8")
    train = {
        "one warp": recipes.imagenet_train(size=96, antialias=False),
        "erase": recipes.imagenet_train(size=96, erase=1.0),
        "jitter": recipes.imagenet_train(size=96, jitter=0.4),
        "trivial": recipes.imagenet_train(size=96, policy=ops.TrivialAugmentWide()),
    }
    for kind, data in (("png", pngs(settings.count(64))), ("jpeg", jpegs(settings, settings.count(256)))):
        for name, recipe in train.items():
            recipe = replace(recipe, output=output)
            once = augmented(recipe, data, device=settings.device, batch_size=len(data), num_threads=8)
            for batch, threads, prefetch in ((1, 1, 1), (7, 3, 3)):
                part = data[:32] if batch == 1 else data
                other = augmented(
                    recipe, part, device=settings.device, batch_size=batch, num_threads=threads, prefetch=prefetch
                )
                changed = (once[: len(part)] != other).flatten(1).any(1)
                figures[f"{kind} {name} batch {batch}"] = int(changed.sum())
    changed = sum(figures.values())
    return judged(changed == 0, f"{changed} images changed with the batch", figures)


def mixing(settings: Settings):
    """Mixing against the CPU, in four types."""
    count, size = settings.count(256), 64
    positions, none = np.arange(count, dtype=np.int64), np.zeros(count, bool)
    origin = Origin(1, 0, 0, 1, positions, positions, tuple(map(str, positions)), none, none.copy())
    plan = MixPlan.draw(origin, height=size, width=size)
    figures, device = {}, settings.torch_device
    for dtype, allowed in ((torch.float32, 1e-4), (torch.float16, 0.25), (torch.bfloat16, 2.0), (torch.uint8, 1.0)):
        images = (torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0)) * 255).to(dtype)
        classes = torch.arange(count) % 10
        ours, our_targets = apply(images.to(device, copy=True), classes.to(device), plan, num_classes=10)
        theirs, targets = apply(images.clone(), classes, plan, num_classes=10)
        levels = float((ours.cpu().float() - theirs.float()).abs().max())
        share = float((our_targets.cpu() - targets).abs().max())
        figures[str(dtype)] = {"levels": levels, "targets": share, "fine": levels <= allowed and share <= 1e-6}
    return judged(all(row["fine"] for row in figures.values()), "four types against the CPU", figures)
