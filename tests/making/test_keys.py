"""Keys: valid for webdataset, and different, whatever files are called."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webdataset.tariterators import base_plus_ext

from streamaug.making.keys import unique_keys, valid_key


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("cats/a", "cats/a"),
        ("cats/my.photo.v2", "cats/my_photo_v2"),
        ("v1.2/a", "v1.2/a"),
        ("../data/./x//a", "data/x/a"),
        ("/data/a", "data/a"),
        ("cats/", "cats/_"),
        ("", "_"),
        ("my cats/a b\tc", "my_cats/a_b_c"),
        ("katzen/größe", "katzen/größe"),
        ("猫/一", "猫/一"),
        ("\udcff\udcfe/a\u2420b", "_/a_b"),
        ("__meta__/a", "_meta__/a"),
        ("a/__meta__", "a/__meta__"),
    ],
)
def test_a_name_becomes_the_nearest_valid_key(name, key):
    assert valid_key(name) == key


def test_keys_that_clash_are_numbered_and_never_clash_with_others():
    names = ["a/x.1", "a/x_1", "a/x~2", "a/x_1~2", "a/x.1", "b/x_1"]
    assert unique_keys(names) == (["a/x_1", "a/x_1~2", "a/x~2", "a/x_1~2~2", "a/x_1~3", "b/x_1"], 3)


@given(st.lists(st.text(alphabet=st.characters(codec=None), max_size=12), max_size=20))
def test_any_names_become_different_keys_that_webdataset_reads_as_they_are(names):
    keys, _ = unique_keys(names)
    assert len(set(keys)) == len(names)
    for key in keys:
        assert base_plus_ext(f"{key}.jpg") == (key, "jpg")
        assert not re.match("__[^/]*__($|/)", f"{key}.jpg")
        assert not re.search(r"\s", key)
