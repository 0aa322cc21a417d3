"""`--ray`: a cluster makes, indexes and checks shards; the bytes are those of one machine, also after a kill."""

import json
import os
import select
import shutil
import signal
from pathlib import Path

import pytest
from image_folders import contents, image, pets, write_files
from odd_servers import served
from watching import PATIENCE

from streamaug.cli import main

ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")

ROOT = Path(__file__).resolve().parents[2]
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
def source(tmp_path):
    """A list of pictures, of which one is on a server; and what that server calls, with the worker that asks, before it
    answers, if anything."""
    root = Path(write_files(tmp_path / "in", pets(30)))
    before = []

    def answer(server, request):
        if before and (process := client(request.port)) != os.getpid():  # which asks for the size
            before.pop()(process)

    with served({"last.jpg": image(77)}, answer) as (_, base):
        paths = sorted(path.relative_to(root).as_posix() for path in root.glob("*/*.jpg"))
        rows = [f"{path},{path.partition('/')[0]}" for path in paths] + [f"{base}/last.jpg,ant"]
        (root / "list.csv").write_text("\n".join(["image,label", *rows]))
        yield root / "list.csv", before


def client(port):
    """The process whose connection has this port."""
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    inode = next(line[9] for line in lines if line[1] == f"0100007F:{port:04X}")
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if link.readlink() == Path(f"socket:[{inode}]"):
                return int(link.parts[2])
        except OSError:
            continue
    raise LookupError(port)


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


def made(source, output, *more):
    """What `make-shards` says and writes."""
    if "--ray" in more:  # a node's current folder is another
        source, output = (os.path.relpath(path) for path in (source, output))
    assert main(["make-shards", str(source), str(output), "--shard-size", "30000", *more]) == 0
    return contents(output)


def test_a_cluster_makes_the_bytes_of_one_machine_though_a_worker_is_killed(source, address, tmp_path, capsys):
    listed, before = source
    here = made(listed, tmp_path / "here", "--processes", "1")
    killed = []

    def kill(process):
        kill_and_wait(process)
        killed.append(process)

    before.append(kill)
    assert made(listed, tmp_path / "there", "--ray", address) == here
    assert len(killed) == 1
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2
    assert said[0].partition(": ")[2] == said[1].partition(": ")[2]
    assert len([name for name in here if name.endswith(".tar")]) > 4


def test_a_cluster_indexes_and_checks_as_one_machine(source, address, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # a node's current folder is another
    out = tmp_path / "out"
    made(source[0], out, "--processes", "1")
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


def test_what_a_task_raises_and_a_cluster_that_is_none_are_errors_that_say_so(source, address, tmp_path, capsys):
    (tmp_path / "torn.tar").write_bytes(b"junk" * 300)
    assert main(["index", str(tmp_path / "torn.tar"), "--ray", address]) == 1
    assert "torn.tar at offset 0" in capsys.readouterr().err
    arguments = ["make-shards", str(source[0]), str(tmp_path / "out"), "--ray", address, "--processes", "2"]
    assert main(arguments) == 2
    assert "--processes: must be left out with --ray, got 2" in capsys.readouterr().err
    assert main(["index", str(tmp_path / "torn.tar"), "--ray", "nonsense"]) == 1
    assert "--ray: must be the address of a running cluster, got 'nonsense'" in capsys.readouterr().err
