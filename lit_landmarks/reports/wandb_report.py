"""A W&B report of a comparison, through the `wandb-workspaces` package (extra `wandb-report`)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from lit_landmarks.errors import UserError, first_line
from lit_landmarks.reports.compare import Comparison, differences, format_figure, primary_norms
from lit_landmarks.reports.entries import COST
from lit_landmarks.reports.wandb_runs import is_project, open_api
from lit_landmarks.training.callbacks import MONITOR

#: W&B cuts longer titles off.
_TITLE = 120


def build_report(told: Comparison, project: str) -> Any:
    """The report, not saved and without asking the network.

    Its charts show the runs of the project that bear the names of the rows.

    Args:
        told: the comparison.
        project: entity/project.

    Raises:
        UserError: no such form of a project, or `wandb-workspaces` is not installed.
    """
    if not is_project(project):
        raise UserError(f"'{project}' is no W&B project; write entity/project")
    try:
        # By name: an extra that may be absent, and whose exports no checker sees.
        wr: Any = import_module("wandb_workspaces.reports.v2")
        expr: Any = import_module("wandb_workspaces.expr")
    except ImportError as error:
        raise UserError(
            'a W&B report needs wandb-workspaces; pip install "lit-landmarks[wandb-report]"'
        ) from error
    entity, _, name = project.partition("/")
    names = [entry.name for entry in told.entries]
    runs = wr.Runset(entity=entity, project=name, name=told.title[:_TITLE],
                     filters=expr.And(expr.Metric("Name").isin(names)))  # fmt: skip
    final = {key: wr.SummaryMetric(f"final.{key}") for key in (told.objective, COST)}
    layout = (wr.Layout(x=0, y=0, w=12, h=9), wr.Layout(x=12, y=0, w=12, h=9),
              wr.Layout(x=0, y=9, w=12, h=9), wr.Layout(x=12, y=9, w=12, h=9))  # fmt: skip
    panels = [
        wr.ScatterPlot(title=f"{told.objective} against cost", x=final[COST],
                       y=final[told.objective], layout=layout[0]),
        wr.LinePlot(title=f"{MONITOR} by epoch", x="epoch", y=[MONITOR], layout=layout[1]),
        wr.BarPlot(title="NME by subset", metrics=[wr.SummaryMetric(f"final.{k}")
                   for k in _subset_keys(told)], layout=layout[2]),
        wr.RunComparer(diff_only=True, layout=layout[3]),
    ]  # fmt: skip
    return wr.Report(
        entity=entity, project=name, title=f"{told.title}: comparison"[:_TITLE],
        description=f"Ranked by {told.objective}.", width="fluid",
        blocks=[
            wr.H1("Figures"), wr.MarkdownBlock(figures_markdown(told)),
            wr.H1("Charts"), wr.PanelGrid(runsets=[runs], panels=panels),
            wr.H1("Settings that differ"), wr.MarkdownBlock(settings_markdown(told)),
        ],
    )  # fmt: skip


def save_report(told: Comparison, project: str) -> str:
    """Builds and saves the report; gives its address.

    Raises:
        UserError: it cannot be built, or W&B cannot be reached.
    """
    report = build_report(told, project)
    open_api()
    try:
        report.save()
    except Exception as error:  # what a transport raises is not known here
        raise UserError(
            f"W&B did not take the report for {project}: {first_line(error)}; check the name and "
            "the network, or write a page with --output compare.html"
        ) from error
    return str(report.url)


def _subset_keys(told: Comparison) -> list[str]:
    found = []
    for place, norm in primary_norms(told.drawn).items():
        whole = f"{place}/nme_{norm}"
        keys = {k for e in told.drawn for k in e.metrics}
        found += sorted(k for k in keys if k == whole or k.startswith(f"{whole}/"))
    return found


def figures_markdown(told: Comparison) -> str:
    """The table of figures, the best of each column in bold."""
    marked = {column.key: told.best_names(column) for column in told.columns}
    lines = [["run", *(column.heading for column in told.columns), "state"]]
    for entry in told.entries:
        cells = []
        for column in told.columns:
            text = format_figure(entry.figure(column.key), column.digits)
            cells.append(f"**{text}**" if entry.name in marked[column.key] else text)
        lines.append([entry.name, *cells, entry.outcome or entry.state])
    return _markdown(lines)


def settings_markdown(told: Comparison) -> str:
    """The settings that differ among the drawn rows."""
    drawn = [entry for entry in told.drawn if entry.config]
    different = differences(drawn)
    if not different:
        return "None."
    return _markdown([["setting", *(e.name for e in drawn)],
                      *([key, *texts] for key, texts in different.items())])  # fmt: skip


def _markdown(lines: list[list[str]]) -> str:
    rows = ["| " + " | ".join(_escaped(text) for text in line) + " |" for line in lines]
    return "\n".join([rows[0], "|" + " --- |" * len(lines[0]), *rows[1:]]) + "\n"


def _escaped(text: str) -> str:
    """Nothing that Markdown or HTML would take for its own; bold of our figures stays."""
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
    return " ".join(plain.split())
