"""imagenet_train.py with all of its flags on: what weeks of training need of it."""

import json
import re
import signal
import zipfile

import pytest
import torch
from programs import MODEL, TRAINING, records, run, run_until, training

pytestmark = pytest.mark.slow

EVERYTHING = """
    --model tiny_resnet --bf16 --channels-last --compile aot_eager --optimizer adamw --lr 0.01 --min-lr 0.0001
    --accumulate 3 --clip-norm 1 --ema 0.9 --warmup-epochs 0.5 --weight-decay 0.01
    --mixup-alpha 0.4 --cutmix-alpha 0.8 --mix-probability 0.9 --switch-probability 0.4
    --label-smoothing 0.2 --policy trivial --erase 0.25 --jitter 0.2 --size 64 --progressive 32
    --keep 2 --save-every 1 --mix-off-epoch 1
"""


def losses(path):
    """{(epoch, step): loss}; a step that was trained twice must have had one loss."""
    known = {}
    for row in records(path, "step"):
        assert known.setdefault((row["epoch"], row["step"]), row["loss"]) == row["loss"]
    return known


def accuracies(path):
    """{(epoch, weights): (top-1, top-5, images)}."""
    rows = records(path, "validation")
    return {(row["epoch"], row["weights"]): (row["top1"], row["top5"], row["images"]) for row in rows}


def everything(shards, folder):
    return [
        *training(shards, folder, "run"),
        *EVERYTHING.split(),
        "--val",
        shards[1],
        "--log-file",
        folder / "run.jsonl",
    ]


