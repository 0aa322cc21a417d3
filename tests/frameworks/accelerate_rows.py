"""Loops of Accelerate, by name, as one of one or of two ranks."""

import json
import os
import sys
import warnings
from pathlib import Path

import loops
import torch
from accelerate import Accelerator, skip_first_batches
from torch.utils.data import DataLoader

from streamaug.integrations.accelerate import prepare


def attempt(action):
    """What it returns, or the class and the message of what it raises."""
    try:
        return action()
    except Exception as error:  # noqa: BLE001 - the test looks at it
        return [type(error).__name__, str(error)]


def loop(url, folder, ranks):
    """Two epochs and a half, saved by steps; then each state resumed."""
    accelerator = Accelerator(cpu=True)
    loader = prepare(accelerator, loops.mixed(url, ranks=ranks))
    model = accelerator.prepare(loops.Classifier())
    seen = []
    while len(seen) < 15:
        for images, targets in loader:
            accelerator.backward(loops.loss_of(model(images), targets))
            seen.append(loops.digest(images, targets))
            if len(seen) in (4, 6, 9):
                accelerator.save_state(f"{folder}/{len(seen)}")
            if len(seen) == 15:
                break
    resumed = {}
    for done in (4, 6, 9):
        accelerator = Accelerator(cpu=True)
        loader = prepare(accelerator, loops.mixed(url, ranks=ranks))
        accelerator.prepare(loops.Classifier())
        accelerator.load_state(f"{folder}/{done}")
        rest = []
        first = loader if done % loops.STEPS == 0 else accelerator.skip_first_batches(loader, done % loops.STEPS)
        for source in (first, loader, loader):
            rest += [loops.digest(*batch) for batch in source]
        resumed[done] = rest[: 15 - done]
    return {"whole": seen, "resumed": resumed}


def skipping(url, folder, ranks):
    """An epoch's rest without a state, and how many samples were read for it."""
    accelerator = Accelerator(cpu=True)
    made = []
    chain = loops.plain(url, ranks=ranks).map_batch(lambda batch: made.append(batch.origin.step) or batch)
    loader = prepare(accelerator, chain)
    rest = [[b.origin.epoch, b.origin.step] for b in skip_first_batches(loader, 4)]
    following = [[b.origin.epoch, b.origin.step] for b in loader]
    return {"rest": rest, "following": following, "made": made[:2]}


def accumulating(url, folder, ranks):
    """The steps at which the optimizer moves, of 4 batches an update: at the epoch's end too, also when resumed."""
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=4)
    loader = prepare(accelerator, loops.mixed(url, ranks=ranks))
    model = accelerator.prepare(loops.Classifier())
    moved = []
    for source in (loader, loader, accelerator.skip_first_batches(loader, 4)):
        for images, targets in source:
            with accelerator.accumulate(model):
                accelerator.backward(loops.loss_of(model(images), targets))
                moved.append(bool(accelerator.sync_gradients))
    return moved


def evaluating(url, folder, ranks):
    """What gather_for_metrics gives over an epoch: sample ids and labels, tensors and objects; by TTA too."""
    accelerator = Accelerator(cpu=True)
    gathered = {"tensors": [], "objects": [], "predictions": []}
    loader = prepare(accelerator, loops.evaluated(url, ranks=ranks))
    for batch in loader:
        ids = torch.from_numpy(batch.origin.sample_ids)
        gathered["tensors"] += accelerator.gather_for_metrics(ids).tolist()
        gathered["objects"] += accelerator.gather_for_metrics(ids.tolist(), use_gather_object=True)
    model = loops.Classifier()
    predicting = prepare(accelerator, loops.evaluated(url, ranks=ranks, views=True).tta(model))
    for prediction in predicting:
        gathered["predictions"] += accelerator.gather_for_metrics(
            (prediction.probabilities, torch.from_numpy(prediction.origin.sample_ids))
        )[1].tolist()
    return gathered


def wrapped(url, folder, ranks):
    """What a DataLoader that somebody makes himself gives: steps, or an error; on rank 0, which alone reads."""
    accelerator = Accelerator(cpu=True)
    found = {}
    pairs = loops.plain(url, ranks=ranks)
    makes = {"batches": pairs, "tuples": pairs.as_tuples(), "dicts": pairs.as_dicts()}
    for name, stage in makes.items():
        loader = accelerator.prepare(DataLoader(stage.as_dataset(), batch_size=None))
        if ranks == 1:
            found[name] = attempt(lambda loader=loader: [len(list(loader)) for _ in range(2)])
            skipped = accelerator.skip_first_batches(loader, 2)
            found[f"{name}, skipped"] = attempt(lambda skipped=skipped: len(list(skipped)))
            batched = accelerator.prepare(DataLoader(stage.as_dataset(), batch_size=2))
            found[f"{name}, batched"] = attempt(lambda batched=batched: len(list(batched)))
        elif accelerator.is_main_process:
            found[name] = attempt(lambda loader=loader: next(loader._fetch_batches(iter(loader.base_dataloader))))
    chain = loops.plain(url, ranks=ranks)
    found["chain itself"] = accelerator.prepare(chain) is chain
    return found


ROWS = {
    "loop": loop,
    "skipping": skipping,
    "accumulating": accumulating,
    "evaluating": evaluating,
    "wrapped": wrapped,
}


def main(folder, url):
    warnings.simplefilter("ignore")
    Accelerator(cpu=True)
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    found = {}
    for name, row in ROWS.items():
        Path(f"{folder}/{name}").mkdir(exist_ok=True)
        found[name] = row(url, f"{folder}/{name}", ranks)
    found["places"] = loops.places(url, loops.mixed, rank=rank, ranks=ranks)
    Path(f"{folder}/{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
