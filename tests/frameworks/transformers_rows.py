"""Trainings of Hugging Face's Trainer, by name, as one of one or of two ranks."""

import json
import os
import sys
import warnings
from pathlib import Path

import loops
import numpy as np
import torch
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments

from streamaug.integrations.accelerate import prepare
from streamaug.integrations.transformers import LoaderState, StreamTrainerMixin


class Model(torch.nn.Module):
    """Notes what it trains on; its logits tell an image by its pixels."""

    def __init__(self):
        super().__init__()
        self.model, self.seen, self.updates = loops.Classifier(), [], 0

    def forward(self, pixel_values, labels=None):
        logits = self.model(pixel_values)
        if self.training:
            self.seen.append(loops.digest(pixel_values, labels))
        return {"loss": loops.loss_of(logits, labels), "logits": logits}


class ChainTrainer(StreamTrainerMixin, Trainer):
    pass


class PreparedTrainer(Trainer):
    """A Trainer of somebody who writes his loader himself."""

    def __init__(self, *args, chain, **options):
        super().__init__(*args, **options)
        self.chain = chain

    def get_train_dataloader(self):
        return prepare(self.accelerator, self.chain.as_dicts())


def arguments(folder, ranks, **options):
    options = {"num_train_epochs": 2, "save_steps": 2} | options
    return TrainingArguments(
        output_dir=folder,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        logging_steps=1,
        save_strategy="steps",
        per_device_train_batch_size=16 // ranks,
        per_device_eval_batch_size=16 // ranks,
        **options,
    )


def train(url, folder, ranks, way, options, checkpoint=None):
    """(digests of the batches, optimizer steps) of a training."""
    model, chain = Model(), loops.mixed(url, ranks=ranks)
    args = arguments(folder, ranks, **options)
    if way == "mixin":
        trainer = ChainTrainer(model, args, train_stage=chain)
    else:
        trainer = PreparedTrainer(model, args, chain=chain, callbacks=[LoaderState()])
    trainer.train(resume_from_checkpoint=checkpoint)
    return model.seen, trainer.state.global_step


#: name: (the loader, options, batches an optimizer step, saved steps to go on from)
ROWS = {
    "mixin": ("mixin", {}, 1, (4, 6, 8)),
    "accumulated": ("mixin", {"gradient_accumulation_steps": 4, "save_steps": 1}, 4, (1, 2, 3)),
    "prepared": ("prepared", {}, 1, (4, 6)),
}


def row(url, folder, name, ranks):
    way, options, _, saved = ROWS[name]
    whole, steps = train(url, folder, ranks, way, options)
    resumed = [train(url, folder, ranks, way, options, f"{folder}/checkpoint-{step}") for step in saved]
    return {"whole": whole, "steps": steps, "resumed": resumed}


def evaluate(url, folder, ranks):
    """The labels that metrics are computed of, the loss, and what evaluating within a training gives."""
    labels = []

    def metrics(prediction):
        labels.append(prediction.label_ids.tolist())
        return {"rows": len(prediction.label_ids)}

    torch.manual_seed(0)
    model = Model()
    model.model = loops.Classifier()
    trainer = ChainTrainer(
        model,
        arguments(folder, ranks, num_train_epochs=1, eval_strategy="steps", eval_steps=3, save_steps=100),
        train_stage=loops.mixed(url, ranks=ranks),
        eval_stage=loops.evaluated(url, ranks=ranks),
        compute_metrics=metrics,
    )
    before = trainer.evaluate()
    trainer.train()
    predicted = trainer.predict(loops.evaluated(url, ranks=ranks))
    return {
        "loss": before["eval_loss"],
        "rows": [before["eval_rows"], int(np.shape(predicted.predictions)[0])],
        "labels": labels,
        "seen": model.seen,
    }


def exact_loss(url):
    """The mean loss of the 97 images under the model that `evaluate` begins with."""
    torch.manual_seed(0)
    Model()
    model = loops.Classifier()
    losses = []
    for batch in loops.evaluated(url):
        kept = torch.from_numpy(~batch.origin.is_padding)
        losses += torch.nn.functional.cross_entropy(model(batch.images), batch.targets, reduction="none")[kept].tolist()
    return float(np.mean(losses))


def wrapped(url, folder, ranks):
    """A DataLoader over the chain, of one's own: what resuming in the middle says."""

    class OwnTrainer(PreparedTrainer):
        def get_train_dataloader(self):
            return DataLoader(self.chain.as_dicts().as_dataset(), batch_size=None)

    def run(checkpoint=None):
        model = Model()
        trainer = OwnTrainer(
            model, arguments(folder, ranks), chain=loops.mixed(url, ranks=ranks), callbacks=[LoaderState()]
        )
        trainer.train(resume_from_checkpoint=checkpoint)
        return model.seen

    return run


def main(folder, url):
    warnings.simplefilter("ignore")
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    found = {name: row(url, f"{folder}/{name}", name, ranks) for name in ("mixin", "accumulated")}
    found["evaluated"] = evaluate(url, f"{folder}/evaluated", ranks)
    found["places"] = loops.places(url, loops.mixed, rank=rank, ranks=ranks)
    Path(f"{folder}/{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
