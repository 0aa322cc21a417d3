"""The same bytes, however many processes or parts there are, and however often the run was killed."""

import multiprocessing
import os
import signal
import threading

import pytest
from image_folders import contents, image, opened, pets, write_files

from streamaug import ShardReader
from streamaug.errors import IndexFormatError
from streamaug.making import MakeOptions, make_shards
from streamaug.making.output import Output
from streamaug.making.tar_file import ShardTar
from streamaug.making.workers import may_fork

SIZE = 30_000  # bytes of a shard
SHARDS = 6
BAD = "bee/photo901.jpg"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("in"), pets(40))


@pytest.fixture(scope="module")
def whole(root, tmp_path_factory):
    """All files of one run by one process."""
    out = tmp_path_factory.mktemp("whole") / "out"
    report = make(root, out)
    assert report.num_shards == SHARDS
    return contents(out)


def make(root, out, **options):
    return make_shards([root], out, options=MakeOptions(**{"processes": 1, "shard_size": SIZE} | options), say=print)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 4])
def test_any_number_of_processes_makes_the_same_bytes(root, whole, tmp_path, processes):
    make(root, tmp_path / "out", processes=processes)
    assert contents(tmp_path / "out") == whole


@pytest.mark.slow
def test_a_process_beside_other_threads_makes_the_same_bytes(root, whole, tmp_path, monkeypatch):
    monkeypatch.setattr("streamaug.making.make.may_fork", may_fork)
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    try:
        assert not may_fork()
        make(root, tmp_path / "out")
    finally:
        ended.set()
        thread.join()
    assert contents(tmp_path / "out") == whole


# --- killed


def killed_at(moment, root, out, processes):
    """Runs in a process of its own, which is killed by SIGKILL at that moment, by itself or by its worker."""
    main = os.getpid()

    def kill():
        os.kill(main, signal.SIGKILL)
        threading.Event().wait()  # a worker ends since its parent did

    write, tar_add = Output.write, ShardTar.add
    written = []

    def watched(self, file, text):
        written.append(file)
        if file.url.endswith(moment):
            kill()
        write(self, file, text)
        if file.url.endswith(moment.removeprefix("after ")):
            kill()

    def watched_tar(self, *member):
        written.append(member)
        if moment == "inside a tar" and len(written) > 20:
            self._file.flush()
            kill()
        return tar_add(self, *member)

    Output.write, ShardTar.add = watched, watched_tar
    make(root, out, processes=processes)


@pytest.mark.parametrize("processes", [1, 3])
@pytest.mark.parametrize(
    ("moment", "kept"),
    [("after make-shards.json", 0), ("inside a tar", 1), ("2.idx", 2), ("2.crc32c", 2), ("index.json", SHARDS)],
)
def test_a_run_that_was_killed_goes_on_and_makes_the_same_bytes(root, whole, tmp_path, moment, kept, processes):
    out = tmp_path / "out"
    process = multiprocessing.get_context("fork").Process(target=killed_at, args=(moment, root, out, processes))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert "index.json" not in contents(out)
    report = make(root, out)
    assert contents(out) == whole
    if processes == 1 or kept == SHARDS:
        assert report.num_kept == kept


def test_what_is_finished_is_not_written_again(root, whole, tmp_path, monkeypatch):
    make(root, tmp_path / "out")
    monkeypatch.setattr(ShardTar, "add", None)
    report = make(root, tmp_path / "out")
    assert report.num_kept == report.num_shards
    assert contents(tmp_path / "out") == whole


@pytest.mark.parametrize("name", ["shard-000001.tar", "shard-000001.idx", "shard-000001.crc32c"])
@pytest.mark.parametrize("damage", ["gone", "cut", "other"])
def test_a_torn_shard_is_written_again(root, whole, tmp_path, name, damage):
    out = tmp_path / "out"
    make(root, out)
    data = (out / name).read_bytes()
    (out / name).unlink()
    if damage != "gone":
        (out / name).write_bytes(data[: len(data) // 2] if damage == "cut" else whole[name.replace("1", "2")])
    report = make(root, out)
    assert contents(out) == whole
    assert report.num_kept == report.num_shards - 1


def test_an_interrupted_run_leaves_no_temporary_file_and_no_process(root, whole, tmp_path):
    out = tmp_path / "out"

    class Interrupted(Exception):
        pass

    def interrupt(_):
        raise Interrupted

    before = set(multiprocessing.active_children())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streamaug.making.progress.SampleProgress.add", lambda self, number: interrupt(number))
        with pytest.raises(Interrupted):
            make(root, out, processes=2)
    assert not list(out.glob("*.tmp"))
    assert set(multiprocessing.active_children()) == before
    make(root, out)
    assert contents(out) == whole


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seed": 1}, "seed 0 there, 1 now"),
        ({"max_side": 32}, "max_side None there, 32 now"),
        ({"shard_size": 100_000}, "shards 6 there, 2 now"),
        ({"shuffle": False}, "seed 0 there, None now"),
        ({"decode": True}, "decoded False there, True now"),
    ],
)
def test_another_run_s_folder_is_refused(root, whole, tmp_path, options, said):
    make(root, tmp_path / "out")
    with pytest.raises(ValueError, match=f"got shards of other sources or options in {tmp_path}/out/: {said}"):
        make(root, tmp_path / "out", **options)
    assert contents(tmp_path / "out") == whole


