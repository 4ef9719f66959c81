"""Early exit inside a graph: a cascade of three stages whose answers are worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnx_ir
import onnxruntime
import pytest
from numpy.typing import NDArray

from lit_landmarks.export.cascade import nest_stages

#: The error is the mean of the image and halves with each stage; each adds 1 to the points.
_STAGES = """
<ir_version: 10, opset_import: ["" : 20]>
cascade (float[B, 3, 4, 4] image) =>
    (float[B, 1, 2] points_0, float[B] error_0, float[B, 1, 2] points_1, float[B] error_1,
     float[B, 1, 2] points_2, float[B] error_2)
<int64[3] axes = {1, 2, 3}, int64[2] behind = {1, 2}, float half = {0.5}, float one = {1.0}>
{
    error_0 = ReduceMean<keepdims = 0>(image, axes)
    row = Unsqueeze(error_0, behind)
    points_0 = Concat<axis = 2>(row, row)
    error_1 = Mul(error_0, half)
    points_1 = Add(points_0, one)
    error_2 = Mul(error_1, half)
    points_2 = Add(points_1, one)
}
"""


def nested(folder: Path, thresholds: list[float]) -> Path:
    model = onnx_ir.from_proto(onnx.parser.parse_model(_STAGES))
    nest_stages(model, ["points", "error"], thresholds)
    onnx_ir.save(model, folder / "cascade.onnx")
    onnx.checker.check_model(folder / "cascade.onnx", full_check=True)
    return folder / "cascade.onnx"


def images(means: list[float]) -> dict[str, NDArray[np.float32]]:
    values = np.array(means, np.float32)[:, None, None, None]
    return {"image": np.broadcast_to(values, (len(means), 3, 4, 4)).copy()}


def outputs(session: Any, means: list[float]) -> dict[str, list[float]]:
    names = [output.name for output in session.get_outputs()]
    values = dict(zip(names, session.run(None, images(means)), strict=True))
    first = values["points"][:, 0, 0]
    return {"x": first.tolist(), **{k: values[k].tolist() for k in ("error", "exit_stage")}}


def test_each_face_keeps_the_answer_of_its_stage(tmp_path: Path) -> None:
    session = onnxruntime.InferenceSession(nested(tmp_path, [0.5, 0.28]))
    # 0.4 < 0.5 leaves first; 0.52 stays once, 0.26 < 0.28; 0.6 stays twice.
    result = outputs(session, [0.4, 0.52, 0.6])
    assert result["exit_stage"] == [0, 1, 2]
    assert result["x"] == pytest.approx([0.4, 1.52, 2.6])
    assert result["error"] == pytest.approx([0.4, 0.26, 0.15])
    for k, mean in enumerate([0.4, 0.52, 0.6]):
        alone = outputs(session, [mean])
        assert {name: values[0] for name, values in alone.items()} == {
            name: values[k] for name, values in result.items()
        }


def test_an_error_that_is_no_number_leaves_as_in_pytorch(tmp_path: Path) -> None:
    session = onnxruntime.InferenceSession(nested(tmp_path, [0.5, 0.28]))
    assert outputs(session, [float("nan")])["exit_stage"] == [0]


def test_a_threshold_that_is_not_set_lets_nobody_leave(tmp_path: Path) -> None:
    session = onnxruntime.InferenceSession(nested(tmp_path, [-float("inf"), 0.28]))
    assert outputs(session, [0.1, 0.6])["exit_stage"] == [1, 2]


@pytest.mark.parametrize(("mean", "stages"), [(0.4, 0), (0.52, 1), (0.6, 2)])
def test_stages_behind_the_exit_do_not_run(mean: float, stages: int, tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "profile")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(nested(tmp_path, [0.5, 0.28]), options)
    session.run(None, images([mean]))
    events = json.loads(Path(session.end_profiling()).read_text())
    ran = [e["args"].get("op_name") for e in events if e["name"].endswith("_kernel_time")]
    assert ran.count("Add") == stages
