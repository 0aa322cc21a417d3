"""The examples of docs/operations.md run, one after the other."""

import contextlib
import io
import re
from pathlib import Path

import numpy as np
import torch
from conftest import drawn_samples, write_shard

import streamaug as sa

PAGE = Path(__file__).resolve().parents[1] / "docs" / "operations.md"


def test_the_examples_run_and_do_what_they_say(tmp_path, monkeypatch):
    folder = tmp_path / "demo" / "data"
    folder.mkdir(parents=True)
    samples = [
        (key, 999 if number % 9 == 0 else label % 999, jpeg)
        for number, (key, label, jpeg) in enumerate(drawn_samples(160))
    ]
    for number in range(8):
        write_shard(folder / f"train-{number:06d}.tar", samples[20 * number : 20 * (number + 1)])
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "operations"}
    printed = io.StringIO()
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 3
    with contextlib.redirect_stdout(printed):
        for block in blocks:
            exec(compile(block, "operations.md", "exec"), names)
    text = printed.getvalue()
    assert "Perspective" in text
    assert "(64, 3, 64, 64)" in text.splitlines()[-1]
    assert int(text.split()[-1]) <= 99
    own = names["own"]
    shards = sa.ShardSet.open(str(folder / "train-{000000..000007}.tar"))
    plain = sa.Recipe([sa.ops.Resize(64)], output=own.output)
    images = []
    for recipe in (plain, own):
        reader = sa.ShardReader(shards, batch_size=160, shuffle=False)
        images.append(next(iter(reader.augment(recipe, device="cpu"))).images)
    changed = [not torch.equal(a, b) for a, b in zip(*images, strict=True)]
    assert 0.3 * 160 < sum(changed) < 0.7 * 160
    ratio = [(b.mean((1, 2)) / a.mean((1, 2))).numpy() for a, b in zip(*images, strict=True)]
    assert np.ptp(ratio) > 0.5