def test_other_files_in_the_source_are_noticed(tmp_path):
    root = write_files(tmp_path / "in", pets(6))
    make(root, tmp_path / "out")
    write_files(root, {"ant/photo000.jpg": image(0, width=300)})
    with pytest.raises(ValueError, match="names, sizes or labels of samples, or --shard-size, differ"):
        make(root, tmp_path / "out")
    write_files(root, {"ant/new.jpg": image(0)})
    with pytest.raises(ValueError, match="samples 6 there, 7 now"):
        make(root, tmp_path / "out")


# --- parts


@pytest.mark.parametrize("numbers", [(0, 1, 2), (1, 2, 3), (3, 1, 2)])
def test_parts_together_make_the_same_bytes_and_the_last_writes_the_manifest(root, whole, tmp_path, numbers):
    out = tmp_path / "out"
    reports = [make(root, out, part=(number, 3)) for number in numbers]
    assert [report.is_complete for report in reports] == [False, False, True]
    assert [len(report.waiting_for) for report in reports] == [2, 1, 0]
    assert sum(report.num_shards for report in reports) == len([name for name in whole if name.endswith(".tar")])
    assert contents(out) == whole


def test_a_part_that_is_run_again_does_nothing_and_a_run_of_all_completes_the_rest(root, whole, tmp_path):
    out = tmp_path / "out"
    make(root, out, part=(1, 3))
    assert make(root, out, part=(1, 3)).num_kept == 2
    report = make(root, out)
    assert (report.num_kept, report.is_complete) == (2, True)
    kept = {name: data for name, data in contents(out).items() if not name.startswith("make-shards.part-")}
    assert kept == whole


def test_more_parts_than_shards(root, whole, tmp_path):
    for number in range(12):
        report = make(root, tmp_path / "out", part=(number, 12))
    assert report.is_complete
    assert contents(tmp_path / "out") == whole


def test_a_piece_of_another_run_is_refused(root, tmp_path):
    out = tmp_path / "out"
    make(root, out, part=(0, 2))
    path = out / "make-shards.part-00000-of-00002.json"
    path.write_text(path.read_text().replace('"fingerprint": "', '"fingerprint": "x'))
    with pytest.raises(IndexFormatError, match="of the same run as the other parts"):
        make(root, out, part=(1, 2))
    path.write_text("[]")
    with pytest.raises(IndexFormatError, match="must be a part's piece"):
        make(root, out, part=(1, 2))


# --- bad samples


@pytest.fixture
def flawed(tmp_path):
    return write_files(tmp_path / "in", pets(40) | {BAD: b"no image", "cat/cut.jpg": image(5)[:-50]})


def test_bad_samples_are_all_listed_and_no_manifest_is_written(flawed, tmp_path):
    report = make(flawed, tmp_path / "out")
    assert [(bad.key, bad.reason) for bad in report.bad] == [
        ("bee/photo901", "the bytes start with 0x6e6f20696d616765, which is no image format that can be read"),
        ("cat/cut", "the JPEG has no end-of-image marker: it was cut off"),
    ]
    assert report.bad[0].source == f"{tmp_path / 'in'}/{BAD}"
    assert not report.is_complete
    assert "index.json" not in contents(tmp_path / "out")


def test_leaving_them_out_afterwards_makes_the_same_bytes_as_at_once(flawed, tmp_path):
    at_once = make(flawed, tmp_path / "at once", skip_bad=True)
    before = make(flawed, tmp_path / "out")
    after = make(flawed, tmp_path / "out", skip_bad=True)
    assert after.num_kept == before.num_shards == after.num_shards - 2
    assert after.bad == at_once.bad == before.bad
    assert contents(tmp_path / "out") == contents(tmp_path / "at once")
    assert "bee/photo901" in contents(tmp_path / "out")["left-out.json"].decode()


def test_samples_that_were_left_out_are_listed_again_by_a_run_that_goes_on(flawed, tmp_path):
    first = make(flawed, tmp_path / "out", skip_bad=True)
    (tmp_path / "out/index.json").unlink()
    (tmp_path / "out/left-out.json").unlink()
    again = make(flawed, tmp_path / "out", skip_bad=True)
    assert again.bad == first.bad
    assert again.num_kept == again.num_shards
    assert not make(flawed, tmp_path / "out").is_complete


def test_parts_leave_out_the_same(flawed, tmp_path):
    make(flawed, tmp_path / "whole", skip_bad=True)
    for number in (1, 2):
        make(flawed, tmp_path / "out", skip_bad=True, part=(number, 2))
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_shard_of_bad_samples_only_is_empty_and_the_set_can_be_read(tmp_path):
    files = {f"a/{n:02d}.jpg": image(n) if n > 3 else b"bad" * 900 for n in range(12)}
    report = make(
        write_files(tmp_path / "in", files), tmp_path / "out", skip_bad=True, shuffle=False, shard_size=25_000
    )
    assert len(report.bad) == 4
    assert [shard.num_samples for shard in opened(tmp_path / "out").shards] == [0, 3, 5]
    for shuffle in (True, False):
        with ShardReader(opened(tmp_path / "out"), batch_size=4, shuffle=shuffle, lanes=2) as reader:
            keys = {key for batch in reader for key in batch.origin.keys}
        assert keys == {f"a/{n:02d}" for n in range(4, 12)}
