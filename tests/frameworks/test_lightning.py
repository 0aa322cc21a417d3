"""Chains in Lightning's Trainer and Fabric: a resumed fit is given what the unbroken one was, whatever its options."""

import subprocess
import sys
import warnings

import pytest

pl = pytest.importorskip("lightning.pytorch")

import json

import lightning_rows as rows
import loops
import torch
import two
from lightning.fabric import Fabric
from lightning.pytorch.callbacks import OnExceptionCheckpoint
from lightning.pytorch.tuner import Tuner
from torch.utils.data import DataLoader

import streamaug as sa
from streamaug.integrations.lightning import LoaderState, StreamDataModule

pytestmark = pytest.mark.filterwarnings("ignore")
#: What Lightning warns of in an ordinary fit, and that is true or not about data.
ALLOWED = ("LeafSpec", "Checkpoint directory")


def told(seen, places):
    """[trainer epoch, batch_idx, data epoch, data step] of each step."""
    return [[epoch, index, *places[digest]] for epoch, index, digest in seen]


def check(found, places):
    """A trainer's epoch and step are the data's; a resumed fit was given the rest of the unbroken one."""
    whole = told(found["whole"], places)
    assert all(place[:2] == place[2:] for place in whole)
    assert {"steps", "ends"} <= {kind for kind, _, _ in found["resumed"]}
    for _, done, seen in found["resumed"]:
        assert told(seen, places) == whole[done:]
    # several validations of one epoch are alike
    assert all(epoch == data for epoch, _, data, _ in found["validated"])


@pytest.mark.parametrize("name", [name for name in rows.ROWS if name != "in half precision"])
def test_a_resumed_fit_is_given_the_rest(url, mixed_places, tmp_path, name):
    found = rows.row(url, tmp_path, name)
    assert len(found["whole"]) == {"limited": 12, "limited, asked": 9, "by steps": 16}.get(name, 18)
    check(found, mixed_places)


def test_half_precision_is_given_the_same_in_half_precision(url, tmp_path):
    places = {}
    for batch in loops.mixed(url).map_batch(lambda batch: batch):
        pair = batch.images.bfloat16(), batch.targets.bfloat16()
        places[loops.digest(*pair)] = [batch.origin.epoch, batch.origin.step]
    model = rows.fit(url, tmp_path, "in half precision")
    assert told(model.seen[:6], places) == [[0, step, 0, step] for step in range(6)]


@pytest.fixture(scope="module")
def folder_of_two(tmp_path_factory):
    return tmp_path_factory.mktemp("two") / "ranks"


@pytest.fixture(scope="module")
def of_two(url, folder_of_two):
    return two.run("lightning_rows.py", folder_of_two, url, timeout=900)


@pytest.mark.parametrize("name", rows.OF_TWO)
def test_a_resumed_fit_of_two_ranks_is_given_the_rest(of_two, name):
    for found in of_two:
        check(found[name], found["places"])
    first, second = ({digest for _, _, digest in found[name]["whole"]} for found in of_two)
    assert not first & second


def test_one_rank_goes_on_where_two_stopped(url, mixed_places, of_two, folder_of_two, tmp_path):
    model = rows.fit(url, tmp_path, "plain", checkpoint=folder_of_two / "plain" / "steps" / "step=8.ckpt")
    assert told(model.seen, mixed_places) == [[*divmod(n, 6), *divmod(n, 6)] for n in range(8, 18)]


def test_ranks_that_lightning_starts_itself_read_their_own_though_the_chain_was_there_before(url, tmp_path):
    command = [sys.executable, str(two.FOLDER / "started_by_python.py"), str(tmp_path), url]
    run = subprocess.run(command, check=False, env=two.clean_environment(), capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-4000:]
    for rank in range(2):
        places = loops.places(url, loops.mixed, ranks=2, rank=rank, epochs=1)
        assert told(json.loads((tmp_path / f"{rank}.json").read_text()), places) == [[0, s, 0, s] for s in range(6)]


@pytest.mark.parametrize("step", [2, 6])
def test_what_ctrl_c_interrupts_is_given_again(url, mixed_places, tmp_path, step):
    model, saver = rows.Model(stops_at=step), OnExceptionCheckpoint(tmp_path, "interrupted")
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        rows.trainer(tmp_path, {}, callbacks=[saver]).fit(model, loops.mixed(url))
    resumed = rows.Model()
    rows.trainer(tmp_path, {}).fit(resumed, loops.mixed(url), ckpt_path=tmp_path / "interrupted.ckpt")
    assert told(resumed.seen, mixed_places) == [[*divmod(n, 6), *divmod(n, 6)] for n in range(step, 18)]


