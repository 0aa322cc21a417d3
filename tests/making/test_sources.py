"""Each source: what lies in its shards is what lay in it."""

import csv
import json
import os
from pathlib import Path

import pytest
from image_folders import contents, image, labels, opened, pets, samples, write_files
from tars import pairs, write_tar

from streamaug import ShardReader
from streamaug.errors import ShardError, StorageError
from streamaug.making import MakeOptions, make_shards

SAVED = Path(__file__).with_name("data") / "saved_dataset"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def make(sources, out, **options):
    said = []
    sources = sources if isinstance(sources, list) else [sources]
    report = make_shards(sources, out, options=MakeOptions(processes=1, **options), say=said.append)
    return report, said


def by_image(folder):
    return {
        parts[suffix]: parts.get("cls") for parts in samples(folder).values() for suffix in parts if suffix != "cls"
    }


# --- image folders


def test_a_folder_of_classes(tmp_path, out):
    files = pets()
    report, said = make(write_files(tmp_path / "in", files), out)
    assert json.loads((out / "classes.json").read_text()) == ["ant", "bee", "cat"]
    found = samples(out)
    assert {f"{key}.jpg": parts["jpg"] for key, parts in found.items()} == files
    assert all(parts["cls"] == b"%d" % ["ant", "bee", "cat"].index(key[:3]) for key, parts in found.items())
    assert list(found) != sorted(found)
    assert (report.num_samples, report.num_classes, said, report.bad) == (24, 3, [], [])


def test_source_and_output_in_the_home_folder_are_there(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path / "home" / "in", pets())
    make("~/in", "~/out")
    assert len(samples(tmp_path / "home" / "out")) == 24
    assert not (tmp_path / "~").exists()


def test_shards_are_read_as_any_others(tmp_path, out):
    files = pets()
    report, _ = make(write_files(tmp_path / "in", files), out, shard_size=20_000)
    assert report.num_shards > 2
    reader = ShardReader(opened(out), batch_size=6, shuffle=False, tail="pad")
    read = {key: (bytes(data), label) for batch in reader for key, data, label in rows(batch)}
    assert read == {name[:-4]: (data, ["ant", "bee", "cat"].index(name[:3])) for name, data in files.items()}


def rows(batch):
    return zip(batch.origin.keys, batch.data, [int(bytes(text)) for text in batch.extras["cls"]], strict=True)


def test_order_without_shuffling_is_that_of_the_names(tmp_path, out):
    make(write_files(tmp_path / "in", pets()), out, shuffle=False)
    assert list(samples(out)) == sorted(name[:-4] for name in pets())


def test_another_seed_is_another_order_of_the_same(tmp_path):
    root = write_files(tmp_path / "in", pets())
    orders = []
    for seed in (0, 1):
        make(root, tmp_path / str(seed), seed=seed)
        orders.append(list(samples(tmp_path / str(seed))))
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])


def test_images_lie_at_any_depth_and_behind_links(tmp_path, out):
    write_files(tmp_path / "elsewhere", {"x.jpg": image(0)})
    write_files(tmp_path / "in", {"a/deep/er/y.jpg": image(1), "b/z.jpg": image(2)})
    (tmp_path / "in/c").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/b/circle").symlink_to(tmp_path / "in/b")
    make(tmp_path / "in", out)
    assert labels(out) == {"a/deep/er/y": 0, "b/z": 1, "c/x": 2}


def test_odd_names_make_valid_and_different_keys(tmp_path, out):
    names = [
        "a/x.y.jpg",
        "a/x_y.jpg",
        "a/x.y.png",
        "b/x.y.jpg",
        "v1.5/ü ☃.jpg",
        "猫/" + "long" * 50 + ".jpg",
        "__c__/d.jpg",
    ]
    files = {name: image(n, "PNG" if name.endswith("png") else "JPEG") for n, name in enumerate(names)}
    write_files(tmp_path / "in", files)
    Path(os.fsdecode(os.fsencode(tmp_path / "in/a") + b"/\xff.jpg")).write_bytes(image(99))
    _, said = make(tmp_path / "in", out)
    keys = {"a/_", "a/x_y", "a/x_y~2", "a/x_y~3", "b/x_y", "v1.5/ü_☃", "猫/" + "long" * 50, "_c__/d"}
    assert set(samples(out)) == keys
    assert set(by_image(out)) == {*files.values(), image(99)}
    assert any("2 samples had the key of another one" in line for line in said)
    reader = ShardReader(opened(out), batch_size=4, shuffle=False, tail="pad")
    assert {key for batch in reader for key in batch.origin.keys} == keys


