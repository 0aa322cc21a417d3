"""What a source may be: paths, patterns, folders, manifests of one split or several."""

import json
import os
import pathlib
import shutil

import pytest
from servers import http_proxy
from tars import pairs, write_tar

import streamaug as sa
from streamaug.cli import main


@pytest.fixture
def folder(tmp_path):
    """train-0 to train-2 with 4 samples each, val-0 with 5."""
    for number in range(3):
        write_tar(tmp_path / f"train-{number}.tar", pairs(4, start=4 * number))
    write_tar(tmp_path / "val-0.tar", pairs(5, start=50))
    return tmp_path


def names(shards):
    return [pathlib.PurePath(shard.url).name for shard in shards.shards]


TRAIN = ["train-0.tar", "train-1.tar", "train-2.tar"]


@pytest.mark.parametrize(
    "source",
    [
        lambda d: d / "train-{0..2}.tar",
        lambda d: f"{d}/train-*.tar",
        lambda d: f"{d}/train-[0-2].tar",
        lambda d: f"{d}/**/train-?.tar",
        lambda d: [d / "train-0.tar", f"{d}/train-1.tar", d / "train-2.tar"],
        lambda d: (f"{d}/train-0.tar::{d}/train-1.tar", d / "train-[2-9].tar"),
        lambda d: [f"{d}/train-{number}.tar\n" for number in range(3)],
        lambda d: f"file://{d}/train-{{0..2}}.tar",
    ],
)
def test_paths_and_patterns_are_taken(folder, source):
    assert names(sa.ShardSet.open(source(folder))) == TRAIN


def test_a_name_with_braces_or_brackets_is_first_that_file(tmp_path):
    for name in ("x{1,2}.tar", "y[0].tar"):
        write_tar(tmp_path / name, pairs(2))
        assert names(sa.ShardSet.open(tmp_path / name)) == [name]


def test_relative_paths_hold_when_the_folder_changes(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "elsewhere").mkdir()
    shards = sa.ShardSet.open("train-{0..2}.tar")
    absolute = sa.ShardSet.open(str(folder / "train-{0..2}.tar"))
    reader = sa.ShardReader(shards, batch_size=4, lanes=2, on_bad_sample="substitute", quarantine="bad.jsonl")
    monkeypatch.chdir(folder / "elsewhere")
    assert len(list(reader)) == 3
    assert shards.fingerprint == absolute.fingerprint
    assert (folder / "bad.jsonl").exists()


