"""`streamaug batch` shows the very images that a step was given, from the step's number or a checkpoint."""

import io
import json
import re
import shutil
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from servers import http_proxy
from shards_on_disk import write_shards

import streamaug as sa
from streamaug.cli import main
from streamaug.cli.batch.page import pixels
from streamaug.cli.user_code import load_function

CHAIN = """
import dataclasses
import io

from PIL import Image

import streamaug as sa
from streamaug import recipes

def chain(url={url!r}):
    reader = sa.ShardReader(sa.ShardSet.open(url), batch_size=12 // {world_size}, seed=5, lanes=6, window=60)
    augmented = reader.augment(recipes.imagenet_train(size=24), device="cpu", num_threads=2)
    return augmented.mixup_or_cutmix(num_classes=1000)

def tuples():
    return chain().as_tuples()

class Halved(sa.Stage):
    def run(self, epoch_pass):
        for batch in self.source.run(epoch_pass):
            yield dataclasses.replace(batch, data=[half(data) for data in batch.data])

def half(data):
    file = io.BytesIO()
    Image.open(io.BytesIO(data)).reduce(2).save(file, "JPEG")
    return file.getvalue()

def smaller():
    reader = sa.ShardReader(sa.ShardSet.open({url!r}), batch_size=6, seed=5, lanes=6, window=60)
    return reader.pipe(Halved).augment(recipes.imagenet_train(size=24), device="cpu", num_threads=2)

def encoded():
    return sa.ShardReader(sa.ShardSet.open({url!r}), batch_size=4)

def fails():
    return [][1]

def number():
    return 3
"""


@pytest.fixture(scope="module")
def url(drawn, tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("batch"), "train", drawn[:120], [50, 30, 40])


@pytest.fixture
def program(url, tmp_path):
    """Writes the user's file; gives the argument for a function of it."""

    def written(function="chain", world_size=2, url=url):
        path = tmp_path / f"train{world_size}.py"
        path.write_text(CHAIN.format(url=str(url), world_size=world_size))
        return f"{path}:{function}"

    return written


def as_trained(program, monkeypatch, world_size=2, epoch=1, step=4):
    """What each rank's loop was given at a step, reached by iterating; and the state behind it."""
    make, out = load_function(program), []
    with monkeypatch.context() as environment:
        environment.setenv("WORLD_SIZE", str(world_size))
        for rank in range(world_size):
            environment.setenv("RANK", str(rank))
            with make() as chain:
                for _ in range(epoch):
                    for _ in chain:
                        pass
                out.append(next(batch for number, batch in enumerate(chain) if number == step))
                state = chain.state_dict()
    return out, state


