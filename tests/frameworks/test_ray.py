"""pipelines/ray_train.py: a worker dies, Ray starts both anew, and they go on with the very next batch."""

import os
import sys
from pathlib import Path

import loops
import pytest

ray = pytest.importorskip("ray")

ROOT = Path(__file__).resolve().parents[2]
PIPELINES = str(ROOT / "pipelines")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def program():
    path = os.pathsep.join([str(ROOT), PIPELINES, str(ROOT / "tests"), str(ROOT / "tests" / "frameworks")])
    os.environ["RAY_AUTH_MODE"] = "disabled"  # or Ray writes a token into the home folder
    sys.path.insert(0, PIPELINES)
    ray.init(
        num_cpus=3,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": path, "GLOO_SOCKET_IFNAME": "lo"}},
    )
    try:
        import ray_train

        ray.cloudpickle.register_pickle_by_value(ray_train)
        yield ray_train
    finally:
        ray.shutdown()
        sys.path.remove(PIPELINES)


class Watch:
    """Notes each batch in a file of its rank and of its life; rank 1 dies once, behind a step."""

    def __init__(self, folder, dies_at):
        self.folder, self.dies_at = str(folder), dies_at

    def __call__(self, batch):
        import loops

        rank = ray.train.get_context().get_world_rank()
        path = Path(self.folder)
        with (path / f"{rank}.txt").open("a") as file:
            file.write(f"{batch.origin.epoch} {batch.origin.step} {loops.digest(*batch)}\n")
        if rank == 1 and (batch.origin.epoch, batch.origin.step) == self.dies_at and not (path / "died").exists():
            (path / "died").touch()
            os._exit(1)


def test_two_workers_of_which_one_dies_go_on_exactly(url, program, tmp_path):
    watched = tmp_path / "watched"
    watched.mkdir()
    options = {"train": url, "global_batch": 16, "size": 32, "num_classes": loops.CLASSES, "lr": 0.01}
    options |= {"epochs": 2, "save_every": 2, "watch": Watch(watched, (1, 2))}
    result = program.run(options, workers=2, storage=str(tmp_path / "storage"), failures=1)
    assert (result.metrics["epoch"], result.metrics["step"]) == (1, 5)
    assert (watched / "died").exists()
    for rank in range(2):
        lines = [line.split() for line in (watched / f"{rank}.txt").read_text().splitlines()]
        given = [[int(epoch), int(step)] for epoch, step, _ in lines]
        again = next(n for n in range(1, len(given)) if given[n] <= given[n - 1])  # of the second life
        assert given[:again] == loops.epochs(0, 1)[:again]
        assert given[again:] == loops.epochs(0, 1)[-len(given[again:]) :]
        assert given[again][1] % 2 == 0  # behind a checkpoint
        chain = program_chain(url, rank)
        expected = {(b.origin.epoch, b.origin.step): loops.digest(*b) for _ in range(2) for b in chain}
        assert all(expected[int(epoch), int(step)] == digest for epoch, step, digest in lines)


def program_chain(url, rank):
    """The chain of pipelines/ray_train.py, read without Ray."""
    import streamaug as sa

    reader = sa.ShardReader(sa.ShardSet.open(url), batch_size=8, rank=rank, world_size=2)
    return reader.augment(sa.recipes.imagenet_train(size=32), device="cpu").mixup_or_cutmix(num_classes=loops.CLASSES)


def test_a_chain_that_was_made_on_the_driver_is_each_workers_own(url, program, tmp_path):
    """It is sent as a copy, which finds its ranks in the worker."""

    def train(options):
        seen = [batch.origin.positions.tolist() for batch in options["chain"]]
        Path(options["folder"], f"{ray.train.get_context().get_world_rank()}.txt").write_text(repr(seen))

    from ray.train.torch import TorchTrainer

    TorchTrainer(
        train,
        train_loop_config={"chain": loops.plain(url, ranks=2), "folder": str(tmp_path)},
        scaling_config=ray.train.ScalingConfig(num_workers=2),
        run_config=ray.train.RunConfig(storage_path=str(tmp_path / "storage")),
    ).fit()
    for rank in range(2):
        expected = [batch.origin.positions.tolist() for batch in loops.plain(url, ranks=2, rank=rank)]
        assert (tmp_path / f"{rank}.txt").read_text() == repr(expected)