def test_the_home_folder_is_filled_in(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert names(sa.ShardSet.open("~/train-{0..2}.tar")) == TRAIN


@pytest.mark.parametrize(
    ("source", "error", "match"),
    [
        (5, TypeError, "shards: must be a path or URL, or a list of them in a fixed order, got int"),
        (None, TypeError, "got NoneType"),
        ({"b.tar", "a.tar"}, TypeError, "fixed order, got set"),
        ({"a.tar": 1}, TypeError, "got dict"),
        ((path for path in ["a.tar"]), TypeError, "got generator"),
        ([1], TypeError, "got int"),
        ([], ValueError, "at least one path or URL is needed, got none"),
        ("", ValueError, "got an empty name"),
        ("a{.tar", ValueError, "braces must be closed"),
        ("pipe:aws s3 cp s3://b/x-{0..2}.tar -", ValueError, "got a command, 'pipe:aws …'. Name the URL that it reads"),
        (
            "file:/d/x-{0..2}.tar",
            ValueError,
            "must have :/// behind its scheme, got 'file:/d/x-0.tar'. Write file:///d/x-0",
        ),
        (
            "file://x.tar",
            ValueError,
            "must have :/// behind its scheme, got 'file://x.tar'. Write .* or the path alone",
        ),
        (
            pathlib.Path("s3://b/x.tar"),
            ValueError,
            "got 's3:/b/x.tar'. Write s3://b/x.tar, and no Path, which drops a slash",
        ),
        ("https:/u:secret@h/x.tar?sig=secret", ValueError, "got 'https:/h/x.tar'. Write https://h/x.tar, and"),
        (["x.tar", "pipe:cat a.tar"], ValueError, "shards: must be paths or URLs, .* got a command, 'pipe:cat …'"),
        ("nowhere/*.tar", sa.StorageError, r"nowhere/\*\.tar: a pattern must match a file, got no match"),
    ],
)
def test_what_is_no_source_is_refused_by_name(source, error, match):
    with pytest.raises(error, match=match):
        sa.ShardSet.open(source)


def test_a_folder_is_its_manifest_else_its_tars(folder):
    with pytest.raises(ValueError, match=r"holds several, 'train' .3 shards. and 'val' .1 shards."):
        sa.ShardSet.open(folder)
    assert names(sa.ShardSet.open(folder, split="train")) == TRAIN
    assert main(["index", str(folder / "train-0.tar"), str(folder / "train-2.tar")]) == 0
    assert names(sa.ShardSet.open(str(folder) + "/")) == ["train-0.tar", "train-2.tar"]
    (folder / "empty").mkdir()
    with pytest.raises(sa.StorageError, match=r"empty: a folder of shards must hold \.tar files, got none"):
        sa.ShardSet.open(folder / "empty")


def test_a_remote_folder_is_its_manifest(folder):
    assert main(["index", str(folder / "train-{0..2}.tar")]) == 0
    with http_proxy(folder) as (_, base):
        assert names(sa.ShardSet.open(f"{base}/")) == TRAIN
        shutil.rmtree(folder / "sub", ignore_errors=True)
        with pytest.raises(sa.StorageError, match="sub/: a remote folder must hold a manifest, got none"):
            sa.ShardSet.open(f"{base}/sub/")


def timms(folder, splits):
    info = {
        name: {"name": name, "filenames": files, "shard_lengths": [5 if "val" in file else 4 for file in files]}
        for name, files in splits.items()
    }
    (folder / "_info.json").write_text(json.dumps({"name": "x", "splits": info}))
    return folder / "_info.json"


def wids(folder, files, **fields):
    shardlist = [{"url": file, "nsamples": 5 if "val" in file else 4} | fields.get(file[:3], {}) for file in files]
    (folder / "index.json").write_text(json.dumps({"__kind__": "wids-shard-index-v1", "shardlist": shardlist}))
    return folder / "index.json"


@pytest.mark.parametrize(
    ("manifest", "train", "val"),
    [
        (lambda d: timms(d, {"train": TRAIN, "validation": ["val-0.tar"]}), "train", "validation"),
        (lambda d: timms(d, {"train": TRAIN, "validation": ["val-0.tar"]}), "training", "val"),
        (lambda d: timms(d, {"first": TRAIN, "second": ["val-0.tar"]}), "first", "second"),
        (lambda d: wids(d, [*TRAIN, "val-0.tar"]), "train", "val"),
        (lambda d: wids(d, [*TRAIN, "val-0.tar"]), "train", "validation"),
        (lambda d: wids(d, [*TRAIN, "val-0.tar"], tra={"split": "a"}, val={"split": "b"}), "a", "b"),
        (lambda d: d, "train", "val"),
        (lambda d: d / "*.tar", "train", "val"),
    ],
    ids=["timm", "timm, other words", "timm, own words", "names", "names, other words", "fields", "folder", "pattern"],
)
def test_several_splits_are_never_one_set(folder, manifest, train, val):
    source = manifest(folder)
    with pytest.raises(ValueError, match=r"split: must be chosen, since .* holds several, '\w+' .3 shards. and '\w+'"):
        sa.ShardSet.open(source)
    assert names(sa.ShardSet.open(source, split=train)) == TRAIN
    assert names(sa.ShardSet.open(source, split=val)) == ["val-0.tar"]
    with pytest.raises(ValueError, match=r"split: for .* it must be one of .*, got 'test'"):
        sa.ShardSet.open(source, split="test")


def test_shards_that_are_named_are_one_set_whatever_they_are_called(folder):
    everything = [folder / "train-{0..2}.tar", folder / "val-0.tar"]
    assert sa.ShardSet.open(everything).num_samples == 17
    assert sa.ShardSet.open(folder / "{train-{0..2},val-0}.tar").num_samples == 17
    assert names(sa.ShardSet.open(everything, split="val")) == ["val-0.tar"]


@pytest.mark.parametrize(
    ("files", "splits"),
    [
        (["a/train/x-0.tar", "a/val/x-0.tar"], ["train", "val"]),
        (["imagenet-train-000.tar", "imagenet-validation-000.tar"], ["train", "validation"]),
        (["train2017-0.tar", "val2017-0.tar"], ["train", "val"]),
        (["trainval-0.tar", "test-0.tar"], ["trainval", "test"]),
        (["cc3m-0.tar", "cc12m-0.tar"], []),
        (["a-train-0.tar", "b-train-0.tar"], ["train"]),
        (["contest-0.tar", "latest-0.tar", "validated-0.tar"], []),
    ],
)
def test_a_split_is_a_word_of_a_shards_name(tmp_path, files, splits):
    for number, file in enumerate(files):
        (tmp_path / "test" / file).parent.mkdir(parents=True, exist_ok=True)  # a folder that all share says nothing
        write_tar(tmp_path / "test" / file, pairs(2, start=2 * number))
    source = wids(tmp_path / "test", files)
    if len(splits) < 2:
        assert len(sa.ShardSet.open(source).shards) == len(files)
    else:
        with pytest.raises(ValueError, match=" and ".join(f"'{split}' .1 shards." for split in splits)):
            sa.ShardSet.open(source)


def test_a_split_of_names_that_say_none_is_refused(tmp_path):
    path = write_tar(tmp_path / "x-0.tar", pairs(2))
    with pytest.raises(ValueError, match=r"split: for .* it must be left out, since no shard's name says its split"):
        sa.ShardSet.open(path, split="train")
    with pytest.raises(ValueError, match="split: must be the name of a split, got 3"):
        sa.ShardSet.open(path, split=3)


def test_a_manifest_without_shards_is_refused(tmp_path):
    (tmp_path / "index.json").write_text('{"shardlist": []}')
    with pytest.raises(sa.ShardError, match=r"index\.json: a manifest must list shards, got none"):
        sa.ShardSet.open(tmp_path / "index.json")


def test_a_folder_whose_manifest_lists_no_shard_is_refused(folder):
    (folder / "index.json").write_text('{"shardlist": []}')
    with pytest.raises(sa.ShardError, match=r"index\.json: a manifest must list shards, got none"):
        sa.ShardSet.open(folder)
    with http_proxy(folder) as (_, base), pytest.raises(sa.ShardError, match=r"index\.json: a manifest must list"):
        sa.ShardSet.open(f"{base}/")
    assert names(sa.ShardSet.open(folder / "train-{0..2}.tar")) == TRAIN


def test_hidden_files_and_folders_are_no_shards_of_a_folder_or_pattern(folder):
    (folder / "._train-0.tar").write_bytes(b"\0\5\x16\7\0\2\0\0" + bytes(100))  # macOS writes it on foreign disks
    (folder / "train-9.tar").mkdir()
    assert names(sa.ShardSet.open(folder, split="train")) == TRAIN
    assert names(sa.ShardSet.open(folder / "train-*.tar")) == TRAIN
    with pytest.raises(sa.StorageError, match=r"train-9\*\.tar: a pattern must match a file, got folders alone"):
        sa.ShardSet.open(folder / "train-9*.tar")
    with pytest.raises(sa.ShardError, match=r"\._train-0\.tar at offset 0: .* got an AppleDouble file of macOS"):
        sa.ShardSet.open(folder / "._train-0.tar")


@pytest.mark.parametrize("command", [["index"], ["check"], ["info"]])
def test_a_pipe_is_refused_and_does_not_block(tmp_path, command, capsys):
    os.mkfifo(tmp_path / "x-0.tar")
    with pytest.raises(sa.StorageError, match=r"x-0\.tar: the file must be a regular file, got a pipe"):
        sa.ShardSet.open(tmp_path / "x-0.tar")
    with pytest.raises(sa.StorageError, match=r"/dev/zero: the file must be a regular file, got a device"):
        sa.ShardSet.open("/dev/zero")
    assert main([*command, str(tmp_path / "x-0.tar")]) == 1
    assert "got a pipe" in "".join(capsys.readouterr())


def test_manifests_and_tars_may_be_named_together(folder):
    assert main(["index", str(folder / "train-{0..2}.tar")]) == 0
    assert names(sa.ShardSet.open([folder / "index.json", folder / "val-0.tar"])) == [*TRAIN, "val-0.tar"]


def test_a_name_that_is_not_utf_8_has_a_fingerprint_and_a_state(tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9-0.tar"
    write_tar(os.fsdecode(name), pairs(8))
    with_state = sa.ShardReader(sa.ShardSet.open([os.fsdecode(name)]), batch_size=4, lanes=2)
    with_state.load_state_dict(json.loads(json.dumps(with_state.state_dict())))
    assert len(list(with_state)) == 2
    assert main(["index", os.fsdecode(name)]) == 0
    assert sa.ShardSet.open(tmp_path / "index.json").num_samples == 8


def test_storage_must_be_options(tmp_path):
    with pytest.raises(TypeError, match="storage: must be StorageOptions, got dict"):
        sa.ShardSet.open("x.tar", storage={"concurrency": 4})


@pytest.mark.parametrize(("parts", "match"), [([1], "a mapping"), (["x"], "a mapping"), ({"x.tar": 1}, "ShardSet")])
def test_what_is_no_mixture_is_refused_by_name(parts, match):
    with pytest.raises(TypeError, match=rf"ShardSet\.mix: .*{match}"):
        sa.ShardSet.mix(parts)