def test_a_fit_that_logs_and_validates_by_tta_gives_no_warning_about_its_data(url, tmp_path):
    class Model(rows.Model):
        def validation_step(self, prediction, batch_idx):
            self.log("right", (prediction.probabilities.argmax(1) == prediction.targets).float().mean())
            self.validated += prediction.origin.sample_ids[~prediction.origin.is_padding].tolist()

    model = Model()
    validation = loops.evaluated(url, views=True).tta(model.model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer = rows.trainer(tmp_path, {"max_epochs": 1, "num_sanity_val_steps": 0, "limit_val_batches": 1.0})
        trainer.fit(model, loops.mixed(url), validation)
    said = [str(warning.message) for warning in caught]
    assert [text for text in said if not any(part in text for part in ALLOWED)] == []
    assert model.validated == list(range(97))


def test_a_fit_without_the_callback_warns_once(url, tmp_path):
    options = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "max_epochs": 2}
    trainer = pl.Trainer(accelerator="cpu", default_root_dir=tmp_path, limit_val_batches=1, **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.fit(rows.Model(), loops.mixed(url), loops.evaluated(url))
    assert sum("LoaderState" in str(warning.message) for warning in caught) == 1


def test_a_tuner_that_tries_steps_without_callbacks_is_no_reason_to_warn(url, tmp_path):
    class Model(rows.Model):
        lr, batch_size = 0.01, 8

        def train_dataloader(self):
            return loops.mixed(url)

    options = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "max_epochs": 1}
    trainer = pl.Trainer(accelerator="cpu", default_root_dir=tmp_path, callbacks=[LoaderState()], **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Tuner(trainer).lr_find(Model(), val_dataloaders=loops.evaluated(url), num_training=4)
        Tuner(trainer).scale_batch_size(Model(), val_dataloaders=loops.evaluated(url), max_trials=1, steps_per_trial=2)
    assert [warning for warning in caught if "LoaderState" in str(warning.message)] == []


def test_a_shorter_chain_goes_round_and_both_go_on_exactly(url, tmp_path):
    class Model(rows.Model):
        def training_step(self, batch, batch_idx):
            self.seen.append([[one.origin.epoch, one.origin.step] for one in (batch["long"], batch["short"])])
            return loops.loss_of(self.model(batch["long"].images), batch["long"].targets)

    def loaders():
        return {"long": loops.mixed(url), "short": loops.plain(url, batch_size=24)}

    def fit(checkpoint=None, saves=()):
        model = Model()
        rows.trainer(tmp_path, {}, callbacks=saves).fit(model, loaders(), ckpt_path=checkpoint)
        return model.seen

    saver = rows.ModelCheckpoint(tmp_path / "steps", "{step}", every_n_train_steps=1, save_top_k=-1)
    whole = fit(saves=[saver])
    assert [long for long, _ in whole] == loops.epochs(0, 1, 2)
    assert [short for _, short in whole[:7]] == [[0, 0], [0, 1], [0, 2], [0, 3], [1, 0], [1, 1], [2, 0]]
    for done in (5, 6, 7):
        assert fit(checkpoint=tmp_path / "steps" / f"step={done}.ckpt") == whole[done:]


def test_another_number_of_chains_is_an_error(url, tmp_path):
    trainer = rows.trainer(tmp_path, {"max_epochs": 1})
    trainer.fit(rows.Model(), loops.mixed(url))
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    two_chains = [loops.mixed(url), loops.mixed(url)]
    with pytest.raises(sa.errors.StateError, match="as many chains as were saved, 1, got 2"):
        rows.trainer(tmp_path, {}).fit(rows.Model(), two_chains, ckpt_path=tmp_path / "one.ckpt")


def test_encoded_batches_pass_through(url, tmp_path):
    class Model(rows.Model):
        def training_step(self, batch, batch_idx):
            self.seen.append(batch.batch_size)
            return self.model(torch.zeros(1, 3, 2, 2)).sum()

    model = Model()
    rows.trainer(tmp_path, {"precision": "64-true"}).fit(model, loops.reader(url, ranks=1))
    assert model.seen == [16] * 18


@pytest.mark.parametrize("wrong", [[], loops.STEPS])
def test_a_module_wants_functions(wrong):
    with pytest.raises(TypeError, match=r"StreamDataModule\.train: must be a function"):
        StreamDataModule(train=wrong)


def test_a_module_without_validation_does_not_pretend_to_have_some(url, tmp_path):
    module = StreamDataModule(train=lambda: loops.mixed(url), test=lambda: loops.evaluated(url))

    class Model(rows.Model):
        test_step = rows.Model.validation_step

    model = Model()
    trainer = rows.trainer(tmp_path, {"max_epochs": 1, "limit_test_batches": 2})
    trainer.fit(model, datamodule=module)
    assert model.validated == []
    trainer.test(model, datamodule=module)
    assert [place[2:] for place in model.validated] == [[0, 0], [0, 1]]


def test_fabric_saves_and_restores_the_chain_itself(url, mixed_places, tmp_path):
    fabric = Fabric(accelerator="cpu", devices=1)
    chain = loops.mixed(url)
    with pytest.raises(TypeError):
        fabric.setup_dataloaders(chain)

    def run(state, count):
        loader = fabric.setup_dataloaders(DataLoader(state["chain"].as_dataset(), batch_size=None))
        seen = []
        while len(seen) < count:
            for batch in loader:
                seen.append(mixed_places[loops.digest(*batch)])
                if len(seen) == count:
                    break
        return seen

    model = fabric.setup(loops.Classifier())
    state = {"chain": chain, "model": model}
    assert run(state, 8) == loops.epochs(0, 1)[:8]
    fabric.save(tmp_path / "state.ckpt", state)
    again = {"chain": loops.mixed(url), "model": model}
    fabric.load(tmp_path / "state.ckpt", again)
    assert run(again, 8) == loops.epochs(0, 1, 2)[8:16]


def test_the_public_names_are_those_of_the_module():
    from streamaug.integrations import lightning

    mine = {name for name, value in vars(lightning).items() if getattr(value, "__module__", "") == lightning.__name__}
    assert {name for name in mine if not name.startswith("_")} == set(lightning.__all__)
    assert issubclass(LoaderState, pl.Callback)
