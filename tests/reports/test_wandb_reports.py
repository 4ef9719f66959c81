"""W&B without network: runs read through a stand-in of its API, the report built by its package."""

from __future__ import annotations

import builtins
import json
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from lit_landmarks.errors import UserError
from lit_landmarks.reports import wandb_report, wandb_runs
from lit_landmarks.reports.compare import Comparison, compare
from lit_landmarks.reports.entries import read_run_entry
from lit_landmarks.reports.wandb_report import build_report, save_report
from lit_landmarks.reports.wandb_runs import is_project, open_api, read_project_entries

from .conftest import HOSTILE, Make, figures


def wandb_run(name: str, **changes: Any) -> Any:
    """What the public API gives for a fit."""
    history = [{"epoch": e, "val/nme": 9.0 - e, "val/loss": 1.0} for e in range(3)]
    history.append({"epoch": 3, "val/nme": 7.0})  # the final evaluation
    told = {
        "name": name, "url": f"https://w/{name}", "state": "finished", "job_type": None,
        "summary": {"final": figures(5.0, 50.0), "_runtime": 90.0, "val/nme": 5.2},
        "config": {"model": {"class_path": "x.ASMNet", "init_args": {"width": 8}}},
        "scan_history": lambda keys: [r for r in history if set(keys) <= r.keys()],
    }  # fmt: skip
    return SimpleNamespace(**{**told, **changes})


class Api:
    def __init__(self, runs: list[Any]) -> None:
        self.answer = runs

    def runs(self, path: str, per_page: int) -> list[Any]:
        assert path == "me/faces"
        return self.answer


def test_fits_of_a_project() -> None:
    api = Api([
        wandb_run("one"),
        wandb_run("killed", state="crashed"),
        wandb_run("running", state="running", summary={}),
        wandb_run("small-study", job_type="study"),
        wandb_run("other", summary={"accuracy": 1.0}),
    ])  # fmt: skip
    one, killed = read_project_entries("me/faces", api)
    assert (one.name, one.where, one.state) == ("one", "https://w/one", "finished")
    assert one.metrics == figures(5.0, 50.0), "the figures of the best checkpoint, not the last"
    assert one.learning == [(1.0, 9.0), (2.0, 8.0), (3.0, 7.0)]
    assert one.config["model.init_args.width"] == 8
    assert one.seconds == 90
    assert killed.state == "failed"


def test_projects_that_give_nothing() -> None:
    with pytest.raises(UserError, match="holds no finished fit"):
        read_project_entries("me/faces", Api([wandb_run("other", summary={})]))

    def fail(path: str, per_page: int) -> list[Any]:
        raise ConnectionError("no route\nsecond row")

    with pytest.raises(UserError, match=r"runs of me/faces: no route; check"):
        read_project_entries("me/faces", SimpleNamespace(runs=fail))


def test_nobody_is_asked_for_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    with pytest.raises(UserError, match="WANDB_MODE says offline"):
        open_api()
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setattr(builtins, "input", lambda *_: pytest.fail("asked"))
    with pytest.raises(UserError, match="no W&B account"):
        open_api()
    host = wandb_runs.urlsplit(wandb_runs.wandb.setup().settings.base_url).hostname
    (tmp_path / "netrc").write_text(f"machine {host} login user password {'k' * 40}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setattr(wandb_runs.wandb, "Api", lambda **_: "api")
    assert open_api() == "api"


@pytest.mark.parametrize(
    ("text", "known"),
    [("me/faces", True), ("my-team/a.b_c", True), ("faces", False), ("a/b/c", False),
     ("../runs", False), ("/runs", False)],
)  # fmt: skip
def test_what_reads_as_a_project(text: str, known: bool) -> None:
    assert is_project(text) is known


@pytest.fixture
def told(make_run: Make) -> Comparison:
    return compare([read_run_entry(make_run("a|b", 4.0, 60.0, width=1, note=HOSTILE)),
                    read_run_entry(make_run("c", 5.0, 20.0, width=2))])  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_report_shows_the_runs_and_their_figures(
    told: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = build_report(told, "me/faces")
    # Sending looks the project up; that is the only thing that it asks for.
    sending = import_module("wandb_workspaces.reports.v2.interface")
    monkeypatch.setattr(sending, "_get_api", lambda: None)
    answer = {"project": {"internalId": "id of faces"}}
    monkeypatch.setattr(sending, "execute_graphql", lambda *_: answer)
    assert (report.entity, report.project) == ("me", "faces")
    # The form that is sent; making it is what the package checks.
    sent = json.loads(report._to_model().model_dump_json(by_alias=True))
    grid = next(b for b in sent["spec"]["blocks"] if b["type"] == "panel-grid")
    kinds = [p["viewType"] for p in grid["metadata"]["panelBankSectionConfig"]["panels"]]
    assert sorted(kinds) == ["Bar Chart", "Run Comparer", "Run History Line Plot", "Scatter Plot"]
    text = json.dumps(grid)
    assert "final.compute/mma" in text
    assert "final.val/helen/nme_interocular/profile" in text
    (runs,) = grid["metadata"]["runSets"]
    assert runs["project"] == {"entityName": "me", "name": "faces", "id": "id of faces"}
    assert '"a|b"' in json.dumps(runs["filters"])
    words = [b for b in report.blocks if hasattr(b, "text") and "|" in str(b.text)]
    assert "**4.000**" in words[0].text, "the best of a column is bold"
    assert "a\\|b" in words[0].text, "a bar in a name is no column"
    assert "<script>" not in "".join(str(w.text) for w in words)
    assert "&lt;script>" in words[1].text


def test_reports_that_cannot_be_made(told: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="write entity/project"):
        build_report(told, "faces")
    monkeypatch.setenv("WANDB_MODE", "offline")
    with pytest.raises(UserError, match="WANDB_MODE"):
        save_report(told, "me/faces")

    def refused(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route\nsecond row")

    monkeypatch.setattr(wandb_report, "open_api", lambda: None)
    report = SimpleNamespace(save=refused)
    monkeypatch.setattr(wandb_report, "build_report", lambda *_: report)
    with pytest.raises(UserError, match=r"report for me/faces: no route; .*--output"):
        save_report(told, "me/faces")


def test_without_the_package_the_extra_is_named(
    told: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(wandb_report, "import_module", gone)
    with pytest.raises(UserError, match=r"pip install \"lit-landmarks\[wandb-report\]\""):
        build_report(told, "me/faces")


def test_a_run_has_the_name_that_wandb_shows(make_run: Make) -> None:
    folder = make_run("0001-5c394713-seed7", 4.0, 60.0)
    for name in ("small-0001-5c394713-seed7", None):
        tree = yaml.safe_load((folder / "config.yaml").read_text())
        tree["wandb"]["name"] = name
        (folder / "config.yaml").write_text(yaml.safe_dump(tree))
        assert read_run_entry(folder).name == (name or folder.name)
