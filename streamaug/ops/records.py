"""Operations as plain records, for JSON and for tables.

In: an operation. Out: a dict of its class name and fields, and back again. Classes are found by name among this
package's operations and those that the caller names; nothing is imported because a file says so.
"""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from streamaug import ops
from streamaug.errors import RecipeError
from streamaug.ops.base import Operation

_NAME = "operation"


def to_record(operation: Operation) -> dict[str, Any]:
    """The operation's class name under "operation", and all its fields; tuples become lists in JSON."""
    return {_NAME: type(operation).__name__, **values(operation)}


def from_record(record: Mapping[str, Any], own: Iterable[type[Operation]] = ()) -> Operation:
    """The operation of a record.

    Args:
        record: What `to_record` gave, possibly through JSON.
        own: Classes of operations that are not streamaug's.

    Raises:
        RecipeError: If there is no such class, or it has no such field, or a value is refused.
    """
    name = record.get(_NAME)
    known = {each.__name__: each for each in [*_ours(), *own]}
    if name not in known:
        raise RecipeError(
            f"Recipe.from_json: every operation must be one of streamaug.ops or given, got {name!r}. "
            f"Pass operations=[{name}]."
        )
    given = {field: _tuples(value) for field, value in record.items() if field != _NAME}
    allowed = {field.name for field in _fields(known[name])}
    if given.keys() - allowed:
        wrong = sorted(given.keys() - allowed)
        raise RecipeError(f"Recipe.from_json: {name} has no fields {wrong}, only {sorted(allowed)}. Remove them.")
    return known[name](**given)


def values(operation: Operation) -> dict[str, Any]:
    """The fields and their values."""
    return {field.name: getattr(operation, field.name) for field in _fields(type(operation))}


def changed(operation: Operation) -> dict[str, Any]:
    """The fields whose values are not the defaults, probability left out."""
    found = values(operation)
    required = {field.name for field in _fields(type(operation)) if field.default is MISSING}
    plain = values(type(operation)(**{name: found[name] for name in required}))
    differ = {name: value for name, value in found.items() if name in required or value != plain[name]}
    return {name: value for name, value in differ.items() if name != "probability"}


def _fields(operation: type[Operation]) -> tuple[Field[Any], ...]:
    return fields(operation)  # type: ignore[arg-type]  # every operation is a dataclass, which its base cannot say


def _ours() -> list[type[Operation]]:
    found = [getattr(ops, name) for name in ops.__all__]
    return [each for each in found if isinstance(each, type) and issubclass(each, Operation)]


def _tuples(value: Any) -> Any:
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value
