"""Labels: one rule for all who read them."""

import pytest

from streamaug.samples import label
from streamaug.samples.label import parse_label


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"0", 0),
        (b"999", 999),
        (b"007", 7),
        (b"+5", 5),
        (b" 7", 7),
        (b"5\r\n", 5),
        (b"\t12\n\n", 12),
        (memoryview(b"3"), 3),
        (b"9" * 18, 10**18 - 1),
    ],
)
def test_ascii_digits_with_white_space_around_them_are_a_label(text, value):
    assert parse_label(text) == value


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"cat",
        b"3.5",
        b"1e3",
        b"0x5",
        b"1_0",
        b"12 13",
        b"5\0",
        b"\xef\xbb\xbf5",
        "٣".encode(),
        b"+-5",
        b"+ 5",
    ],
)
def test_anything_else_is_refused_with_what_it_says(text):
    with pytest.raises(ValueError, match=r"^must be an ASCII integer, got '"):
        parse_label(text)


@pytest.mark.parametrize(
    "text", [b"9223372036854775808\n", b"+1234567890123456789", b"0" * 18 + b"1", b"-" + b"9" * 19]
)
def test_more_digits_than_an_int64_always_holds_are_refused_as_such(text):
    with pytest.raises(ValueError, match=r"^must have at most 18 digits, so that it fits int64, got '[-+]?\d{19}"):
        parse_label(text)


def test_negative_numbers_are_refused():
    with pytest.raises(ValueError, match=r"^must not be negative, got -1$"):
        parse_label(b"-1\n")


def test_a_label_must_be_below_the_number_of_classes():
    assert parse_label(b"9", num_classes=10) == 9
    with pytest.raises(ValueError, match="must be below 10, the number of classes, got 10"):
        parse_label(b"10", num_classes=10)


@pytest.mark.parametrize("unit", [b"9", b"0", b" ", b"-", b"\n5"])
def test_huge_labels_are_refused_without_making_a_number_of_them(unit, monkeypatch):
    """Which takes time that is quadratic in their digits."""
    numbers = []
    monkeypatch.setattr(label, "int", numbers.append, raising=False)
    with pytest.raises(ValueError, match="bytes") as refusal:
        parse_label(unit * 10_000_000)
    assert not numbers
    assert len(str(refusal.value)) < 120
