"""A method that an object hands to what it owns, so that the two do not keep each other alive.

A chain that nobody refers to is then freed at once, and not by some later collection of garbage. This matters for
Ctrl-C: after a long collection the interpreter often finds one pending, and swallows it where the collection calls
Python functions, as those of `weakref.WeakMethod` and `weakref.finalize` are.
"""

import weakref
from collections.abc import Callable
from types import MethodType
from typing import Any


class WeakCall:
    """Calls a bound method; returns None once its object was freed.

    Args:
        method: The bound method. Its object is not kept alive.

    Raises:
        TypeError: If it is a function of another kind.
    """

    def __init__(self, method: Callable[..., Any]) -> None:
        if not isinstance(method, MethodType):
            raise TypeError(f"WeakCall.method: must be a bound method, got {method!r}. Call a function directly.")
        self._owner, self._function = weakref.ref(method.__self__), method.__func__

    def __call__(self, *arguments: Any) -> Any:
        """What the method returns."""
        owner = self._owner()
        return None if owner is None else self._function(owner, *arguments)
