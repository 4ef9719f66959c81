"""`LandmarkDataModule`: what it tells, what the trainer gets, and how a YAML file spells it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonargparse
import lightning
import pytest
import torch
from torch import Tensor, nn

from lit_landmarks.data import Augmentation, FaceDataset, LandmarkDataModule, SyntheticFaces
from lit_landmarks.errors import UserError
from lit_landmarks.metrics import NORMS, FaceMetrics
from lit_landmarks.types import FaceBatch, Prediction

Make = Callable[..., Path]
MakeSet = Callable[..., FaceDataset]

YAML = """
class_path: lit_landmarks.data.LandmarkDataModule
init_args:
  root: {root}
  train:
    mine:
      class_path: lit_landmarks.data.Ibug300W
      init_args: {{root: faces, first: 3}}
  val:
    mine:
      class_path: Ibug300W
      init_args: {{root: faces, last: 2, boxes: jittered}}
    other:
      class_path: lit_landmarks.data.Ibug300W
      init_args: {{root: faces}}
  frame_size: 64
  batch_size: 3
  augmentation: {{rotation: 10, flip: 0.25}}
"""


class _Spy(lightning.LightningModule):
    """Writes down what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.seen: dict[str, list[FaceBatch]] = {"train": [], "val": [], "test": []}

    def training_step(self, batch: FaceBatch, index: int) -> Tensor:
        self.seen["train"].append(batch)
        return self.weight.sum()

    def validation_step(self, batch: FaceBatch, index: int) -> None:
        self.seen["val"].append(batch)

    def test_step(self, batch: FaceBatch, index: int) -> None:
        self.seen["test"].append(batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def _trainer(folder: Path, epochs: int) -> lightning.Trainer:
    return lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )


def test_yaml_builds_it(make_faces: Make, tmp_path: Path) -> None:
    root = make_faces(n=5)
    parser = jsonargparse.ArgumentParser()
    parser.add_subclass_arguments(lightning.LightningDataModule, "data", skip={"prepare_data"})
    path = tmp_path / "data.yaml"
    path.write_text("data:\n" + YAML.format(root=root.parent).replace("\n", "\n  "))
    module = parser.instantiate_classes(parser.parse_path(path)).data
    assert isinstance(module, LandmarkDataModule)
    spec = module.spec
    assert [(d.name, d.role, d.size) for d in spec.datasets] == [
        ("mine", "train", 3),
        ("mine", "val", 2),
        ("other", "val", 5),
    ]
    assert spec.scheme == "ibug68"
    assert spec.n_points == 68
    assert spec.conventions == ("300w",)
    assert module.augmentation == Augmentation(rotation=10, flip=0.25)


def test_trainer_gets_ready_batches(dot_faces: MakeSet, tmp_path: Path) -> None:
    module = LandmarkDataModule(
        train={"a": dot_faces(n=11, dots=68)},
        val={"v": dot_faces(n=5), "a": dot_faces(n=4)},
        frame_size=64,
        batch_size=4,
        eval_batch_size=6,
        cache_dir=str(tmp_path),
    )
    spy = _Spy()
    _trainer(tmp_path, epochs=2).fit(spy, datamodule=module)
    train = spy.seen["train"]
    assert [len(b) for b in train] == [4, 4] * 2, "the last, smaller batch is left out"
    for batch in (*train, *spy.seen["val"]):
        assert type(batch) is FaceBatch
        assert batch.image.dtype == torch.float32
        assert batch.image.shape[1:] == (3, 64, 64)
        assert 0 <= float(batch.image.min()) <= float(batch.image.max()) <= 1
        assert batch.norms.shape == (len(batch), len(NORMS))
    orders = [torch.cat([b.index for b in train[i : i + 2]]).tolist() for i in (0, 2)]
    assert orders[0] != orders[1]
    undisturbed = list(module.batches("train", random=True, epoch=1))
    assert torch.equal(undisturbed[0].image, train[2].image), "epoch 1 can be had without epoch 0"
    # A sanity check of validation, then two epochs of it; never random.
    val = spy.seen["val"]
    assert [len(b) for b in val] == [6, 3] * 3
    assert torch.equal(val[0].points, val[2].points)
    assert val[0].dataset_id.tolist() == [1] * 5 + [2]


def test_missing_sets_are_fine(dot_faces: MakeSet, tmp_path: Path) -> None:
    module = LandmarkDataModule(train={"a": dot_faces(n=2)}, cache_dir=str(tmp_path))
    assert module.val_dataloader() == []
    assert module.test_dataloader() == []
    with pytest.raises(UserError, match=r"no data set in data\.init_args\.val"):
        next(module.batches("val"))
    only_test = LandmarkDataModule(
        train={}, test={"a": dot_faces(n=2)}, cache_dir=str(tmp_path), frame_size=64
    )
    spy = _Spy()
    _trainer(tmp_path, 1).test(spy, datamodule=only_test, verbose=False)
    assert [len(b) for b in spy.seen["test"]] == [2]


