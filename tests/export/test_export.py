"""Exported files: the same answers as PyTorch, what they say of themselves, and what is refused."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml
from torch import Tensor

import lit_landmarks
from lit_landmarks import Task
from lit_landmarks.cli import main
from lit_landmarks.errors import UserError
from lit_landmarks.export import exporter
from lit_landmarks.export.exporter import ExportOptions, export_method
from lit_landmarks.export.parity import draw_faces
from lit_landmarks.inference import Landmarker
from lit_landmarks.inference.graph_description import (
    GraphDescription,
    append_description,
    read_appended_description,
)
from lit_landmarks.inference.graphs import GraphMethod, open_graph
from lit_landmarks.inference.places import Places
from lit_landmarks.methods import METHODS, LandmarkModule
from lit_landmarks.nets.error_head import ErrorHeadOptions
from lit_landmarks.schemes import convention_index, get_scheme
from lit_landmarks.template import query_points
from lit_landmarks.types import CropSpec, FaceInputs
from tests.methods.test_every_method import PARTS, build, every_method
from tests.support.configs import quick_config
from tests.support.toys import OffsetPerConvention

CROP = CropSpec(64, "tight", 1.35)


def tiny(**more: Any) -> LandmarkModule:
    # Late: the import registers it, and the tests over all methods would collect it.
    from tests.support.tiny_regressor import TinyRegressor

    torch.manual_seed(0)
    return TinyRegressor.tiny(**more).eval()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a small method."""
    folder = tmp_path_factory.mktemp("exported")
    (folder / "quick.yaml").write_text(yaml.safe_dump(quick_config() | {"seed_everything": 1}))
    assert main(["fit", "--config", str(folder / "quick.yaml"), "--run", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def file(run: Path) -> Path:
    """The run as an ONNX file."""
    path = run / "export" / "quick.onnx"
    assert main(["export", "--run", str(run), "--to", str(path)]) == 0
    return path


# ---- the file and the run --------------------------------------------------------------------


def test_a_file_answers_as_its_checkpoint(run: Path, file: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    boxes = [[40, 30, 120, 110], [100, 50, 180, 130], [60, 60, 100, 100]]
    torch_faces = lit_landmarks.load(run)(image, boxes)
    graph_faces = lit_landmarks.load(file)(image, boxes)
    for expected, face in zip(torch_faces, graph_faces, strict=True):
        np.testing.assert_allclose(face.points, expected.points, atol=0.01)
        assert face.scheme == "ibug68"
        np.testing.assert_array_equal(face.box, expected.box)


def test_a_file_says_what_it_is(run: Path, file: Path) -> None:
    properties = {p.key: p.value for p in onnx.load(file).metadata_props}
    said = json.loads(properties["lit_landmarks"])
    checkpoint = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["lit_landmarks"]
    assert said["format"] == 1
    assert (said["method"], said["scheme"], said["size"]) == ("TinyRegressor", "ibug68", 32)
    assert said["points"] == list(get_scheme("ibug68").point_names)
    assert (said["colors"], said["pixels"], said["inputs"]) == ("rgb", "float", ["image"])
    assert said["crop"] == checkpoint["crop"]
    assert list(said["outputs"]) == ["points"]
    assert said["mma"] == pytest.approx(checkpoint["mma"])
    for name in ("metrics", "licence", "command"):
        assert said[name] == checkpoint[name]
    assert lit_landmarks.load(file).notes["command"].startswith("python -m lit_landmarks fit")


@pytest.mark.slow
def test_a_file_is_measured_as_its_checkpoint_is(
    run: Path, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = []
    for number, checkpoint in enumerate([run / "checkpoints" / "best.ckpt", file]):
        output = tmp_path / f"{number}.json"
        arguments = ["--run", str(run), "--ckpt_path", str(checkpoint), "--output", str(output)]
        assert main(["validate", *arguments]) == 0
        figures.append(json.loads(output.read_text())["metrics"]["val/faces/nme_interocular"])
    assert figures[1] == pytest.approx(figures[0], abs=1e-3)
    capsys.readouterr()
    assert main(["validate", "--run", str(run), "--ckpt_path", str(file), "--ced"]) == 2
    assert "run's own checkpoint" in capsys.readouterr().err
    points = tmp_path / "points.npz"
    arguments = ["--run", str(run), "--ckpt_path", str(file), "--output", str(points)]
    assert main(["predict", *arguments]) == 0
    assert np.load(points)["points"].shape == (4, 68, 2)


@pytest.mark.slow
def test_eight_bits_are_smaller_and_measured(
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built: list[str] = []
    build = Task._build

    def record(task: Task, key: str) -> Any:
        built.append(key)
        return build(task, key)

    monkeypatch.setattr(Task, "_build", record)
    path = tmp_path / "small.onnx"
    arguments = ["export", "--run", str(run), "--to", str(path), "--quantize", "int8"]
    # A regressor of two layers: the convolution runs in 8 bits, the head that gives points not.
    assert main([*arguments, "--faces", "4"]) == 0
    assert "8 bits: 1 operators" in capsys.readouterr().out
    assert built.count("data") == 1, "for the ranges and both figures"
    said = open_graph(path).description
    assert said.precision == "int8"
    figures = said.metrics
    assert figures["val/nme"] == pytest.approx(figures["val/nme float32"], rel=0.1)
    assert figures["val/nme"] != figures["val/nme float32"]
    layers = [n for n in onnx.load(path).graph.node if n.op_type == "Conv"]
    assert all("DequantizeLinear" in name or "quantized" in name for name in layers[0].input[:2])


# ---- what a method has -----------------------------------------------------------------------


def test_a_file_that_gives_other_points_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_shifted(path: Path, threads: int | None = None) -> GraphMethod:
        graph = open_graph(path, threads)
        answer = graph.runtime.run

        def run(inputs: Any) -> dict[str, Any]:
            values = answer(inputs)
            values["points"][-1, 7, 1] += 0.0625
            return values

        monkeypatch.setattr(graph.runtime, "run", run)
        return graph

    (tmp_path / "old.onnx").write_text("what was there before")
    monkeypatch.setattr(exporter, "open_graph", open_shifted)
    with pytest.raises(UserError, match=r"other points than PyTorch: they differ by 0\.06"):
        export_method(tiny(), CROP, tmp_path / "old.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["old.onnx"]
    assert (tmp_path / "old.onnx").read_text() == "what was there before"


@pytest.mark.slow
def test_conventions_pixels_and_outputs_are_chosen(tmp_path: Path) -> None:
    correction = OffsetPerConvention(conventions=["300w", "wflw"])
    with torch.no_grad():
        correction.offsets[1] = torch.tensor([3.0, -2.0])
    method = tiny(correction=correction, error_head=ErrorHeadOptions())
    path = tmp_path / "two.onnx"
    result = export_method(method, CROP, path, ExportOptions(pixels="uint8"))
    assert result.parity.pixels < 0.01
    graph = open_graph(path)
    assert graph.description.inputs == ("image", "convention")
    assert list(graph.description.outputs) == ["points", "error"]
    inputs = draw_faces(method, CROP, ())
    plain = graph(inputs).points
    inputs.convention = torch.full((len(inputs),), convention_index("wflw"))
    moved = graph(inputs).points - plain
    torch.testing.assert_close(moved, torch.tensor([3.0, -2.0]).expand_as(moved), atol=1e-3, rtol=0)
    assert graph.answered_convention("wflw") == "wflw"
    assert graph.answered_convention("cofw") == "300w"

    fixed = tmp_path / "fixed.onnx"
    options = ExportOptions(outputs=["points"], convention="wflw")
    assert export_method(method, CROP, fixed, options).description.inputs == ("image",)
    torch.testing.assert_close(open_graph(fixed)(inputs).points, plain + moved, atol=0.01, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ExportOptions(outputs=["depth"]), "gives no 'depth'; choose of points"),
        (ExportOptions(convention="wflw"), "no convention 'wflw'; it has none"),
        (ExportOptions(quantize="int8"), "add --calibrate"),
        (
            ExportOptions(places=Places(("a",), np.zeros((1, 3), np.float32))),
            "points of ibug68 alone",
        ),
    ],
)
def test_options_that_a_method_cannot_have_are_refused(
    options: ExportOptions, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        export_method(tiny(), CROP, tmp_path / "none.onnx", options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--run", "RUN", "--to", "a.pt"], "no format for --to a.pt"),
        (["--ckpt_path", "none.ckpt", "--to", "a.onnx"], "no checkpoint at none.ckpt"),
        (["--run", "RUN", "--to", "a.onnx", "--calibrate", "b.yaml"], "add --quantize int8"),
        (["--run", "RUN", "--to", "a.onnx", "--quantize", "int8", "--faces", "0"], "1 or more"),
    ],
)
def test_plain_mistakes_are_one_line(
    arguments: list[str], message: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", *(str(run) if a == "RUN" else a for a in arguments)]) == 2
    assert message in capsys.readouterr().err


def test_files_of_others_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no graph")
    (tmp_path / "bad.tflite").write_bytes(b"no graph")
    for name, message in (
        ("none.onnx", "no graph at"),
        ("bad.onnx", "cannot read"),
        ("none.tflite", "no graph at"),
        ("bad.tflite", "was not written by `export`"),
    ):
        with pytest.raises(UserError, match=message):
            lit_landmarks.load(tmp_path / name)


def test_a_description_behind_a_model_is_read_again(tmp_path: Path) -> None:
    description = GraphDescription(
        method="MuSiCa",
        scheme="ibug68",
        points=("a", "b"),
        size=64,
        crop=asdict(CROP),
        pixels="float",
        inputs=("image",),
        outputs={"points": "pixels"},
        batch=1,
    )
    path = tmp_path / "model.tflite"
    path.write_bytes(bytes(range(256)) * 100)
    append_description(path, description)
    assert read_appended_description(path) == description
    assert path.read_bytes().startswith(bytes(range(256)) * 100)
    assert description.crop_spec == CROP
    later = description.to_json().replace('"format": 1', '"format": 2')
    with pytest.raises(UserError, match="by a later version"):
        GraphDescription.from_json(later, path)
    blue_first = description.to_json().replace('"rgb"', '"bgr"')
    with pytest.raises(UserError, match=r"channels are 'bgr', and only 'rgb' is given; export"):
        GraphDescription.from_json(blue_first, path)


# ---- every method ----------------------------------------------------------------------------


@pytest.mark.slow
@every_method
@pytest.mark.parametrize("part", PARTS)
def test_every_method_with_every_part_is_written(
    method: type[LandmarkModule], part: str, tmp_path: Path
) -> None:
    module = build(method, part).eval()
    if module.label_shift is not None:
        module.label_shift.shift.fill_(0.05)
    result = export_method(module, CROP, tmp_path / "method.onnx")
    assert result.parity.pixels < 0.05
    graph = open_graph(tmp_path / "method.onnx")
    for count, mirrored in ((1, True), (3, False)):
        inputs = FaceInputs(torch.rand(count, 3, 64, 64), mirrored=mirrored)
        with torch.inference_mode():
            expected: Tensor = module(inputs).points
        if graph.description.scheme_name is not None:
            torch.testing.assert_close(graph(inputs).points, expected, atol=0.05, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parts"), [("MuSiCa", {}), ("SPIGA", {"error_head": ErrorHeadOptions()})]
)
def test_a_cascade_leaves_early_as_in_pytorch(
    name: str, parts: dict[str, Any], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    method = METHODS[name].tiny(**parts).eval()
    early_exit = method.early_exit
    assert early_exit is not None
    # Faces of different contrast, which differ in their errors.
    image = torch.rand(8, 3, 64, 64) * torch.linspace(0.1, 1.0, 8).view(-1, 1, 1, 1)
    with torch.inference_mode():
        error = method(FaceInputs(image)).error
    assert error is not None
    errors = error[0].sort().values
    limits = [float(errors[3:5].mean())] + [float("inf")] * (early_exit.stages - 2)
    early_exit.set_thresholds(limits)
    export_method(method, CROP, tmp_path / "cascade.onnx")
    graph = open_graph(tmp_path / "cascade.onnx")
    with torch.inference_mode():
        expected, answer = method(FaceInputs(image)), graph(FaceInputs(image))
    assert sorted(expected.exit_stage.tolist()) == [0] * 4 + [1] * 4
    assert torch.equal(answer.exit_stage, expected.exit_stage)
    torch.testing.assert_close(answer.points, expected.points, atol=0.05, rtol=0)
    torch.testing.assert_close(answer.mma, expected.mma)


@pytest.mark.slow
def test_points_that_are_asked_for_are_an_input_or_fixed(tmp_path: Path) -> None:
    torch.manual_seed(0)
    method = METHODS["Infinite3D"].tiny(scheme=None, frame_size=64).eval()
    crop = CropSpec(64, "tight", 1.35)
    export_method(method, crop, tmp_path / "asked.onnx", ExportOptions(outputs=["points"]))
    graph = open_graph(tmp_path / "asked.onnx")
    assert graph.description.inputs == ("image", "queries")
    image = torch.rand(2, 3, 64, 64)
    queries = query_points("wflw98").expand(2, -1, -1)
    inputs = FaceInputs(image, queries=queries)
    with torch.inference_mode():
        expected = method(inputs).points
    torch.testing.assert_close(graph(inputs).points, expected, atol=0.05, rtol=0)

    places = Places(("nose", "chin"), query_points("ibug68")[[30, 8]].numpy())
    options = ExportOptions(places=places)
    export_method(method, crop, tmp_path / "fixed.onnx", options)
    fixed = open_graph(tmp_path / "fixed.onnx")
    assert get_scheme(str(fixed.scheme)).point_names == ("nose", "chin")
    np.testing.assert_allclose(fixed.description.queries, places.queries)
    (face,) = Landmarker(fixed, crop)(np.zeros((90, 90, 3), np.uint8), [[20, 20, 70, 70]])
    assert face.points3d is not None
    assert face.visibility is None, "two points do not say how a head is turned"
    asked = FaceInputs(image, queries=query_points("ibug68")[[30, 8]].expand(2, -1, -1))
    with torch.inference_mode():
        expected = method(asked).points
    torch.testing.assert_close(fixed(FaceInputs(image)).points, expected, atol=0.05, rtol=0)


@pytest.mark.slow
@every_method
def test_every_method_is_written_for_litert(method: type[LandmarkModule], tmp_path: Path) -> None:
    pytest.importorskip("litert_torch")
    result = export_method(build(method).eval(), CROP, tmp_path / "method.tflite")
    assert result.parity.pixels < 0.05
    assert result.description.batch == 1


@pytest.mark.slow
@pytest.mark.parametrize("quantize", [None, "int8"])
def test_a_regressor_is_written_for_litert(quantize: Any, tmp_path: Path) -> None:
    pytest.importorskip("litert_torch")
    method = METHODS["MobileNetBaseline"].tiny().eval()
    inputs = draw_faces(method, CROP, ())
    path = tmp_path / "method.tflite"
    result = export_method(
        method, CROP, path, ExportOptions(quantize=quantize), calibration=lambda: [inputs]
    )
    assert result.parity.pixels < 0.05
    landmarker = lit_landmarks.load(path)
    image = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    faces = landmarker(image, [[40, 30, 120, 110], [100, 50, 180, 130]])
    expected = lit_landmarks.Landmarker(method, CROP)(image, [[40, 30, 120, 110]])[0]
    assert len(faces) == 2
    atol = 0.1 if quantize is None else 5.0
    np.testing.assert_allclose(faces[0].points, expected.points, atol=atol)


@pytest.mark.slow
def test_profile_has_the_latency_in_onnx_runtime(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["profile", "--run", str(run), "--onnx", "--repeats", "3", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert 0 < figures["compute/onnx_latency_median_ms"] <= figures["compute/onnx_latency_p90_ms"]
