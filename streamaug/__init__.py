"""streamaug streams sharded WebDataset tars through one DALI graph into training loops.

    from streamaug import ShardReader, ShardSet, recipes

    shards = ShardSet.open("s3://bucket/train-{000000..001023}.tar")
    loader = (
        ShardReader(shards, batch_size=256)
        .augment(recipes.imagenet_train())
        .mixup_or_cutmix(num_classes=1000)
    )
    for batch in loader:
        batch.images, batch.targets

Importing this imports a name's module where the name is first used, so that a command which needs no tensors starts
without torch. It never imports DALI; building an `Augmenter` does.
"""

import importlib as _importlib
import typing as _typing

if _typing.TYPE_CHECKING:
    from streamaug import errors, geometry, mix, ops, order, random, recipes, tta
    from streamaug.batch import Batch, EncodedBatch, Origin, Prediction
    from streamaug.errors import (
        BadSampleError,
        IndexFormatError,
        RecipeError,
        ShardError,
        StateError,
        StorageError,
        StreamaugError,
        TargetError,
    )
    from streamaug.mix import MixPlan
    from streamaug.order.shuffled import SampleOrder
    from streamaug.recipes.annotations import Annotations
    from streamaug.recipes.output import Output
    from streamaug.recipes.recipe import Recipe
    from streamaug.shards.shard_set import ShardSet
    from streamaug.stages.augmenter import Augmenter
    from streamaug.stages.base import Stage
    from streamaug.stages.map_batch import MapBatch
    from streamaug.stages.map_samples import MapSamples
    from streamaug.stages.mixing import CutMix, Mixup, MixupOrCutMix
    from streamaug.stages.progress import progress
    from streamaug.stages.reader import ShardReader
    from streamaug.stages.stats import StageStats, Stats
    from streamaug.stages.tta import TestTimeAugment
    from streamaug.storage import StorageOptions

__all__ = [
    "Annotations",
    "Augmenter",
    "BadSampleError",
    "Batch",
    "CutMix",
    "EncodedBatch",
    "IndexFormatError",
    "MapBatch",
    "MapSamples",
    "MixPlan",
    "Mixup",
    "MixupOrCutMix",
    "Origin",
    "Output",
    "Prediction",
    "Recipe",
    "RecipeError",
    "SampleOrder",
    "ShardError",
    "ShardReader",
    "ShardSet",
    "Stage",
    "StageStats",
    "StateError",
    "Stats",
    "StorageError",
    "StorageOptions",
    "StreamaugError",
    "TargetError",
    "TestTimeAugment",
    "errors",
    "geometry",
    "mix",
    "ops",
    "order",
    "progress",
    "random",
    "recipes",
    "tta",
]

#: Public name to the module it is defined in; a module of ours stands for itself.
_HOMES = {
    "Annotations": "streamaug.recipes.annotations",
    "Augmenter": "streamaug.stages.augmenter",
    "BadSampleError": "streamaug.errors",
    "Batch": "streamaug.batch",
    "CutMix": "streamaug.stages.mixing",
    "EncodedBatch": "streamaug.batch",
    "IndexFormatError": "streamaug.errors",
    "MapBatch": "streamaug.stages.map_batch",
    "MapSamples": "streamaug.stages.map_samples",
    "MixPlan": "streamaug.mix",
    "Mixup": "streamaug.stages.mixing",
    "MixupOrCutMix": "streamaug.stages.mixing",
    "Origin": "streamaug.batch",
    "Output": "streamaug.recipes.output",
    "Prediction": "streamaug.batch",
    "Recipe": "streamaug.recipes.recipe",
    "RecipeError": "streamaug.errors",
    "SampleOrder": "streamaug.order.shuffled",
    "ShardError": "streamaug.errors",
    "ShardReader": "streamaug.stages.reader",
    "ShardSet": "streamaug.shards.shard_set",
    "Stage": "streamaug.stages.base",
    "StageStats": "streamaug.stages.stats",
    "StateError": "streamaug.errors",
    "Stats": "streamaug.stages.stats",
    "StorageError": "streamaug.errors",
    "StorageOptions": "streamaug.storage",
    "StreamaugError": "streamaug.errors",
    "TargetError": "streamaug.errors",
    "TestTimeAugment": "streamaug.stages.tta",
    "errors": "streamaug.errors",
    "geometry": "streamaug.geometry",
    "mix": "streamaug.mix",
    "ops": "streamaug.ops",
    "order": "streamaug.order",
    "progress": "streamaug.stages.progress",
    "random": "streamaug.random",
    "recipes": "streamaug.recipes",
    "tta": "streamaug.tta",
}


def __getattr__(name: str) -> _typing.Any:
    """A public name, imported when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _importlib.import_module(_HOMES[name])
    value = module if module.__name__ == f"{__name__}.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