def facts(capsys, *arguments):
    assert main(["batch", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_step_is_given_back_bit_for_bit(program, capsys, tmp_path, monkeypatch):
    function, saved = program(), tmp_path / "step.pt"
    trained, state = as_trained(function, monkeypatch)
    place = ["--epoch", "1", "--step", "4", "--world-size", "2"]
    given = facts(capsys, function, *place, "--save-tensors", str(saved))
    tensors = torch.load(saved, weights_only=True)
    assert [rank["rank"] for rank in tensors] == [0, 1]
    rows = iter(given["rows"])
    for rank, batch in zip(tensors, trained, strict=True):
        assert torch.equal(rank["delivered"]["images"], batch.images)
        assert torch.equal(rank["delivered"]["targets"], batch.targets)
        assert rank["keys"] == list(batch.origin.keys)
        for row, fact in zip(range(6), rows, strict=False):
            partner = int(batch.mix.partner[row])
            assert fact["key"] == batch.origin.keys[row]
            assert fact["position"] == batch.origin.positions[row]
            assert fact["mix"]["partner_key"] == batch.origin.keys[partner]
            assert fact["mix"]["lam"] == batch.mix.lam[row]
            assert fact["mix"]["box"] == batch.mix.boxes[row].tolist()
            assert sum(fact["target"].values()) == pytest.approx(1, abs=1e-5)
    assert (given["epoch"], given["step"], given["seed"], given["world_size"]) == (1, 4, 5, 2)
    # The state behind that batch: the command shows the batch that follows, which is the next step's.
    torch.save({"model": torch.zeros(2), "loader": state}, tmp_path / "run.pt")
    follows = facts(capsys, function, "--state", str(tmp_path / "run.pt"), "--world-size", "2")
    assert follows == facts(capsys, function, "--epoch", "1", "--step", "5", "--world-size", "2")
    # With a step as well, the state says the epoch, and that the dataset is the same.
    assert given == facts(capsys, function, "--state", f"{tmp_path}/run.pt:loader", "--step", "4", "--world-size", "2")


def test_other_ranks_get_the_same_rows_and_mixed_targets(program, capsys):
    def by_position(world_size):
        function = program(world_size=world_size)
        rows = facts(capsys, function, "--epoch", "2", "--step", "3", "--world-size", str(world_size))["rows"]
        return {
            row["position"]: (row["key"], row["windows"], row["target"], row["mix"]["lam"], row["mix"]["partner_key"])
            for row in rows
        }

    assert by_position(1) == by_position(2) == by_position(3)
    assert len(by_position(1)) == 12


def test_shards_may_have_moved_and_a_late_step_asks_for_no_more_than_the_first(program, url, capsys, tmp_path):
    """All requests of the command, of which those for shards read the batch and what a reader reads ahead."""
    folder = shutil.copytree(url.rpartition("/")[0], tmp_path / "moved")
    main(["index", f"{folder}/train-{{000000..000002}}.tar"])
    capsys.readouterr()
    here = facts(capsys, program(), "--epoch", "0", "--step", "7", "--world-size", "2")
    asked = {}
    for step in (0, 7):
        with http_proxy(folder) as (proxy, base):
            there = program(url=f"{base}/train-{{000000..000002}}.tar")
            moved = facts(capsys, there, "--epoch", "0", "--step", str(step), "--world-size", "2")
            asked[step] = sum(proxy.requests.values())
    for row, other in zip(moved["rows"], here["rows"], strict=True):
        assert {**row, "shard": ""} == {**other, "shard": ""}
        assert row["shard"].endswith(other["shard"].rpartition("/")[2])
    assert asked[7] <= 1.3 * asked[0]


def test_the_page_shows_every_row_with_its_facts(program, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["batch", program(), "--epoch", "0", "--step", "2", "--world-size", "2"]) == 0
    assert capsys.readouterr().out == "batch.html\n"
    text = (tmp_path / "batch.html").read_text()
    rows = facts(capsys, program(), "--epoch", "0", "--step", "2", "--world-size", "2")["rows"]
    assert text.count("<article>") == 12
    assert text.count("data:image/png;base64,") == 24
    for row in rows:
        assert f"<h2>{row['key']}</h2>" in text
        assert row["shard"] in text
    assert not re.search(r"(rows|columns) -0–|[^\d]-0\.0", json.dumps(rows) + re.sub('base64,[^"]*', "", text))
    assert main(["batch", program(), "--epoch", "0", "--step", "2", "-o", "few.html", "--rows", "3"]) == 0
    assert "the first 3 of 6 rows" in (tmp_path / "few.html").read_text()


def test_pixels_undo_the_recipes_normalisation():
    levels = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    image = torch.from_numpy(levels).permute(2, 0, 1)
    output = sa.Output(mean=(100.0, 110.0, 120.0), std=(50.0, 60.0, 70.0))
    recipe = sa.Recipe([sa.ops.Resize(8)], output=output)
    normalised = (image.float() - torch.tensor(output.mean)[:, None, None]) / torch.tensor(output.std)[:, None, None]
    np.testing.assert_array_equal(pixels(normalised, recipe), levels)
    np.testing.assert_array_equal(pixels(image, None), levels)
    assert pixels(normalised, None).min() == 0
    assert pixels(normalised, None).max() == 255


def test_windows_are_those_of_the_crops(program, capsys, url):
    """An image that nothing mixed or mirrored is its window, resized."""
    row = facts(capsys, program(), "--epoch", "0", "--step", "1")["rows"][0]
    (top, left, bottom, right) = row["windows"][0]
    assert 0 <= top < bottom
    assert 0 <= left < right
    assert all(value == round(value) for value in (top, left, bottom, right))
    with Image.open(_image_of(url, row["key"])) as image:
        assert bottom <= image.height
        assert right <= image.width


def test_windows_are_those_of_images_that_a_stage_changed(program, capsys, url):
    stored = facts(capsys, program(), "--epoch", "0", "--step", "1")["rows"]
    smaller = facts(capsys, program("smaller"), "--epoch", "0", "--step", "1")["rows"]
    for row, other in zip(stored, smaller, strict=True):
        assert row["key"] == other["key"]
        with Image.open(_image_of(url, row["key"])) as image:
            assert other["windows"][0][2] <= -(-image.height // 2)
            assert other["windows"][0][3] <= -(-image.width // 2)
    assert any(row["windows"] != other["windows"] for row, other in zip(stored, smaller, strict=True))


def _image_of(url, key):
    import io

    folder = url.rpartition("/")[0]
    for number in range(3):
        with tarfile.open(f"{folder}/train-{number:06d}.tar") as tar:
            if f"{key}.jpg" in tar.getnames():
                return io.BytesIO(tar.extractfile(f"{key}.jpg").read())
    raise LookupError(key)


def test_a_chain_that_ends_in_tuples_saves_tuples_and_still_has_facts(program, capsys, tmp_path):
    saved = tmp_path / "step.pt"
    place = ["--epoch", "0", "--step", "1", "--world-size", "2", "--save-tensors", str(saved)]
    rows = facts(capsys, program("tuples"), *place)["rows"]
    images, targets = torch.load(saved, weights_only=True)[0]["delivered"]
    assert images.shape == (6, 3, 24, 24)
    assert targets.shape == (6, 1000)
    assert rows == facts(capsys, program(), *place)["rows"]


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("chain", ["--step", "3"], "--epoch, --step: must both be given without --state"),
        ("chain", ["--epoch", "0"], "--epoch, --step: must both be given without --state"),
        ("chain", ["--epoch", "0", "--step", "40"], r"batch: --step: must lie in 0\.\.19, got 40"),
        ("chain", ["--epoch", "0", "--step", "0", "--world-size", "0"], "--world-size: must be at least 1"),
        ("chain", ["--epoch", "0", "--step", "0", "--rows", "0"], "--rows: must be at least 1"),
        (
            "chain",
            ["--epoch", "0", "--step", "0", "-o", "nowhere/x.html"],
            "--output: must lie in a folder",
        ),
        ("none", ["--epoch", "0", "--step", "0"], r"must have a function 'none', got Halved, chain, encoded, fails"),
        ("fails", ["--epoch", "0", "--step", "0"], r"got IndexError: .*train2\.py, line \d+"),
        ("number", ["--epoch", "0", "--step", "0"], "must return a chain of streamaug stages, got int"),
        ("encoded", ["--epoch", "0", "--step", "0"], "the chain must decode images"),
        ("chain", ["--state", "none.pt"], "--state: none.pt must be readable"),
    ],
)
def test_a_mistake_is_named(program, function, arguments, message, capsys):
    assert main(["batch", program(function), *arguments]) in (1, 2)
    assert re.search(message, capsys.readouterr().err)


def test_states_are_found_by_key_and_those_that_are_none_are_named(program, capsys, tmp_path, monkeypatch):
    _, state = as_trained(program(), monkeypatch, world_size=1, epoch=0, step=0)
    other = {**state, "epoch": 5}
    (tmp_path / "two.json").write_text(json.dumps({"a": {"loader": state}, "b": [other]}))
    (tmp_path / "none.json").write_text(json.dumps({"epoch": 3}))
    (tmp_path / "torn.pt").write_bytes(b"PK\x03\x04 torn")
    for given, message in (
        ("two.json", "holds the states 'a.loader', 'b.0'. Choose one"),
        ("two.json:a", "'a' must be a chain's state in"),
        ("none.json", "must hold what a chain's state_dict() gave, got none"),
        ("torn.pt", "must be a file that torch.load(weights_only=True) reads, or JSON"),
    ):
        assert main(["batch", program(), "--state", f"{tmp_path}/{given}"]) == 1
        assert message in capsys.readouterr().err
    assert facts(capsys, program(), "--state", f"{tmp_path}/two.json:b.0")["epoch"] == 5
    (tmp_path / "foreign.json").write_text(json.dumps({**state, "seed": 6}))
    assert main(["batch", program(), "--state", f"{tmp_path}/foreign.json"]) == 1
    assert "state.seed: must be 5, got 6" in capsys.readouterr().err


def test_a_state_file_that_is_no_checkpoint_is_said_to_be_that(program, capsys, tmp_path):
    (tmp_path / "notes.pt").write_text("hello world")
    with tarfile.open(tmp_path / "shard.pt", "w") as tar:
        tar.addfile(tarfile.TarInfo("a.jpg"), io.BytesIO())
    torch.save({"path": tmp_path}, tmp_path / "path.pt")
    (tmp_path / "half.pt").write_bytes((tmp_path / "path.pt").read_bytes()[:300])
    (tmp_path / "notes.json").write_text("hello world")
    for given, reason in (
        ("notes.pt", "got another file, or a part of one."),
        ("shard.pt", "got another file, or a part of one."),
        ("half.pt", "got another file, or a part of one."),
        ("path.pt", "got an object of pathlib."),
        ("notes.json", "got no JSON: Expecting value"),
    ):
        assert main(["batch", program(), "--state", f"{tmp_path}/{given}"]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert reason in line
        assert "trust" not in line
