from pathlib import Path

import pytest

from streamaug.storage import StorageOptions


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("10GB", 10 * 10**9),
        ("10 GB", 10 * 10**9),
        ("10gb", 10 * 10**9),
        ("10GiB", 10 * 2**30),
        ("1.5MB", 1_500_000),
        ("2TiB", 2 << 40),
        ("512 kB", 512_000),
        ("100000000B", 100_000_000),
        (10**9, 10**9),
        (1e9, 10**9),
    ],
)
def test_bytes_may_be_text_with_a_unit(text, number):
    options = StorageOptions(memory_limit=text, cache_limit=text, cache_min_free=text)
    assert (options.memory_limit, options.cache_limit, options.cache_min_free) == (number,) * 3
    assert all(type(value) is int for value in (options.memory_limit, options.cache_limit, options.cache_min_free))


@pytest.mark.parametrize("value", ["10", "10G", "GB", "-1GB", "ten GB", "", 1.5, -1, True, None, [1]])
def test_bytes_that_mean_nothing_plain_are_refused(value):
    with pytest.raises(ValueError, match=r'StorageOptions\.memory_limit.*"10GB"'):
        StorageOptions(memory_limit=value)


@pytest.mark.parametrize("name", ["request_timeout", "deadline", "concurrency", "memory_limit"])
@pytest.mark.parametrize("value", [0, float("nan"), "soon", True, None])
def test_numbers_must_be_positive(name, value):
    with pytest.raises(ValueError, match=rf"StorageOptions\.{name}"):
        StorageOptions(**{name: value})


def test_what_else_means_nothing_is_refused():
    with pytest.raises(ValueError, match=r"StorageOptions\.concurrency: must be a whole number, got 1\.5"):
        StorageOptions(concurrency=1.5)
    with pytest.raises(ValueError, match=r'StorageOptions\.check: must be "version" or "size", got \'etag\''):
        StorageOptions(check="etag")
    for name in ("anonymous", "hedge"):
        with pytest.raises(TypeError, match=rf"StorageOptions\.{name}: must be True or False, got 'no'"):
            StorageOptions(**{name: "no"})


@pytest.mark.parametrize(
    ("name", "value"), [("endpoint", 5), ("region", 5), ("cache_dir", 5), ("cache_dir", b"x"), ("cache_dir", "")]
)
def test_a_value_of_another_type_is_refused(name, value):
    with pytest.raises(ValueError, match=rf"StorageOptions\.{name}: must be .*, got {value!r}\. "):
        StorageOptions(**{name: value})


def test_the_cache_is_in_the_folder_that_was_meant(tmp_path, monkeypatch):
    """A home is filled in, and a program may change its folder before it reads."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert StorageOptions(cache_dir="~/cache").cache_dir == str(tmp_path / "home" / "cache")
    relative = StorageOptions(cache_dir=Path("cache"))
    monkeypatch.chdir("/")
    assert relative.cache_dir == tmp_path / "cache"
    assert StorageOptions().cache_dir is None
    with pytest.raises(ValueError, match=r"StorageOptions\.cache_dir: must be a folder, got ''\. Leave it out"):
        StorageOptions(cache_dir="")


@pytest.mark.parametrize("endpoint", ["minio:9000", "http://", "http://h:99999", "http://h h", "ftp://h", "http://h\n"])
def test_an_endpoint_must_be_a_url(endpoint):
    with pytest.raises(ValueError, match=r"StorageOptions\.endpoint: must be an http"):
        StorageOptions(endpoint=endpoint)
