"""The programs of pipelines/, run as a user runs them: real processes, real signals, real ranks."""

import re
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from programs import MODEL, read_log, run, run_until, training, weights

pytestmark = pytest.mark.slow


def test_drawing_again_writes_the_same_bytes(shards, tmp_path):
    run("demo_dataset.py", tmp_path, "--train", 256, "--val", 50)
    first = sorted(Path(shards[0]).parent.glob("*.tar"))
    assert len(first) == 10
    assert all(path.read_bytes() == (tmp_path / path.name).read_bytes() for path in first)


def test_a_run_is_given_every_step_of_every_epoch_and_evaluates(shards, whole):
    _, log, _ = whole
    assert list(log) == [(epoch, step) for epoch in range(2) for step in range(8)]
    assert all(len(rows) == 32 for rows in log.values())
    assert log[0, 0] != log[1, 0]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 138)])
def test_a_stopped_run_goes_on_with_the_very_next_batch(shards, whole, interruptible, tmp_path, number, code):
    _, log, end = whole
    program = training(shards, tmp_path, "run")
    returned, output = run_until("epoch 1  step 3/8", number, *program)
    assert returned == code, output
    before = read_log(tmp_path / "run")
    assert "stopped in epoch 1" in output
    assert 3 <= len(before) < 8
    output = run(*program)
    after = read_log(tmp_path / "run")
    assert f"resumed in epoch 1 at position {32 * len(before)}" in output
    assert after == log
    assert weights(output) == end


def test_a_killed_run_goes_back_to_its_last_checkpoint(shards, whole, tmp_path):
    _, log, end = whole
    program = [*training(shards, tmp_path, "run"), "--save-every", 2]
    returned, output = run_until("epoch 2  step 5/8", signal.SIGKILL, *program)
    assert returned == -signal.SIGKILL, output
    output = run(*program)
    assert re.search(r"resumed in epoch 2 at position (128|192)\n", output), output
    assert read_log(tmp_path / "run") == log  # steps delivered twice were alike, or this raises
    assert weights(output) == end


def test_two_ranks_are_given_the_global_batches_of_one(shards, whole, tmp_path):
    _, log, _ = whole
    output = run(*training(shards, tmp_path, "run", batch_size=16), ranks=2)
    assert "done: 2 epochs" in output
    assert len(list((tmp_path / "run").glob("rank*.jsonl"))) == 2
    assert read_log(tmp_path / "run") == log


def test_two_ranks_stop_together_and_one_goes_on(shards, whole, tmp_path):
    _, log, _ = whole
    _, output = run_until(
        "epoch 1  step 3/8", signal.SIGTERM, *training(shards, tmp_path, "run", batch_size=16), ranks=2
    )
    assert "stopped in epoch 1" in output
    before = read_log(tmp_path / "run")
    assert 3 <= len(before) < 8
    assert all(len(rows) == 32 for rows in before.values())
    output = run(*training(shards, tmp_path, "run", batch_size=32))
    assert f"resumed in epoch 1 at position {32 * len(before)}" in output
    assert read_log(tmp_path / "run") == log


@pytest.mark.parametrize(("program", "more"), [("imagenet_eval.py", []), ("imagenet_tta.py", ["--views", "hflip"])])
def test_evaluation_is_the_same_on_any_number_of_ranks(shards, whole, program, more):
    folder, _, _ = whole
    arguments = [program, "--val", shards[1], "--checkpoint", folder / "run.pt", *MODEL, "--batch-size", 16, *more]
    alone = run(*arguments)
    assert "50 images" in alone
    lines = [line for line in run(*arguments, ranks=2).splitlines() if "top-1" in line or "50 images" in line]
    assert lines == alone.splitlines()


def test_a_checkpoint_is_not_overwritten_by_accident(shards, whole):
    folder, _, _ = whole
    written = (folder / "run.pt").read_bytes()
    output = run("imagenet_train.py", "--train", shards[0], *MODEL, "--checkpoint", folder / "run.pt", expect=2)
    assert "exists. Pass --resume" in output
    assert (folder / "run.pt").read_bytes() == written


def test_a_finished_run_has_nothing_left_to_do(shards, whole, tmp_path):
    folder, _, end = whole
    output = run(*training(shards, folder, "run"))
    assert weights(output) == end
    assert "step" not in output
    state = torch.load(folder / "run.pt", weights_only=True)
    assert (state["loader"]["epoch"], state["loader"]["position"]) == (2, 0)


def test_the_preview_is_drawn(shards, tmp_path):
    run("preview.py", "--shards", shards[0], "--output", tmp_path / "preview.png")
    image = Image.open(tmp_path / "preview.png")
    assert image.width > 900
    assert len(image.convert("RGB").getcolors(1 << 24)) > 10000


def test_no_caption_reaches_into_the_next_column(shards, tmp_path):
    names = tmp_path / "classes.txt"
    names.write_text("\n".join(f"great white shark of kind {number}" for number in range(10)) + "\n")
    run("preview.py", "--shards", shards[0], "--classes", names, "--output", tmp_path / "preview.png")
    pixels = np.asarray(Image.open(tmp_path / "preview.png").convert("L"))
    gaps = [pixels[68:, 136 + 176 * column - 14 : 136 + 176 * column] for column in range(1, 6)]
    assert all(gap.min() == 255 for gap in gaps)