def test_workers_change_nothing(dot_faces: MakeSet, tmp_path: Path) -> None:
    def batches(workers: int) -> list[FaceBatch]:
        module = LandmarkDataModule(
            train={"a": dot_faces(n=8)},
            frame_size=64,
            batch_size=4,
            num_workers=workers,
            cache_dir=str(tmp_path),
        )
        spy = _Spy()
        _trainer(tmp_path, 1).fit(spy, datamodule=module)
        return spy.seen["train"]

    for alone, helped in zip(batches(0), batches(1), strict=True):
        assert torch.equal(alone.image, helped.image)
        assert torch.equal(alone.points, helped.points)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"frame_size": 8}, "frame_size 8"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"source_scale": 1.0}, "source_scale 1.0"),
        ({"scheme": "dlib5"}, "dlib5"),
        ({"weights": {"b": 1.0}}, "'b', no training set; known: a"),
        ({"weights": {"a": 0.0}}, "weight of 'a'"),
        ({"yaw_bins": {"a": [0.0, 90.0]}}, "'a', no validation or test set; known: $"),
    ],
)
def test_bad_arguments(dot_faces: MakeSet, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        LandmarkDataModule(train={"a": dot_faces(n=2)}, **kwargs)
    with pytest.raises(UserError, match="no data set"):
        LandmarkDataModule(train={})


def test_relative_roots_start_at_root(make_faces: Make) -> None:
    from lit_landmarks.data import Ibug300W

    root = make_faces(n=2)
    module = LandmarkDataModule(train={"a": Ibug300W("faces")}, root=str(root.parent))
    assert module.spec.datasets[0].size == 2
    lost = LandmarkDataModule(train={"a": Ibug300W("faces")}, root=str(root))
    with pytest.raises(UserError, match="no folder"):
        _ = lost.spec


def test_shape_statistics(
    dot_faces: MakeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lit_landmarks.data.module._SHAPES", 4000)
    dataset: Any = dot_faces(n=600, dots=68)
    module = LandmarkDataModule(train={"a": dataset}, cache_dir=str(tmp_path), seed=4)
    first, again = module.shape_statistics(), module.shape_statistics()
    assert dataset.loads == 0, "no pixel is needed"
    assert 4000 <= first.count < 5000
    assert torch.equal(first.mean, again.mean)
    assert torch.equal(first.components, again.components)
    faces = module.faces("train", pixels=False)
    assert faces is not None
    batch = faces.__getitems__(range(600))
    points = module.transform.points(batch, random=True, epoch=77)
    unit = ((points + 0.5) / module.frame_size - 0.5).flatten(1)
    gap = (unit - first.mean) @ first.components.mT
    assert float((gap.var(0).sum() / first.variances.sum()).log().abs()) < 0.25
    none = LandmarkDataModule(train={"a": dot_faces(n=3, dots=4)}, cache_dir=str(tmp_path))
    with pytest.raises(UserError, match="no training face has all points"):
        none.shape_statistics()


def test_weights_reach_the_order(dot_faces: MakeSet, tmp_path: Path) -> None:
    module = LandmarkDataModule(
        train={"a": dot_faces(n=6), "b": dot_faces(n=4)},
        weights={"a": 0.5, "b": 3.0},
        cache_dir=str(tmp_path),
        frame_size=64,
        batch_size=5,
    )
    ids = torch.cat([b.dataset_id for b in module.batches("train", random=True)])
    assert torch.bincount(ids).tolist() == [3, 12]


def test_bins_of_yaw_are_measured_alone(tmp_path: Path) -> None:
    faces = SyntheticFaces(n=24, seed=3, max_yaw=80.0, image_size=64, visibility=False)
    module = LandmarkDataModule(
        train={"heads": faces},
        test={"heads": faces},
        yaw_bins={"heads": [0.0, 30.0, 90.0]},
        cache_dir=str(tmp_path),
        frame_size=64,
    )
    assert [d.yaw_bins for d in module.spec.datasets] == [(), (0.0, 30.0, 90.0)]
    metrics = FaceMetrics(module.spec, "test")
    batch = next(module.batches("test"))
    turned = batch.pose[:, 0].abs() > 30.0
    shift = torch.where(turned, 2.0, 1.0)[:, None, None]
    metrics.update(Prediction(batch.points + shift), batch)
    values = metrics.compute()
    box = batch.points.amax(1) - batch.points.amin(1)
    errors = 100 * shift[:, 0, 0] * 2**0.5 / box.prod(-1).sqrt()
    for name, members in (("yaw_0_30", ~turned), ("yaw_30_90", turned)):
        wanted = float(errors[members].mean())
        assert values[f"test/heads/nme_box/{name}"] == pytest.approx(wanted, rel=1e-4)


def test_some_of_the_training_sets_alone() -> None:
    def build(only: list[str]) -> LandmarkDataModule:
        sets: dict[str, FaceDataset] = {name: SyntheticFaces(n=4) for name in ("a", "b", "c")}
        weights = {"a": 2.0, "b": 0.5}
        return LandmarkDataModule(sets, val=dict(sets), only=only, weights=weights)

    module = build(["a", "c"])
    assert list(module.sets["train"]) == ["a", "c"]
    assert list(module.sets["val"]) == ["a", "b", "c"]
    assert module.weights == {"a": 2.0}
    assert module.drawn_faces == 12
    with pytest.raises(UserError, match=r"only names 'd', no training set; there are: a, b, c"):
        build(["d"])
