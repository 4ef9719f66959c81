"""What is read from the source is what the classes say when they are imported."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Trainer

from lit_landmarks.data import DATASETS, LandmarkDataModule
from lit_landmarks.data.layouts import LAYOUTS
from lit_landmarks.errors import UserError
from lit_landmarks.methods import METHODS
from lit_landmarks.settings import Request, Task, catalog
from lit_landmarks.settings.diagnosis import class_arguments
from lit_landmarks.settings.preflight import DATA_MODULE, GROUPS, ROLES, check_settings
from lit_landmarks.settings.shipped import find_file, shipped_names
from lit_landmarks.training.loggers import LoggerOptions
from lit_landmarks.training.wandb_logging import WandbOptions
from lit_landmarks.types import ROLES as ROLES_OF_TYPES

_ASMNET = find_file(Path("asmnet"), "configs")


def _ours(registry: dict[str, Any]) -> dict[str, Any]:
    """Classes of the package; other tests register their own."""
    return {n: c for n, c in registry.items() if c.__module__.startswith("lit_landmarks.")}


def test_the_names_are_those_of_the_registries() -> None:
    assert catalog.list_methods().keys() == _ours(METHODS).keys()
    assert catalog.list_datasets().keys() == _ours(DATASETS).keys()
    assert catalog.list_layouts().keys() == _ours(LAYOUTS).keys()
    assert {*catalog.list_renderers()} == {n for n, c in _ours(DATASETS).items() if c.rendered}
    assert ROLES == ROLES_OF_TYPES


def _pairs() -> list[tuple[type[Any], catalog.DeclaredClass]]:
    pairs = [
        (Trainer, catalog.find_class(*GROUPS["trainer"])),
        (WandbOptions, catalog.find_class(*GROUPS["wandb"])),
        (LoggerOptions, catalog.find_class(*GROUPS["loggers"])),
        (LandmarkDataModule, catalog.find_class(*DATA_MODULE)),
    ]
    pairs += [(cls, catalog.list_methods()[name]) for name, cls in _ours(METHODS).items()]
    return pairs + [(cls, catalog.list_datasets()[n]) for n, cls in _ours(DATASETS).items()]


@pytest.mark.parametrize(("cls", "declared"), _pairs(), ids=lambda v: getattr(v, "__name__", ""))
def test_arguments_are_those_of_the_class(cls: type[Any], declared: catalog.DeclaredClass) -> None:
    real = class_arguments(cls)
    assert {n: a.required for n, a in declared.arguments.items()} == {
        n: a.required for n, a in real.items()
    }
    plain = {n: a.hint for n, a in declared.arguments.items() if a.hint is not None}
    assert plain == {n: real[n].hint for n in plain}
    assert declared.summary == (cls.__doc__ or "").partition("\n")[0]


def test_hints_that_are_aliases_of_other_modules() -> None:
    declared = catalog.find_class(*GROUPS["trainer"]).arguments["precision"].hint
    members = {v for literal in typing.get_args(declared) for v in typing.get_args(literal)}
    assert {16, "bf16-mixed", "64-true"} <= members
    sampling = catalog.list_methods()["MuSiCa"].arguments["sampling"].hint
    assert typing.get_args(sampling) == ("integer", "bilinear")
    with pytest.raises(LookupError, match="no class Trainr"):
        catalog.find_class("lightning.pytorch.trainer.trainer", "Trainr")
    assert catalog.read_module("no_such_package.module") is None


#: Put after another config, so without training sets of their own.
FRAGMENTS = (
    "label_shift",
    "data/upright",
    "data/dense_boxes",
    "data/whole_photos",
    "data/detector_jitter",
    "data/visibility",
    "data/wide",
)


@pytest.mark.parametrize("name", [n for n in shipped_names("configs") if n not in FRAGMENTS])
def test_shipped_configs_pass(name: str) -> None:
    check_settings("fit", [find_file(Path(name), "configs")], [])


@pytest.mark.parametrize(
    "override",
    [
        "--trainer.max_time=00:00:01:00",
        "--trainer.devices=[0]",
        "--trainer.precision=32",
        "--trainer.limit_val_batches=0.5",
        "--trainer.callbacks+=EarlyStopping",
        "--wandb.tags=[a]",
        "--loggers.tensorboard=true",
        "--model.optimizer.init_args.lr=1e-3",
        "--model.dropout=1e-1",
        "--model.loss.pose_weight=0",
        "--data.num_workers=2",
        "--data.weights=null",
        "--trainer.logger=CSVLogger",
        "--data.augmentation.rotation=3",
        '--trainer={"max_epochs": 3}',
        "--model.normalizer=null",
        "--trainer.profiler=simple",
    ],
)
def test_what_the_parser_takes_is_not_refused_before(override: str) -> None:
    check_settings("fit", [_ASMNET], [override])


@pytest.mark.parametrize(
    "override",
    [
        "--trainer.max_epochs=few",
        "--trainer.max_epoch=3",
        "--model.dropuot=1",
        "--model=ASMNt",
        "--data.init_args.train.synthetic.init_args.n=few",
        "--wandb.mod=offline",
        "--loggers.tensorbord=true",
        "--data.batch_sise=3",
        "--seed_everything=x",
        "--model.frame_size=64",
    ],
)
def test_both_checks_say_the_same(override: str) -> None:
    request = Request("fit", [_ASMNET], overrides=[override])
    with pytest.raises(UserError) as early:
        check_settings("fit", request.configs, request.overrides)
    with pytest.raises(UserError) as late:
        Task(request)
    # Those who wait for the parser hear of the same mistake; a file is named where one set it.
    first, second = (str(e.value).split(";")[0].split(" in /")[0] for e in (early, late))
    assert first == second
