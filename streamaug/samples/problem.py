"""`Problem`: why a sample cannot be used, in the words of an error and of the quarantine.

The readers of a sample's bytes make a `Problem`; a `Replace` acts on it. This module reads nothing.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from streamaug.errors import BadSampleError

if TYPE_CHECKING:
    from streamaug.batch import EncodedBatch


class Problem(NamedTuple):
    """The reason why a sample cannot be used.

    Attributes:
        reason: One line, to go on after "it must be usable, but".
        error: The class of the error where bad samples are errors.
        component: The component that has the problem; None: the image.
        lasting: Whether the sample's bytes alone decide, so that for the same chain it is bad in every epoch.
        cause: The error of a user's function, where it is to blame.
        is_missing: Whether the sample lacks the component.
    """

    reason: str
    error: type[BadSampleError]
    component: str | None = None
    lasting: bool = False
    cause: Exception | None = None
    is_missing: bool = False


#: Given a batch and its bad rows, the batch with stand-ins in those rows, or the error.
Replace = Callable[["EncodedBatch", Mapping[int, Problem]], "EncodedBatch"]


def missing(alternatives: tuple[str, ...], suffixes: tuple[str, ...] = ()) -> Problem:
    """The sample has no such component.

    Args:
        alternatives: The suffixes that the component may have.
        suffixes: The suffixes of the sample; empty where the caller does not have them.
    """
    reason = f"it has no component {' or '.join(alternatives)}"
    if suffixes:
        reason += f", but {' and '.join(suffixes)}"
    if any("." in suffix and suffix.rpartition(".")[2] in alternatives for suffix in suffixes):
        reason += " (a suffix begins at the first dot of a name: write the stems without dots)"
    return Problem(reason, BadSampleError, alternatives[0], lasting=True, is_missing=True)


def mismatch(name: str) -> Problem:
    """The bytes do not match their checksum; not lasting, since they may have changed in transit."""
    return Problem(f"component {name} does not match its checksum", BadSampleError, name)
