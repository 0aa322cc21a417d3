"""Labels: one rule for all who read them."""

import time

import pytest

from streamaug.labels import parse_label


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


def test_negative_numbers_are_refused():
    with pytest.raises(ValueError, match=r"^must not be negative, got -1$"):
        parse_label(b"-1\n")


def test_a_label_must_be_below_the_number_of_classes():
    assert parse_label(b"9", num_classes=10) == 9
    with pytest.raises(ValueError, match="must be below 10, the number of classes, got 10"):
        parse_label(b"10", num_classes=10)


@pytest.mark.parametrize("unit", [b"9", b"0", b" ", b"-", b"\n5"])
def test_huge_labels_are_refused_at_once(unit):
    text = unit * 10_000_000
    begun = time.perf_counter()
    with pytest.raises(ValueError, match="bytes") as refusal:
        parse_label(text)
    assert time.perf_counter() - begun < 0.1
    assert len(str(refusal.value)) < 120
