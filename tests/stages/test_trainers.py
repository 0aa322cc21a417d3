"""A trainer whose checkpoints do not bring the chain back is warned of once; who it is, the callers of a pass tell."""

import warnings
from types import ModuleType, SimpleNamespace

import pytest
from chains import STEPS, plain

#: A training loop as these libraries have it: a module of this name, a function of this name, and its `self`.
LOOPS = {
    "lightning": ("lightning.pytorch.loops.training_epoch_loop", "advance"),
    "transformers": ("transformers.trainer", "get_batch_samples"),
}
VALIDATION = {
    "lightning": ("lightning.pytorch.loops.evaluation_loop", "run"),
    "transformers": ("transformers.trainer", "evaluation_loop"),
}


def loop(module, name):
    """A function of a module that takes all batches of a chain."""
    names = vars(ModuleType(module))
    exec(f"def {name}(self, chain):\n    return len(list(chain))", names)
    return names[name]


def trainer(callbacks):
    """`self` of either loop."""
    return SimpleNamespace(
        trainer=SimpleNamespace(callbacks=callbacks), callback_handler=SimpleNamespace(callbacks=callbacks)
    )


def warned(chain, run, callbacks):
    """The warnings of two epochs."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert [run(trainer(callbacks), chain) for _ in range(2)] == [STEPS, STEPS]
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("name", LOOPS)
def test_training_without_a_loader_state_warns_once_and_names_it(uneven, name):
    (message,) = warned(plain(uneven[0]), loop(*LOOPS[name]), [object()])
    assert f"streamaug.integrations.{name}.LoaderState()" in message


@pytest.mark.parametrize("name", LOOPS)
def test_with_one_of_ones_own_it_does_not(uneven, name):
    kind = type("LoaderState", (), {"__module__": f"streamaug.integrations.{name}"})
    derived = type("Mine", (kind,), {"__module__": "mine"})
    for callback in (kind(), derived()):
        assert warned(plain(uneven[0]), loop(*LOOPS[name]), [callback]) == []


@pytest.mark.parametrize("name", VALIDATION)
def test_validation_within_training_needs_none(uneven, name):
    validate, (module, function) = loop(*VALIDATION[name]), LOOPS[name]
    names = vars(ModuleType(module)) | {"validate": validate}
    exec(f"def {function}(self, chain):\n    return validate(self, chain)", names)
    assert warned(plain(uneven[0]), names[function], []) == []


def test_a_loop_of_ones_own_needs_none(uneven):
    assert warned(plain(uneven[0]), loop("mine.train", "train"), []) == []
