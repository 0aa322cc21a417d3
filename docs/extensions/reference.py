"""A check at the end of the build: every public name stands in the reference.

In: the modules whose reference was built. Out: a warning, and so an error of `make docs`, for each name of an `__all__`
that is documented nowhere.
"""

from importlib import import_module
from types import ModuleType
from typing import Any

from sphinx.util import logging

_LOGGER = logging.getLogger(__name__)


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("env-check-consistency", _check)
    return {"parallel_read_safe": True}


def _check(_app: Any, env: Any) -> None:
    domain = env.get_domain("py")
    documented = {name.rpartition(".")[2] for name in domain.objects}
    for module in domain.modules:
        if module.rpartition(".")[2] in env.config.autodoc_mock_imports:
            continue  # it imports a framework that is not here
        for name, value in ((name, getattr(import_module(module), name)) for name in import_module(module).__all__):
            if not isinstance(value, ModuleType) and name not in documented:
                _LOGGER.warning("%s.%s is public and stands nowhere in the reference", module, name)
