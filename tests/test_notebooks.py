"""Every notebook runs from top to bottom on embedded data, and is committed without outputs."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))

#: For notebooks that train: few faces, one epoch.
_FEW = """
data:
  init_args:
    train: {synthetic: {class_path: SyntheticFaces, init_args: {n: 48, seed: 1, visibility: false}}}
    val: {synthetic: {class_path: SyntheticFaces, init_args: {n: 24, seed: 2, visibility: false}}}
trainer: {max_epochs: 1}
"""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_it_holds_no_outputs(path: Path) -> None:
    # Outputs may show faces of data sets, which nobody may pass on.
    cells = nbformat.read(path, as_version=4).cells  # type: ignore[no-untyped-call]
    assert not any(cell.get("outputs") for cell in cells)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "few.yaml").write_text(_FEW)
    monkeypatch.setenv("LIT_LANDMARKS_NOTEBOOK_CONFIG", str(tmp_path / "few.yaml"))
    monkeypatch.delenv("LIT_LANDMARKS_RUN", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(path.parents[1]))
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    client = NotebookClient(
        notebook, timeout=1200, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) >= 4