def test_images_of_several_formats_get_the_suffix_of_their_content(tmp_path, out):
    kinds = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "TIFF": "tif", "BMP": "bmp", "JPEG2000": "jp2"}
    write_files(tmp_path / "in", {f"a/{kind}.JPEG": image(n, kind) for n, kind in enumerate(kinds)})
    report, _ = make(tmp_path / "in", out)
    assert {key[2:]: set(parts) for key, parts in samples(out).items()} == {k: {s, "cls"} for k, s in kinds.items()}
    assert report.suffixes == {"cls", *kinds.values()}


def test_empty_classes_keep_their_number_and_other_files_are_counted(tmp_path, out):
    files = {"b/x.jpg": image(0), "d/y.jpg": image(1), "b/notes.txt": b"", "README.md": b"", "b/._x.jpg": b""}
    write_files(tmp_path / "in", files)
    (tmp_path / "in/a").mkdir()
    (tmp_path / "in/c").mkdir()
    (tmp_path / "in/.git").mkdir()
    _, said = make(tmp_path / "in", out)
    assert json.loads((out / "classes.json").read_text()) == ["a", "b", "c", "d"]
    assert labels(out) == {"b/x": 1, "d/y": 3}
    assert "3 files are no images by their suffix and are passed over" in said[0]
    assert "2 of 4 classes have no image and keep their number: a, c" in said[1]


def test_classes_that_are_numbers_are_said_to_be_numbered_anew(tmp_path, out):
    write_files(tmp_path / "in", {f"{n}/x.jpg": image(n) for n in (1, 2, 10)})
    _, said = make(tmp_path / "in", out)
    assert labels(out) == {"1/x": 0, "10/x": 1, "2/x": 2}
    assert "the classes are numbers" in said[0]


def test_a_table_of_another_split_is_used(tmp_path, out):
    write_files(tmp_path / "in", {"b/x.jpg": image(0)})
    (tmp_path / "classes.json").write_text('["a", "b"]')
    make(tmp_path / "in", out, classes=tmp_path / "classes.json")
    assert labels(out) == {"b/x": 1}
    assert json.loads((out / "classes.json").read_text()) == ["a", "b"]


def test_several_folders_share_their_classes(tmp_path, out):
    one = write_files(tmp_path / "one", {"a/x.jpg": image(0), "c/x.jpg": image(1)})
    two = write_files(tmp_path / "two", {"b/x.jpg": image(2), "c/x.jpg": image(3)})
    make([one, two], out)
    assert by_image(out) == {image(0): b"0", image(1): b"2", image(2): b"1", image(3): b"2"}


def test_thousands_of_classes(tmp_path, out):
    picture = image(0, width=8, height=8)
    write_files(tmp_path / "in", {f"n{n:05d}/x.jpg": picture for n in range(3000)})
    report, _ = make(tmp_path / "in", out)
    assert report.num_classes == 3000
    assert labels(out) == {f"n{n:05d}/x": n for n in range(3000)}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"a/x.jpg": b"", "y.jpg": b""},
            "images must lie in the folder of their class, got 'y.jpg' beside the 1 class",
        ),
        ({"y.jpg": b""}, "must hold a folder for each class, got images without classes"),
        ({"y.txt": b""}, "must hold a folder for each class, got no folder"),
        ({"y.tar": b""}, "must hold a folder for each class, got tars"),
        ({"a/y.txt": b""}, "the class folders must hold images, got none in the 1 folders"),
        ({"train/a/x.jpg": b"", "Val/a/y.jpg": b""}, "must be the folder of one split, got that of Val, train"),
        ({"test/a/x.jpg": b""}, "must be the folder of one split, got that of test"),
    ],
)
def test_a_folder_that_is_none_of_classes_is_refused(tmp_path, out, files, message):
    write_files(tmp_path / "in", files)
    with pytest.raises(ValueError, match=message):
        make(tmp_path / "in", out)
    assert not out.exists()


