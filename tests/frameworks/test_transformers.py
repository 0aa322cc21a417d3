"""Chains in Hugging Face's Trainer, on one rank and on two: resumed exactly, evaluated without padding."""

import warnings

import pytest

pytest.importorskip("transformers")

import loops
import transformers_rows as rows
import two
from torch.utils.data import DataLoader

import streamaug as sa
from streamaug.integrations.transformers import LoaderState

pytestmark = pytest.mark.filterwarnings("ignore")


def check(found, name, places):
    _, _, batches, saved = rows.ROWS[name]
    whole = [places[digest] for digest in found["whole"]]
    assert whole == loops.epochs(0, 1)
    assert found["steps"] == {1: 12, 4: 4}[batches]
    for step, (seen, steps) in zip(saved, found["resumed"], strict=True):
        done = step if batches == 1 else {1: 4, 2: 6, 3: 10}[step]
        assert [places[digest] for digest in seen] == whole[done:]
        assert steps == found["steps"]


@pytest.mark.parametrize("name", rows.ROWS)
def test_a_resumed_training_is_given_the_rest(url, mixed_places, tmp_path, name):
    check(rows.row(url, str(tmp_path), name, 1), name, mixed_places)


@pytest.fixture(scope="module")
def of_two(url, tmp_path_factory):
    return two.run("transformers_rows.py", tmp_path_factory.mktemp("transformers") / "ranks", url)


@pytest.mark.parametrize("name", ["mixin", "accumulated"])
def test_a_resumed_training_of_two_ranks_is_given_the_rest(of_two, name):
    for found in of_two:
        check(found[name], name, found["places"])


def check_evaluation(url, found, places):
    labels = [label for batch in loops.evaluated(url) for label in batch.targets.tolist()][:97]
    assert found["rows"] == [97, 97]
    assert found["labels"] == [labels] * 4  # before, twice in the training, and predicted
    assert found["loss"] == pytest.approx(rows.exact_loss(url), abs=1e-5)
    assert [places[digest] for digest in found["seen"]] == loops.epochs(0)


def test_an_evaluation_counts_every_image_once(url, mixed_places, tmp_path):
    check_evaluation(url, rows.evaluate(url, str(tmp_path), 1), mixed_places)


def test_an_evaluation_of_two_ranks_counts_every_image_once(url, of_two):
    for found in of_two:
        check_evaluation(url, found["evaluated"], found["places"])


def test_a_loader_of_ones_own_trains_and_is_told_what_resumes(url, mixed_places, tmp_path):
    run = rows.wrapped(url, str(tmp_path), 1)
    assert [mixed_places[digest] for digest in run()] == loops.epochs(0, 1)
    assert [mixed_places[digest] for digest in run(f"{tmp_path}/checkpoint-6")] == loops.epochs(1)
    with pytest.raises(sa.StreamaugError, match="skip_first_batches: must not be given a DataLoader"):
        run(f"{tmp_path}/checkpoint-4")


def test_a_chain_itself_is_told_what_to_use(url, tmp_path):
    class OwnTrainer(rows.PreparedTrainer):
        def get_train_dataloader(self):
            return self.chain.as_dicts()

    def run(checkpoint=None):
        arguments = rows.arguments(str(tmp_path), 1, num_train_epochs=1)
        trainer = OwnTrainer(rows.Model(), arguments, chain=loops.mixed(url), callbacks=[LoaderState()])
        trainer.train(resume_from_checkpoint=checkpoint)

    run()
    with pytest.raises(AttributeError, match="StreamTrainerMixin"):
        run(f"{tmp_path}/checkpoint-4")


def test_a_chain_as_train_dataset_is_refused_with_words(url, tmp_path):
    trainer = rows.Trainer(
        rows.Model(), rows.arguments(str(tmp_path), 1, max_steps=2), train_dataset=loops.mixed(url).as_dicts()
    )
    with pytest.raises(sa.StreamaugError, match="batch_size=None"):
        trainer.train()


@pytest.mark.parametrize("given", [lambda chain: chain, lambda chain: chain.as_dataset()], ids=["chain", "dataset"])
def test_the_mixin_takes_a_chain_as_train_dataset_for_its_stage(url, mixed_places, tmp_path, given):
    model, chain = rows.Model(), loops.mixed(url)
    rows.ChainTrainer(model, rows.arguments(str(tmp_path), 1), train_dataset=given(chain)).train()
    assert [mixed_places[digest] for digest in model.seen] == loops.epochs(0, 1)


def test_a_checkpoint_without_a_chains_state_is_an_error_and_a_training_without_the_callback_warns(url, tmp_path):
    arguments = rows.arguments(str(tmp_path), 1, num_train_epochs=1)
    trainer = rows.PreparedTrainer(rows.Model(), arguments, chain=loops.mixed(url))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.train()
    assert sum("transformers.LoaderState" in str(warning.message) for warning in caught) == 1
    with pytest.raises(sa.errors.StateError, match="LoaderState: must find the state"):
        rows.train(url, str(tmp_path), 1, "mixin", {}, f"{tmp_path}/checkpoint-4")


def test_a_trainer_that_would_drop_an_optimizer_step_is_refused(url, mixed_places, tmp_path):
    rows.train(url, str(tmp_path), 1, "mixin", {"gradient_accumulation_steps": 4, "save_steps": 1})
    options = {"save_steps": 100, "ignore_data_skip": True, "restore_callback_states_from_checkpoint": True}
    seen, _ = rows.train(url, str(tmp_path), 1, "mixin", options, f"{tmp_path}/checkpoint-1")
    assert [mixed_places[digest] for digest in seen] == loops.epochs(0, 1)[4:]
    options |= {"gradient_accumulation_steps": 4}
    with pytest.raises(sa.StreamaugError, match="ignore_data_skip: must be False"):
        rows.train(url, str(tmp_path), 1, "mixin", options, f"{tmp_path}/checkpoint-1")


def test_wrong_arguments_are_named(url, tmp_path):
    arguments = rows.arguments(str(tmp_path), 1)
    with pytest.raises(TypeError, match=r"StreamTrainerMixin\.train_stage"):
        rows.ChainTrainer(rows.Model(), arguments, train_stage=DataLoader([1]))
    trainer = rows.ChainTrainer(rows.Model(), arguments, eval_stage=loops.evaluated(url, batch_size=8))
    with pytest.raises(ValueError, match="per_device_eval_batch_size: must be that of the evaluated chain, 8, got 16"):
        trainer.evaluate()


def test_the_public_names_are_those_of_the_module():
    from streamaug.integrations import transformers

    assert transformers.__all__ == ["LoaderState", "StreamTrainerMixin"]
