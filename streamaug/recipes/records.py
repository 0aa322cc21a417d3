"""Operations as plain records, for JSON and for tables.

In: an operation. Out: a dict of its class name and fields, and back again. Classes are looked up by name among this
package's operations and those that the caller passes; a file never causes an import.
"""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields, replace
from typing import Any

from streamaug import ops
from streamaug.errors import RecipeError
from streamaug.ops.base import Operation

_NAME = "operation"


def to_record(operation: Operation) -> dict[str, Any]:
    """The operation's class name under "operation", and all its fields; tuples become lists in JSON."""
    record = {field: _recorded(value) for field, value in values(operation).items()}
    return {_NAME: type(operation).__name__, **record}


def from_record(record: Mapping[str, Any], own: Iterable[type[Operation]] = ()) -> Operation:
    """The operation of a record.

    Args:
        record: The result of `to_record`, possibly through JSON.
        own: Classes of operations that are not streamaug's.

    Raises:
        RecipeError: If there is no such class, or it has no such field, or a value is refused.
    """
    name = record.get(_NAME)
    classes = {operation.__name__: operation for operation in [*_ours(), *own]}
    if name not in classes:
        raise RecipeError(
            f"Recipe.from_json: every operation must be one of streamaug.ops or given, got {name!r}. "
            f"Pass operations=[{name}]."
        )
    given = {field: _read(value, own) for field, value in record.items() if field != _NAME}
    allowed = {field.name for field in _fields(classes[name])}
    if given.keys() - allowed:
        wrong = sorted(given.keys() - allowed)
        raise RecipeError(f"Recipe.from_json: {name} has no fields {wrong}, only {sorted(allowed)}. Remove them.")
    return classes[name](**given)


def values(operation: Operation) -> dict[str, Any]:
    """The fields and their values."""
    return {field.name: getattr(operation, field.name) for field in _fields(type(operation))}


def changed(operation: Operation) -> dict[str, Any]:
    """The fields whose values are not the defaults, probability left out."""
    differ = {}
    for field in _fields(type(operation)):
        value = getattr(operation, field.name)
        if field.name != "probability" and not _is_default(operation, field, value):
            differ[field.name] = value
    return differ


def _is_default(operation: Any, field: Field[Any], value: Any) -> bool:
    """Whether the value is the field's default, in its checked form; only optional fields have a default."""
    if field.default is MISSING or value == field.default:
        return field.default is not MISSING
    try:
        plain = replace(operation, **{field.name: field.default})
    except (RecipeError, ValueError):  # the default does not go with the other fields
        return False
    return bool(getattr(plain, field.name) == value)


def _fields(operation: type[Operation]) -> tuple[Field[Any], ...]:
    return fields(operation)  # type: ignore[arg-type]  # every operation is a dataclass, which its base cannot say


def _ours() -> list[type[Operation]]:
    exported = [getattr(ops, name) for name in ops.__all__]
    return [member for member in exported if isinstance(member, type) and issubclass(member, Operation)]


def _recorded(value: Any) -> Any:
    """A field's value for JSON; operations in it become records."""
    if isinstance(value, Operation):
        return to_record(value)
    return [_recorded(member) for member in value] if isinstance(value, tuple | list) else value


def _read(value: Any, own: Iterable[type[Operation]]) -> Any:
    """A field's value from JSON."""
    if isinstance(value, Mapping):
        return from_record(value, own)
    return tuple(_read(member, own) for member in value) if isinstance(value, list | tuple) else value
