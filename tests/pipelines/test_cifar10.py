"""pipelines/cifar10_mix.py on a few drawn images, what lies beside it, and benchmarks/accuracy.py, which runs it."""

import importlib
import json
import sys
from types import SimpleNamespace

import pytest
import torch
from pictures import drawn_samples
from programs import PIPELINES
from shards_on_disk import write_shards
from torch import nn

from streamaug.errors import StreamaugError

MODULES = ("cifar10_mix", "cifar10_methods", "in_between", "tiny_resnet", "accuracy", "harness")
# With layers of 4 channels torch 2.13 (oneDNN) wrote past its buffers in backward, on some CPUs.
SMALL = "--train-shards 1 --batch-size 8 --width 16 --pairs 8"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """16 training images, and 8 test images in two shards."""
    folder = tmp_path_factory.mktemp("cifar")
    samples = [(key, label % 10, jpeg) for key, label, jpeg in drawn_samples(24)]
    write_shards(folder, "train", samples[:16], [16])
    write_shards(folder, "test", samples[16:], [4, 4])
    return folder


@pytest.fixture
def programs(monkeypatch):
    """The modules by name; torch has as many threads as before afterwards."""
    threads = torch.get_num_threads()
    monkeypatch.syspath_prepend(str(PIPELINES))
    monkeypatch.syspath_prepend(str(PIPELINES.parent / "benchmarks"))
    yield SimpleNamespace(**{name: importlib.import_module(name) for name in MODULES})
    for name in MODULES:
        del sys.modules[name]
    torch.set_num_threads(threads)


def train(programs, data, words):
    return programs.cifar10_mix.trained(programs.cifar10_mix.arguments(["--data", str(data), *words.split()]))


@pytest.mark.slow
def test_a_run_is_measured_as_it_is_in_views_and_in_between_and_repeats_itself(programs, data):
    words = f"{SMALL} --method both --epochs 2 --curve-every 2 --seed 3"
    first, again = (train(programs, data, words) for _ in range(2))
    assert first["finished"]
    assert [point["epochs"] for point in first["curve"]] == [2.0]
    assert set(first["test"]) == {"plain", "mirrored", "ten", "fitted"}
    assert first["curve"][-1]["error"] == first["test"]["plain"]["error"]
    assert len(first["in_between"]["misses"]) == 11
    assert json.loads(json.dumps(first))["method"] == "both"
    for name in ("test", "in_between"):
        assert first[name] == again[name]


def test_the_time_limit_ends_a_run_with_what_it_has(programs, data):
    result = train(programs, data, f"{SMALL} --method cutmix --epochs 50 --minutes 1e-9")
    assert not result["finished"]
    assert [point["epochs"] for point in result["curve"]] == [0.5]  # one of two batches
    assert "the time limit ended the training" in "\n".join(programs.cifar10_mix.lines(result))


def test_every_method_trains_on_images_of_32_pixels_with_targets_of_its_kind(programs, data):
    mix, methods = programs.cifar10_mix, programs.cifar10_methods.METHODS
    assert {"none", "flip_crop", "cutout", "mixup", "cutmix", "both"} < set(methods)
    plain = None
    for name, method in methods.items():
        batch = next(iter(mix.training_chain(mix.arguments(["--data", str(data), *SMALL.split()]), method)))
        assert batch.images.shape == (8, 3, 32, 32), name
        assert batch.targets.shape == ((8, 10) if method.mixes else (8,)), name
        if name == "none":
            plain = batch.images
        else:
            assert not torch.equal(batch.images, plain), name


def test_views_begin_with_the_image_and_its_mirror_image_is_the_sixth(programs, data):
    mix = programs.cifar10_mix
    args = mix.arguments(["--data", str(data), *SMALL.split()])
    batch = next(iter(mix.evaluation_chain(args, views=True)))
    views = batch.images.chunk(batch.views)
    assert len(views) == 10
    assert torch.equal(views[0], next(iter(mix.evaluation_chain(args))).images)
    assert torch.equal(views[5], views[0].flip(-1))
    assert torch.equal(views[1][:, :, 2:, 2:], views[0][:, :, :-2, :-2])  # the top left corner of the padded image


def test_in_between_two_images_errors_and_gradients_are_those_of_a_formula(programs):
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.7, 0.7]])
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 3, bias=False))
    model[1].weight.data.copy_(weight)
    images = torch.tensor([[4.0, 0.0], [0.0, 4.0]]).view(2, 1, 1, 2)
    found = programs.in_between.in_between(model, images, torch.tensor([0, 1]))
    assert found["lam"][5] == 0.5
    # Half way the logits are 2, 2 and 2.8: the third class, which is neither. At the ends the right one has 4.
    assert found["misses"][0] == found["misses"][10] == 0.0
    assert found["misses"][5] == 1.0
    for index, point, target in ((5, [2.0, 2.0], [0.5, 0.5, 0.0]), (10, [4.0, 0.0], [1.0, 0.0, 0.0])):
        residual = torch.softmax(weight @ torch.tensor(point), 0) - torch.tensor(target)
        assert found["gradient"][index] == pytest.approx(float((weight.T @ residual).norm()), rel=1e-5)


def test_a_table_of_runs_goes_on_with_what_is_missing(programs, data, tmp_path, monkeypatch):
    accuracy = programs.accuracy
    for module in (accuracy, programs.harness):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    tiny = accuracy.Setting("tiny", ("none",), shards=1, epochs=1, curve_every=1, more="--batch-size 8 --width 16")
    monkeypatch.setattr(accuracy, "SETTINGS", {"tiny": tiny})

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["accuracy.py", "--data", str(data), *words])
        assert accuracy.main() == 0
        file = tmp_path / "accuracy.json"
        return file.read_text() if file.exists() else None

    assert run("--minutes", "0") is None
    first = run("--seeds", "0")
    assert list(json.loads(first)["runs"]) == ["tiny/none/0"]
    assert run("--seeds", "0") == first
    more = json.loads(run("--seeds", "0", "1"))["runs"]
    assert list(more) == ["tiny/none/0", "tiny/none/1"]
    assert more["tiny/none/0"] == json.loads(first)["runs"]["tiny/none/0"]


@pytest.mark.parametrize(
    ("words", "message"),
    [("--epochs 0", "--epochs: must be at least 1"), ("--minutes 0", "--minutes: must be above 0")],
)
def test_a_wrong_argument_is_named(programs, capsys, words, message):
    with pytest.raises(SystemExit):
        programs.cifar10_mix.arguments(["--data", "x", *words.split()])
    assert message in capsys.readouterr().err


def test_a_missing_test_set_is_named(programs, tmp_path, data):
    (tmp_path / "train-000000.tar").write_bytes((data / "train-000000.tar").read_bytes())
    with pytest.raises(StreamaugError, match="test-000000"):
        train(programs, tmp_path, SMALL)