def test_classes_may_be_called_like_splits(tmp_path, out):
    files = {"train/a/1.jpg": image(0), "train/2.jpg": image(1), "test/3.jpg": image(2)}
    report, _ = make(write_files(tmp_path / "in", files), out)
    assert report.num_classes == 2


def test_a_pipe_and_a_device_are_bad_samples_that_nobody_waits_for(tmp_path, out):
    write_files(tmp_path / "in", {"a/x.jpg": image(0)})
    os.mkfifo(tmp_path / "in" / "a" / "pipe.jpg")
    (tmp_path / "in" / "a" / "zeros.jpg").symlink_to("/dev/zero")
    report, _ = make(tmp_path / "in", out, skip_bad=True)
    assert labels(out) == {"a/x": 0}
    assert [bad.reason for bad in report.bad] == ["the file cannot be read: it is a pipe, a socket or a device"] * 2


def test_a_slow_disk_is_waited_for_by_threads_and_changes_nothing(tmp_path, out, monkeypatch):
    root = write_files(tmp_path / "in", pets())
    make(root, out)
    monkeypatch.setattr("streamaug.making.files._SLOW_SECONDS", -1.0)
    monkeypatch.setattr("streamaug.making.files._SLOW_IN_ALL", -1.0)
    make(root, tmp_path / "slow")
    assert contents(tmp_path / "slow") == contents(out)


# --- lists


def write_csv(path, lines, **options):
    with Path(path).open("w", newline="", encoding=options.pop("encoding", "utf-8")) as file:
        csv.writer(file, **options).writerows(lines)
    return path


def test_a_list_with_names_of_classes(tmp_path, out):
    write_files(tmp_path, {"in/x y.jpg": image(0), "in/z.jpg": image(1)})
    path = write_csv(
        tmp_path / "list.csv", [["id", "Image", "Label"], ["1", "in/x y.jpg", "wolf"], ["2", "in/z.jpg", "ape"]]
    )
    make(path, out)
    assert labels(out) == {"in/x_y": 1, "in/z": 0}
    assert json.loads((out / "classes.json").read_text()) == ["ape", "wolf"]


def test_a_list_with_numbers_needs_no_table_and_no_header(tmp_path, out):
    write_files(tmp_path, {"x.jpg": image(0), "z.jpg": image(1)})
    make(write_csv(tmp_path / "list.csv", [["x.jpg", "3"], ["z.jpg", "0"]], delimiter=","), out)
    assert labels(out) == {"x": 3, "z": 0}
    assert not (out / "classes.json").exists()


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_list_is_separated_by_semicolons_or_tabs_where_its_first_line_has_no_comma(delimiter, tmp_path, out):
    write_files(tmp_path, {"x, y.jpg": image(0), "z.jpg": image(1)})
    lines = [["image", "class"], ["x, y.jpg", "wolf"], ["z.jpg", "ape"]]
    make(write_csv(tmp_path / "list.csv", lines, delimiter=delimiter), out)
    assert sorted(labels(out).values()) == [0, 1]


def test_a_list_with_tabs_a_mark_of_its_encoding_absolute_paths_and_no_labels(tmp_path, out):
    write_files(tmp_path, {"data/x.jpg": image(0)})
    lines = [["path"], [tmp_path / "data/x.jpg"]]
    make(write_csv(tmp_path / "list.tsv", lines, delimiter="\t", encoding="utf-8-sig"), out)
    assert list(labels(out).values()) == [None]
    assert opened(out, components=("jpg",)).num_samples == 1


