"""Finds the operations that the package exports, so that a new one which no test knows is noticed."""

import dataclasses
import inspect

from streamaug import ops


def exported_operations():
    """Every class of `ops.__all__` that a recipe can hold."""
    members = [getattr(ops, name) for name in ops.__all__]
    classes = [member for member in members if inspect.isclass(member) and issubclass(member, ops.Operation)]
    return [member for member in classes if dataclasses.is_dataclass(member)]


def names(classes):
    """Their names, sorted, for a message that can be read."""
    return sorted(member.__name__ for member in classes)
