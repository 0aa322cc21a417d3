"""`--ray`: a cluster makes, indexes and checks shards; the bytes are those of one machine, also after a kill."""

import json
import os
import select
import shutil
import signal
import threading
from pathlib import Path

import pytest
from image_folders import contents, image, pets, write_files
from watching import PATIENCE

from streamaug.cli import main

ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")

ROOT = Path(__file__).resolve().parents[2]
#: The image that comes through a pipe, so that a worker waits for it as long as the test wants.
PIPED = "ant/piped.jpg"
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def address():
    """A cluster of two nodes with a worker each, and a head that only keeps the books."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")  # or Ray writes a token into the home folder
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        cluster = begun()
        try:
            cluster.wait_for_nodes(PATIENCE)
            yield cluster.address
        finally:
            ray.shutdown()
            cluster.shutdown()


def begun():
    """The cluster; Ray gives up a node whose agents are not there in time, which a busy machine may well need."""
    for attempt in range(5):
        cluster = cluster_utils.Cluster()
        try:
            cluster.add_node(num_cpus=0, include_dashboard=False)
            for _ in range(2):
                cluster.add_node(num_cpus=1)
        except Exception as error:  # noqa: BLE001 - Ray raises no other
            print(f"attempt {attempt + 1}: {error}")
            cluster.shutdown()
        else:
            return cluster
    raise RuntimeError("the cluster did not start")


@pytest.fixture
def folder(tmp_path):
    """Pictures in folders, of which one is a pipe."""
    root = Path(write_files(tmp_path / "in", pets(30)))
    os.mkfifo(root / PIPED)
    return root


def holder(pipe):
    """The process, other than this one, that reads the pipe."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if link.readlink() == pipe and int(link.parts[2]) != os.getpid():
                return int(link.parts[2])
        except OSError:
            continue
    raise LookupError(pipe)


def kill_and_wait(pid):
    """Kill a process, and wait until it has let go of its files."""
    handle = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGKILL)
        ended = select.poll()
        ended.register(handle, select.POLLIN)
        assert ended.poll(1000 * PATIENCE)
    finally:
        os.close(handle)


def feed(pipe, data, *, kill):
    """Wait until a worker reads the pipe; kill it there, if that is asked for, and give the data to the next one."""
    if kill:
        with pipe.open("wb"):  # which waits for a reader
            kill_and_wait(holder(pipe))
    with pipe.open("wb") as file:
        file.write(data)


def made(root, output, *more, kill=False):
    """What `make-shards` says and writes."""
    feeder = threading.Thread(
        target=feed,
        args=(
            root / PIPED,
            image(77),
        ),
        kwargs={"kill": kill},
        daemon=True,
    )
    feeder.start()
    if "--ray" in more:  # a node's current folder is another
        root, output = (os.path.relpath(path) for path in (root, output))
    assert main(["make-shards", str(root), str(output), "--shard-size", "30000", *more]) == 0
    feeder.join()
    return contents(output)


def test_a_cluster_makes_the_bytes_of_one_machine_though_a_worker_is_killed(folder, address, tmp_path, capsys):
    here = made(folder, tmp_path / "here", "--processes", "1")
    assert made(folder, tmp_path / "there", "--ray", address, kill=True) == here
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2
    assert said[0].partition(": ")[2] == said[1].partition(": ")[2]
    assert len([name for name in here if name.endswith(".tar")]) > 4


def test_a_cluster_indexes_and_checks_as_one_machine(folder, address, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # a node's current folder is another
    out = tmp_path / "out"
    made(folder, out, "--processes", "1")
    capsys.readouterr()
    for where in ("here", "there"):
        more = ["--ray", address] if where == "there" else []
        shutil.copytree(out, tmp_path / where)
        for old in [*(tmp_path / where).glob("*.idx"), *(tmp_path / where).glob("*.crc32c")]:
            old.unlink()
        assert main(["index", where, "--checksum", *more]) == 0
    assert contents(tmp_path / "there") == contents(tmp_path / "here") == contents(out)
    (tmp_path / "there" / "shard-000001.crc32c").write_text("torn")
    reports = []
    for more in ([], ["--ray", address]):
        capsys.readouterr()
        assert main(["check", "there", "--num-classes", "1", "--json", *more]) == 1
        reports.append(json.loads(capsys.readouterr().out.replace(f"{tmp_path}/", "")))
    assert reports[0] == reports[1]
    assert {finding["kind"] for finding in reports[1]["findings"]} > {"label"}


def test_what_a_task_raises_and_a_cluster_that_is_none_are_errors_that_say_so(folder, address, tmp_path, capsys):
    (tmp_path / "torn.tar").write_bytes(b"junk" * 300)
    assert main(["index", str(tmp_path / "torn.tar"), "--ray", address]) == 1
    assert "torn.tar at offset 0" in capsys.readouterr().err
    arguments = ["make-shards", str(folder), str(tmp_path / "out"), "--ray", address, "--processes", "2"]
    assert main(arguments) == 2
    assert "processes: must be left out with ray, got 2" in capsys.readouterr().err
    assert main(["index", str(tmp_path / "torn.tar"), "--ray", "nonsense"]) == 1
    assert "--ray: must be the address of a running cluster, got 'nonsense'" in capsys.readouterr().err
