"""The rule for labels, the same for the reader, for class balancing and for `streamaug check`.

In: the bytes of a label component. Out: the class number, or the reason why the component is not a label. A sample
whose label is refused here is a bad sample for all three.
"""

import re

from streamaug.encoded import Encoded

#: The most digits that fit an int64, whatever the digits are.
_DIGITS = 18
_NUMBER = re.compile(rb"\+?[0-9]{1,%d}" % _DIGITS)
_NEGATIVE = re.compile(rb"-[0-9]{1,%d}" % _DIGITS)
_TOO_LONG = re.compile(rb"[+-]?[0-9]{%d,}" % (_DIGITS + 1))


def parse_label(text: Encoded, num_classes: int | None = None) -> int:
    """The class number in a label component: ASCII digits, at most 18, with ASCII white space around them.

    A leading plus is allowed; underscores, other signs and other alphabets' digits are not.

    Args:
        text: The component's bytes.
        num_classes: The number must be below it; None: it must only not be negative.

    Returns:
        0..num_classes−1, or 0..10¹⁸−1.

    Raises:
        ValueError: With the reason alone, to go on after "its label": "must be an ASCII integer, got 'cat'".
    """
    stripped = bytes(text).strip()
    if _NUMBER.fullmatch(stripped) is None:
        if _NEGATIVE.fullmatch(stripped) is not None:
            raise ValueError(f"must not be negative, got {stripped.decode()}")
        if _TOO_LONG.fullmatch(stripped) is not None:
            raise ValueError(f"must have at most {_DIGITS} digits, so that it fits int64, got {_excerpt(text)}")
        raise ValueError(f"must be an ASCII integer, got {_excerpt(text)}")
    value = int(stripped)
    if num_classes is not None and value >= num_classes:
        raise ValueError(f"must be below {num_classes}, the number of classes, got {value}")
    return value


def _excerpt(text: Encoded) -> str:
    """The first 20 bytes, quoted, and the number of bytes where it is larger."""
    start = repr(bytes(text[:20]).decode("ascii", "backslashreplace"))
    return start if len(text) <= 20 else f"{start}… of {len(text)} bytes"
