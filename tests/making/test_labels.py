"""The class table: which number stands for which name."""

import json

import pytest

from streamaug.making.labels import numbered, read_table, write_table
from streamaug.making.listing import Listed, Listing


def listing(labels, class_names=None):
    return Listing(None, [Listed(str(n), n, 1, label) for n, label in enumerate(labels)], class_names)


def test_names_are_numbered_in_the_order_of_their_characters_over_all_sources():
    listings = [listing(["dog", "cat"], ["cat", "dog", "empty"]), listing(["ant"], ["ant"])]
    assert numbered(listings, None) == ([3 - 1, 1, 0], ["ant", "cat", "dog", "empty"])


def test_numbers_stay_as_they_are():
    assert numbered([listing([7, 0])], None) == ([7, 0], None)
    assert numbered([listing([1, 0], ["a", "b"])], None) == ([1, 0], ["a", "b"])
    assert numbered([listing([1, 0])], ["a", "b"]) == ([1, 0], ["a", "b"])


def test_a_given_table_decides():
    assert numbered([listing(["a", "b"])], ["b", "x", "a"]) == ([2, 0], ["b", "x", "a"])


@pytest.mark.parametrize(
    ("listings", "given", "message"),
    [
        (
            [listing(["a"]), listing([1])],
            None,
            "labels must be of one kind in all sources, got class names and class num",
        ),
        ([listing(["a"]), listing([None])], None, "got class names and samples without a label"),
        ([listing(["a"])], ["b"], "the table must name every class of SOURCE, got none for 'a' among 1"),
        ([listing([2], ["a", "b"])], None, "class numbers must be 0 to 1, got 2"),
        ([listing([-1])], None, "class numbers must be 0 to 999999999999999999, got -1"),
        ([listing([0], ["a"]), listing([0], ["b"])], None, "one table must hold for all of SOURCE"),
        ([listing([0], ["a"])], ["b"], "one table must hold for all of SOURCE"),
    ],
)
def test_labels_that_do_not_fit_are_refused(listings, given, message):
    with pytest.raises(ValueError, match=message):
        numbered(listings, given)


def test_a_table_is_read_as_it_was_written_and_as_lines(tmp_path):
    names = ["b", "ä x", "\udcff", "new\nline"]
    path = tmp_path / "classes.json"
    path.write_text(write_table(names))
    assert read_table(str(path)) == names == json.loads(path.read_text())
    path.write_text("tench\ngold fish\n")
    assert read_table(str(path)) == ["tench", "gold fish"]


@pytest.mark.parametrize("text", ["ant\nbee\n", "\ufeffant\r\nbee\r\n\r\n", '\ufeff["ant", "bee"]\n'])
def test_a_table_is_read_as_editors_save_it(tmp_path, text):
    path = tmp_path / "names"
    path.write_bytes(text.encode())
    assert read_table(str(path)) == ["ant", "bee"]


@pytest.mark.parametrize("text", ["", "[]", "a\na\n", "[1]", '["a"', '{"a": 0}', "a\n\nb\n", "\n", '["a", ""]'])
def test_what_is_no_table_is_refused(tmp_path, text):
    path = tmp_path / "names"
    path.write_text(text)
    with pytest.raises(ValueError, match="classes: must be"):
        read_table(str(path))