def test_columns_that_are_named(tmp_path, out):
    write_files(tmp_path, {"x.jpg": image(0)})
    path = write_csv(tmp_path / "list.csv", [["image", "label", "photo", "kind"], ["no", "5", "x.jpg", "6"]])
    make(path, out, image_column="photo", label_column="kind")
    assert labels(out) == {"x": 6}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "must name images, got an empty file"),
        ([["a", "b"], ["x.jpg", "1"]], "must have a column of images, got a, b"),
        ([["image", "b"], ["x.jpg", "1"]], "must have the column 'label', got image, b"),
        ([["image", "label"], ["x.jpg"]], r"must have at least 2 columns, got \['x.jpg'\] in line 2"),
        ([["image", "label"], ["nowhere.jpg", "1"]], "must exist, got none of 1, '.*nowhere.jpg' first"),
        ([["image", "label"]], "must name images, got a header alone"),
        ([["image", "label"], ["x.jpg", "a"], ["x.jpg", " "]], "must have a label, got none in line 3"),
        ([["image", "label"], ["x.jpg", "1"], ["x.jpg", "0.5"]], "labels: must be class numbers, .* got '0.5'"),
        (
            [["image", "label"], ["x.jpg", "1"], ["x.jpg", "nan"]],
            r"got 1 number .* 1 name \('nan' in line 3\)",
        ),
        ([["image", "label"], ["x.jpg", "-1"]], "class numbers must be 0 to"),
        ([["image", 'la"bel'], ["x.jpg", 'a"b']], "must have the column 'label'"),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path, out, lines, message):
    write_files(tmp_path, {"x.jpg": image(0)})
    with pytest.raises(ValueError, match=message):
        make(write_csv(tmp_path / "list.csv", lines), out)


MIXED = [["image", "label"], [], ["x.jpg", "10"], ["z.jpg", "ape"], ["x.jpg", "9.0"]]


def test_a_column_of_numbers_and_words_is_refused_by_file_line_and_value(tmp_path, out):
    """As names, numbers would be counted anew in the order of their characters: class 10 before class 9."""
    write_files(tmp_path, {"x.jpg": image(0), "z.jpg": image(1)})
    path = write_csv(tmp_path / "list.csv", MIXED)
    message = (
        rf"labels of {path} must be class numbers or names in all rows, got 2 numbers \('10' in line 3\) and 1 name "
        r"\('ape' in line 4\)\. Repair .*--classes"
    )
    with pytest.raises(ValueError, match=message):
        make(path, out)


def test_numbers_among_the_names_of_a_given_table_are_names(tmp_path, out):
    write_files(tmp_path, {"x.jpg": image(0), "z.jpg": image(1), "classes.txt": b"10\nape\n9.0\n"})
    make(write_csv(tmp_path / "list.csv", MIXED), out, classes=tmp_path / "classes.txt")
    assert labels(out) == {"x": 0, "z": 1, "x~2": 2}


@pytest.mark.parametrize("names", [("nan", "ape"), ("3d", "2d"), ("n01440764", "n01443537")])
def test_words_that_only_look_like_numbers_are_names(tmp_path, out, names):
    write_files(tmp_path, {"x.jpg": image(0), "z.jpg": image(1)})
    make(write_csv(tmp_path / "list.csv", [["image", "label"], *zip(("x.jpg", "z.jpg"), names, strict=True)]), out)
    assert json.loads((out / "classes.json").read_text()) == sorted(names)


def test_a_list_in_utf_16_is_called_so(tmp_path, out):
    (tmp_path / "list.csv").write_text("image,label\nx.jpg,1\n", encoding="utf-16")
    with pytest.raises(ValueError, match="must be UTF-8, got UTF-16"):
        make(tmp_path / "list.csv", out)


