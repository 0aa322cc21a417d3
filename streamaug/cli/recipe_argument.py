"""A recipe as a command's argument: a name, a file, or an attribute of a module of the user's.

In: the argument. Out: the recipe. An exception of the user's code becomes an error that names its line.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from streamaug import recipes
from streamaug.cli.user_code import line_of
from streamaug.errors import RecipeError
from streamaug.recipes.recipe import Recipe

#: The ready recipes, with their defaults.
NAMED: dict[str, Callable[[], Recipe]] = {
    "imagenet_train": recipes.imagenet_train,
    "imagenet_eval": recipes.imagenet_eval,
    "imagenet_tta": recipes.imagenet_tta,
}


def load_recipe(name: str) -> Recipe:
    """A named recipe, a recipe from a JSON file, or an attribute of a module: a recipe, or a function that makes one.

    Raises:
        RecipeError: If there is no such recipe.
    """
    if name in NAMED:
        return NAMED[name]()
    if name.endswith(".json"):
        try:
            text = Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise RecipeError(f"RECIPE: the file must be readable text, got {name!r}: {reason}. Check it.") from error
        return Recipe.from_json(text)
    module, _, attribute = name.partition(":")
    if module.endswith(".py") and attribute:
        raise RecipeError(f"RECIPE: must be module:attribute, got a file in {name!r}. Write {module[:-3]}:{attribute}.")
    if not module.strip(".") or not attribute:
        raise RecipeError(f"RECIPE: must be one of {', '.join(NAMED)}, a .json file or module:attribute, got {name!r}.")
    return _of_module(name, module, attribute)


def _of_module(name: str, module: str, attribute: str) -> Recipe:
    """The attribute of a user's module; an exception of its code becomes an error that names its line."""
    sys.path.insert(0, "")
    try:
        recipe: Any = getattr(import_module(module), attribute)
        recipe = recipe() if callable(recipe) else recipe
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise RecipeError(
            f"RECIPE: {name!r} must be importable, and be or make a Recipe, got {reason}{line_of(error)}. "
            "Check the name and the code."
        ) from error
    if not isinstance(recipe, Recipe):
        raise RecipeError(f"RECIPE: {name!r} must be or make a Recipe, got {type(recipe).__name__}. Return a Recipe.")
    return recipe
