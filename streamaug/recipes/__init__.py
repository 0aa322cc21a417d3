"""Recipes as frozen data: the operations on an image, its output and annotations, and ready recipes."""

from streamaug.recipes.imagenet import imagenet_eval, imagenet_train, imagenet_tta
from streamaug.recipes.views import VIEWS, view_names

__all__ = ["VIEWS", "imagenet_eval", "imagenet_train", "imagenet_tta", "view_names"]