def test_files_that_a_list_names_and_nobody_can_read_are_bad_samples(tmp_path, out):
    write_files(tmp_path, {"x.jpg": image(0)})
    (tmp_path / "link.jpg").symlink_to(tmp_path / "nothing")
    (tmp_path / "folder.jpg").mkdir()
    lines = [["image", "label"], *([name, "1"] for name in ("x.jpg", "none.jpg", "link.jpg", "folder.jpg", "n\0.jpg"))]
    report, _ = make(write_csv(tmp_path / "list.csv", lines), out, skip_bad=True)
    assert labels(out) == {"x": 1}
    reasons = {bad.source.rpartition("/")[2]: bad.reason for bad in report.bad}
    assert reasons["none.jpg"] == reasons["link.jpg"] == "the file cannot be read: No such file or directory"
    assert reasons["folder.jpg"] == "the file cannot be read: Is a directory"
    assert reasons["n\0.jpg"] == "the file cannot be read: no file has such a name"


# --- tables


def saved_images():
    return [f"{n:09d}" for n in range(6)]


def test_a_saved_dataset(out):
    pytest.importorskip("pyarrow")
    report, _ = make(SAVED, out)
    assert labels(out) == {key: n % 3 for n, key in enumerate(saved_images())}
    assert json.loads((out / "classes.json").read_text()) == ["ant", "bee", "cat"]
    assert (report.num_classes, report.suffixes) == (3, {"jpg", "cls"})


def test_arrow_files_by_name_of_both_formats(tmp_path, out):
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({"img": [image(0), image(1)], "label": ["b", "a"]})
    for name, begin in (("stream.arrow", arrow.ipc.new_stream), ("file.arrow", arrow.ipc.new_file)):
        with begin(str(tmp_path / name), table.schema) as writer:
            writer.write_table(table, max_chunksize=1)
    make([tmp_path / "stream.arrow", tmp_path / "file.arrow"], out)
    assert by_image(out) == {image(0): b"1", image(1): b"0"}
    assert len(samples(out)) == 4


def test_a_dataset_as_the_library_saves_and_splits_it(tmp_path, out):
    import datasets  # takes seconds

    datasets.disable_progress_bars()
    features = datasets.Features({"pic": datasets.Image(), "kind": datasets.ClassLabel(names=["x", "y"])})
    rows = {"pic": [{"bytes": image(n), "path": None} for n in range(5)], "kind": [0, 1, 1, 0, 1]}
    data = datasets.Dataset.from_dict(rows, features=features)
    data.shuffle(seed=0).save_to_disk(str(tmp_path / "saved"), num_shards=2)
    datasets.DatasetDict({"train": data, "test": data}).save_to_disk(str(tmp_path / "both"))
    make(tmp_path / "saved", out)
    assert by_image(out) == {image(n): b"%d" % rows["kind"][n] for n in range(5)}
    with pytest.raises(ValueError, match=r"must be one split, got a dataset of several, .*both: test, train"):
        make(tmp_path / "both", tmp_path / "no")


def test_parquet_with_images_inside_and_parquet_with_their_names(tmp_path, out):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    files = {f"{n}.jpg": image(n) for n in range(7)}
    write_files(tmp_path, files)
    kept = [{"bytes": data, "path": name} for name, data in files.items()]
    parquet.write_table(
        arrow.table({"image": kept, "label": list(range(7))}), tmp_path / "in.parquet", row_group_size=3
    )
    parquet.write_table(arrow.table({"file_name": list(files), "label": list(range(7))}), tmp_path / "names.parquet")
    for name in ("in", "names"):
        make(tmp_path / f"{name}.parquet", out / name, shard_size=20_000)
        assert by_image(out / name) == {data: b"%d" % n for n, data in enumerate(files.values())}


def test_rows_without_an_image_are_bad_samples(tmp_path, out):
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({"image": [image(0), None], "label": [0, 1]})
    with arrow.ipc.new_stream(str(tmp_path / "x.arrow"), table.schema) as writer:
        writer.write_table(table)
    report, _ = make(tmp_path / "x.arrow", out, skip_bad=True)
    assert report.bad == [("000000001", f"{tmp_path / 'x.arrow'}, row 1", "the row has no image")]


@pytest.mark.parametrize("name", ["x.arrow", "x.parquet", "d/state.json"])
def test_tables_that_are_none_are_refused(tmp_path, out, name):
    pytest.importorskip("pyarrow")
    write_files(tmp_path, {name: b"nothing of the kind"})
    with pytest.raises(ValueError, match="must be a"):
        make(tmp_path / name.partition("/state")[0], out)