def test_a_run_with_every_flag_on_is_killed_and_ends_with_the_losses_of_an_unbroken_one(shards, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(*everything(shards, whole))
    # Batches 1 to 3, 4 to 6 and the 2 that are left of 8: three updates an epoch.
    assert list(losses(whole / "run.jsonl")) == [(epoch, step) for epoch in (1, 2) for step in (3, 6, 8)]
    assert [row["size"] for row in records(whole / "run.jsonl", "step")] == [32] * 3 + [64] * 3
    returned, output = run_until("epoch 1  step 6/8", signal.SIGKILL, *everything(shards, broken))
    assert returned == -signal.SIGKILL, output
    returned, output = run_until("epoch 2  step 3/8", signal.SIGUSR1, *everything(shards, broken))
    assert returned == 128 + signal.SIGUSR1, output
    assert re.search(r"resumed in epoch 1 at position (96|192)\n", output), output
    output = run(*everything(shards, broken))
    assert "resumed in epoch 2" in output
    assert losses(broken / "run.jsonl") == losses(whole / "run.jsonl")
    assert accuracies(broken / "run.jsonl") == accuracies(whole / "run.jsonl")
    done = [records(folder / "run.jsonl", "done")[0]["weights"] for folder in (whole, broken)]
    assert done[0] == done[1]
    averages = [torch.load(folder / "run.pt", weights_only=True)["ema"] for folder in (whole, broken)]
    assert averages[0]["updates"] == averages[1]["updates"] == 6
    for name, values in averages[0]["model"].items():
        assert torch.equal(values, averages[1]["model"][name]), name
    assert sorted(path.name for path in broken.glob("*.pt")) == ["run.1.pt", "run.pt"]
    weights = [
        "imagenet_eval.py",
        "--val",
        shards[1],
        "--checkpoint",
        whole / "run.pt",
        *MODEL,
        "--size",
        "64",
        "--ema",
    ]
    top1, top5, images = accuracies(whole / "run.jsonl")[2, "average"]
    assert run(*weights, *MODEL, "--size", "64", "--ema") == f"top-1 {top1:.2%}, top-5 {top5:.2%} of {images} images\n"


def test_a_torn_checkpoint_is_passed_over_with_a_warning(shards, whole, tmp_path):
    program = [*training(shards, tmp_path, "run"), "--save-every", 1]
    run_until("epoch 1  step 6/8", signal.SIGTERM, *program)
    newest = tmp_path / "run.pt"
    newest.write_bytes(newest.read_bytes()[:-1000])
    before = torch.load(tmp_path / "run.1.pt", weights_only=True)["loader"]["position"]
    output = run(*program)
    assert f"warning: the checkpoint {newest} is torn" in output
    assert f"resumed in epoch 1 at position {before}\n" in output
    assert output.rstrip().endswith(f"weights {whole[2]}")
    assert not zipfile.is_zipfile(tmp_path / "run.pt.torn")


def test_an_epoch_that_a_signal_ended_before_its_evaluation_is_evaluated_after_all(shards, tmp_path):
    files = ["--val", shards[1], "--log-file", tmp_path / "run.jsonl"]
    program = [*training(shards, tmp_path, "run"), "--epochs", "1", *files]
    run_until("epoch 1  step 8/8", signal.SIGTERM, *program)
    run(*program)
    assert accuracies(tmp_path / "run.jsonl")[1, "model"][2] == 50


def test_two_ranks_stop_on_the_notice_that_one_gets_and_count_each_image_once(shards, tmp_path):
    log = tmp_path / "run.jsonl"
    flags = [
        *["--accumulate", "2", "--ema", "0.5", "--clip-norm", "1", "--bf16"],
        "--val",
        shards[1],
        "--log-file",
        log,
    ]
    program = [*training(shards, tmp_path, "run", batch_size=16), *flags]

    def second_rank():
        return records(log, "begin")[0]["processes"][1]["pid"]

    _, output = run_until("epoch 1  step 4/8", signal.SIGUSR1, *program, ranks=2, to=second_rank)
    assert "stopped in epoch 1" in output
    run(*program, ranks=2)
    unbroken = [*program, "--checkpoint", tmp_path / "unbroken.pt", "--log-file", tmp_path / "unbroken.jsonl"]
    run(*unbroken, "--log-batches", tmp_path / "other", ranks=2)
    assert losses(log) == losses(tmp_path / "unbroken.jsonl")
    assert accuracies(log) == accuracies(tmp_path / "unbroken.jsonl")
    assert {images for _, _, images in accuracies(log).values()} == {50}
    for weights, flag in (("model", []), ("average", ["--ema"])):
        alone = run("imagenet_eval.py", "--val", shards[1], "--checkpoint", tmp_path / "run.pt", *MODEL, *flag)
        top1, top5, images = accuracies(log)[2, weights]
        assert alone == f"top-1 {top1:.2%}, top-5 {top5:.2%} of {images} images\n"


def test_accumulated_gradients_are_those_of_the_larger_batch(shards, tmp_path):
    """Without batch norm, whose statistics are those of the smaller batches."""
    model = tmp_path / "plain_model.py"
    model.write_text(
        "from torch import nn\n\n\ndef plain(num_classes):\n"
        "    return nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, num_classes))\n"
    )
    digests = []
    for batch_size, accumulate in ((32, 1), (8, 4)):
        log = tmp_path / f"{batch_size}.jsonl"
        command = ["imagenet_train.py", "--train", shards[0], *MODEL, *TRAINING, "--mix", "none", "--log-file", log]
        command += ["--model", "plain_model:plain", "--checkpoint", tmp_path / f"{batch_size}.pt", "--lanes", "8"]
        run(*command, "--batch-size", batch_size, "--accumulate", accumulate, path=tmp_path)
        digests.append([json.dumps(row["loss"])[:6] for row in records(log, "step")])
    assert digests[0] == digests[1]
    assert len(digests[0]) == 16


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (["--keep", "0"], "--keep: must be at least 1, got 0."),
        (["--ema", "1"], "--ema: must lie between 0 and 1"),
        (["--warmup-epochs", "2"], "--warmup-epochs: must be below --epochs"),
        (["--progressive", "64"], "--progressive: must not exceed --size"),
        (["--resume", "none.pt"], "--resume: must be auto or a checkpoint, got none.pt."),
    ],
)
def test_wrong_flags_end_with_2_and_a_sentence(flags, error):
    assert error in run("imagenet_train.py", "--train", "none.tar", *MODEL, *TRAINING, *flags, expect=2)
