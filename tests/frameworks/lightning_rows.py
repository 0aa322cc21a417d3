"""Fits of Lightning's Trainer, by name: an unbroken one that saves checkpoints, and one from each of these.

As a program, it runs all rows as one of two ranks; the tests run them in their own process.
"""

import json
import os
import sys
import warnings
from pathlib import Path

import lightning.pytorch as pl
import loops
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

from streamaug.integrations.lightning import LoaderState, StreamDataModule


class Model(pl.LightningModule):
    """Trains a classifier and notes what it is given."""

    def __init__(self, *, asks=False, stops_at=None):
        super().__init__()
        self.model = loops.Classifier()
        self.asks, self.stops_at, self.seen, self.validated, self.batches = asks, stops_at, [], [], 0

    def training_step(self, batch, batch_idx):
        images, targets = batch
        self.seen.append([self.current_epoch, batch_idx, loops.digest(images, targets)])
        if self.stops_at == self.global_step:
            raise KeyboardInterrupt
        loss = loops.loss_of(self.model(images), targets)
        self.log("loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.validated.append([self.current_epoch, batch_idx, batch.origin.epoch, batch.origin.step])
        self.log("size", float(len(batch.targets)))

    def configure_optimizers(self):
        if self.asks:
            assert self.trainer.estimated_stepping_batches > 0
        return torch.optim.SGD(self.parameters(), 0.01)


#: name: (options of the Trainer, whether estimated_stepping_batches is asked for, how the chain is handed over)
ROWS = {
    "plain": ({}, False, "chain"),
    "asked": ({}, True, "chain"),
    "checked by steps": ({"val_check_interval": 4}, False, "chain"),
    "checked by parts": ({"val_check_interval": 0.5}, True, "module"),
    "limited": ({"limit_train_batches": 4}, False, "chain"),
    "limited, asked": ({"limit_train_batches": 0.5}, True, "module"),
    "reloaded": ({"reload_dataloaders_every_n_epochs": 1}, False, "module"),
    "reloaded, asked": ({"reload_dataloaders_every_n_epochs": 1}, True, "module"),
    "by steps": ({"max_steps": 16, "max_epochs": None}, False, "chain"),
    "in a DataLoader": ({}, False, "loader"),
    "in a StatefulDataLoader": ({}, False, "stateful"),
    "in half precision": ({"precision": "bf16-true"}, False, "chain"),
    "accumulated": ({"accumulate_grad_batches": 4}, False, "chain"),
}
#: Rows that two ranks run, which take longer.
OF_TWO = ("plain", "asked", "checked by parts", "limited, asked", "reloaded, asked", "by steps")


def trainer(folder, options, *, ranks=1, callbacks=()):
    more = {"strategy": "ddp", "devices": ranks} if ranks > 1 else {"devices": 1}
    options = {"max_epochs": loops.EPOCHS, "num_sanity_val_steps": 1, "limit_val_batches": 2} | more | options
    return pl.Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[LoaderState(), *callbacks],
        **options,
    )


def handed_over(url, way, ranks):
    """What `fit` is given besides the model."""

    def train():
        return loops.mixed(url, ranks=ranks)

    def val():
        return loops.evaluated(url, ranks=ranks)

    if way == "module":
        return {"datamodule": StreamDataModule(train=train, val=val)}
    chain = train()
    if way != "chain":
        chain = {"loader": DataLoader, "stateful": StatefulDataLoader}[way](chain.as_dataset(), batch_size=None)
    return {"train_dataloaders": chain, "val_dataloaders": val()}


def fit(url, folder, name, *, ranks=1, checkpoint=None, saves=()):
    """The model of one fit: `seen` is [trainer epoch, batch_idx, digest] of each step."""
    options, asks, way = ROWS[name]
    model = Model(asks=asks)
    given = handed_over(url, way, ranks)
    trainer(folder, options, ranks=ranks, callbacks=saves).fit(model, **given, ckpt_path=checkpoint)
    return model


def batches_done(path):
    """How many batches were trained on when a checkpoint was saved."""
    progress = torch.load(path, weights_only=True)["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]
    return progress["processed"]


def row(url, folder, name, *, ranks=1):
    """An unbroken fit, and for each checkpoint of it the batches done, and what a fit from there was given."""
    folder = Path(folder)
    every = 2 if name == "accumulated" else 1
    savers = {
        "steps": {"every_n_train_steps": every},
        "ends": {"save_on_train_epoch_end": True},
        "validations": {"save_on_train_epoch_end": False, "mode": "max"},  # another mode gives it a key of its own
    }
    saves = [ModelCheckpoint(folder / kind, "{step}", save_top_k=-1, **when) for kind, when in savers.items()]
    whole = fit(url, folder, name, ranks=ranks, saves=saves)
    paths = sorted((path for kind in savers for path in (folder / kind).iterdir()), key=os.path.getmtime)
    done = {path: batches_done(path) for path in paths}
    steps = (3, 4, 9) if "checked" in name else ()
    wanted = {"steps": (2, 6, 8), "ends": range(len(whole.seen)), "validations": steps}
    resumed = [
        [path.parent.name, done[path], fit(url, folder, name, ranks=ranks, checkpoint=path).seen]
        for path in paths
        if done[path] in wanted[path.parent.name]
    ]
    return {"whole": whole.seen, "validated": whole.validated, "resumed": resumed}


def main(folder, url):
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    warnings.simplefilter("ignore")
    found = {name: row(url, f"{folder}/{name}", name, ranks=ranks) for name in OF_TWO}
    found["places"] = loops.places(url, loops.mixed, rank=rank, ranks=ranks)
    Path(f"{folder}/{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
