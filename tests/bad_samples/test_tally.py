"""Substitution tells: at the first bad sample, at 1% and at 10% of those met, with the commonest reason."""

import warnings

import pytest
from tars import write_tar

import streamaug as sa
from streamaug.bad_samples.tally import Tally


def said(met, bad, reason="it has no component cls"):
    """The warnings of so many samples of which some are bad, in batches of 100: (samples met, text)."""
    tally, out = Tally(), []
    for start in range(0, met, 100):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            tally.meet(100)
            for number in range(start, start + 100):
                if bad(number):
                    tally.add(f"sample {number}", reason)
            tally.judge()
        out += [(start + 100, str(warning.message)) for warning in caught]
    return out


def test_a_single_bad_sample_is_said_and_no_more():
    ((met, text),) = said(5000, lambda number: number == 1234)
    assert met == 1300
    assert text.startswith("on_bad_sample: each sample should be usable, got sample 1234: it has no component cls.")


def test_a_few_in_thousands_are_said_once():
    assert len(said(20_000, lambda number: number % 1000 == 999)) == 1


def test_one_in_fifty_is_said_at_the_first_and_as_more_than_a_hundredth():
    first, share = said(5000, lambda number: number % 50 == 49)
    assert first[0] == 100
    assert share[0] == 200
    assert "fewer than 1% of the samples should be bad, got 2.0%, 4 of 200 met" in share[1]


def test_half_of_all_is_said_three_times_and_never_again():
    texts = [text for _, text in said(2000, lambda number: number % 2)]
    assert len(texts) == 3
    assert "fewer than 1%" in texts[1]
    assert (
        "fewer than 10% of the samples should be bad, got 50.0%, 50 of 100 met, most often (50 of 50) because"
        in texts[2]
    )


def test_a_share_that_grows_later_is_said_when_it_is_reached():
    mets = [met for met, _ in said(3000, lambda number: number >= 2000)]
    assert mets == [2100, 2100, 2300]  # 100 of 2,100 are above 1%, 300 of 2,300 above 10%


def test_the_commonest_reason_is_told_whatever_numbers_and_names_are_in_it():
    tally = Tally()
    tally.meet(100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(30):
            tally.add("s", f"its label must be an ASCII integer, got 'cat{number}'" if number % 3 else "it is cut off")
    with pytest.warns(UserWarning, match=r"\(20 of 30\) because its label must be an ASCII integer, got 'cat1'"):
        tally.judge()
    assert tally.commonest() == "its label must be an ASCII integer, got 'cat1'"


@pytest.fixture
def half(tmp_path):
    """64 samples of which every second has no label."""
    members = []
    for number in range(64):
        members += [(f"k{number:03d}.jpg", b"image"), *([] if number % 2 else [(f"k{number:03d}.cls", b"1")])]
    return write_tar(tmp_path / "half-0.tar", members)


def test_a_fault_of_half_of_a_set_is_heard(half):
    reader = sa.ShardReader(sa.ShardSet.open(half), batch_size=8, lanes=2, on_bad_sample="substitute")
    with pytest.warns(UserWarning, match="on_bad_sample") as caught:
        assert len(list(reader)) == 8
    texts = [str(warning.message) for warning in caught]
    assert len(texts) == 3
    assert "half-0.tar: it has no component cls, but jpg" in texts[0]
    assert "fewer than 1%" in texts[1]
    assert "fewer than 10%" in texts[2]
    assert "because it has no component cls, but jpg" in texts[2]
    with warnings.catch_warnings(record=True) as later:
        warnings.simplefilter("always")
        list(reader)
    assert later == []


def test_a_sample_that_a_function_rejects_is_not_bad(half):
    shards = sa.ShardSet.open(half, components=("jpg", "cls"))
    reader = sa.ShardReader(shards, batch_size=8, lanes=2, on_bad_sample="substitute")
    chain = reader.map_samples(lambda key, components: None if int(key[1:]) % 4 == 0 else components)
    with pytest.warns(UserWarning, match="on_bad_sample") as caught:
        list(chain)
    assert "of 64 met" not in str(caught[0].message)
    assert reader.num_bad_samples == 32


def test_the_error_of_a_set_without_a_usable_sample_gives_the_commonest_reason(tmp_path):
    path = write_tar(tmp_path / "none-0.tar", [(f"k{number:03d}.jpg", b"image") for number in range(20)])
    reader = sa.ShardReader(sa.ShardSet.open(path), batch_size=4, lanes=2, on_bad_sample="substitute")
    with pytest.raises(sa.BadSampleError, match="most often because it has no component cls, but jpg"):
        list(reader)