def test_without_pyarrow_the_extra_is_named(tmp_path, out, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    write_files(tmp_path, {"x.parquet": b""})
    with pytest.raises(ValueError, match=r"needs pyarrow, got none. pip install 'streamaug\[arrow\]'"):
        make(tmp_path / "x.parquet", out)


# --- tars


def test_tars_keep_all_components_and_clashing_keys_are_numbered(tmp_path, out):
    for number in range(2):
        members = [
            ("a.jpeg", image(number)),
            ("a.json", b"{}"),
            ("a.seg.png", b"mask"),
            ("b.png", image(9, "PNG")),
            ("b.cls", b"5"),
        ]
        write_tar(tmp_path / f"x-{number}.tar", members)
    _, said = make(str(tmp_path / "x-{0..1}.tar"), out)
    found = samples(out)
    assert set(found) == {"a", "a~2", "b", "b~2"}
    assert {found["a"]["jpeg"], found["a~2"]["jpeg"]} == {image(0), image(1)}
    assert found["a"].keys() == {"jpeg", "json", "seg.png"}
    assert found["b"] == {"png": image(9, "PNG"), "cls": b"5"}
    assert "2 samples had the key of another one" in said[0]


def test_only_the_image_of_a_tar_s_sample_is_reduced(tmp_path, out):
    large = image(0, width=200)
    write_tar(tmp_path / "x.tar", [("a.jpg", large), ("a.cls", b"1"), ("a.seg.png", large)])
    make(tmp_path / "x.tar", out, max_side=50)
    found = samples(out)["a"]
    assert found["seg.png"] == large
    assert len(found["jpg"]) < len(large)


def test_samples_without_an_image_are_bad_and_damaged_tars_end_the_run(tmp_path, out):
    write_tar(tmp_path / "x.tar", [("a.txt", b"text"), ("b.jpg", image(0))])
    report, _ = make(tmp_path / "x.tar", out, skip_bad=True)
    assert report.bad == [("a", f"{tmp_path / 'x.tar'} at offset 0", "it has no image, only txt")]
    write_tar(tmp_path / "y.tar", pairs(5))
    (tmp_path / "y.tar").write_bytes((tmp_path / "y.tar").read_bytes()[:3000])
    with pytest.raises(ShardError, match=r"y\.tar"):
        make(tmp_path / "y.tar", tmp_path / "no")


# --- what is a source


def test_sources_of_two_kinds_unknown_ones_and_missing_ones_are_refused(tmp_path, out):
    write_files(tmp_path, {"in/a/x.jpg": image(0), "x.csv": b"x.jpg", "x.zip": b""})
    for sources, message in (
        ([tmp_path / "in", tmp_path / "x.csv"], "must be of one kind, got an image folder, .*in, and a list, .*csv"),
        ([tmp_path / "x.zip"], "must be a folder, .csv, .tsv, .parquet, .arrow or .tar, got"),
        ([tmp_path / "none"], "SOURCE: must exist"),
        (["s3://bucket/folder"], "tars and CSV lists may lie in object storage, got s3://bucket/folder"),
    ):
        with pytest.raises(ValueError, match=message):
            make(sources, out)


def test_a_folder_in_the_source_and_one_with_other_shards_are_no_output(tmp_path, out):
    root = write_files(tmp_path / "in", pets(3))
    with pytest.raises(ValueError, match="OUTPUT: must not lie in SOURCE"):
        make(root, tmp_path / "in/shards")
    (tmp_path / "mine").mkdir()
    write_tar(tmp_path / "mine/shard-000000.tar", pairs(2))
    before = contents(tmp_path / "mine")
    with pytest.raises(ValueError, match="got shards of another making"):
        make(root, tmp_path / "mine")
    assert contents(tmp_path / "mine") == before


def test_an_output_that_cannot_be_written_is_named(tmp_path):
    root = write_files(tmp_path / "in", pets(3))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="must be writable"):
        make(root, tmp_path / "file/out")
