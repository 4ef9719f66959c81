"""A W&B report of a comparison, through the `wandb-workspaces` package (extra `wandb-report`)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from lit_landmarks.errors import UserError, first_line, needs_extra
from lit_landmarks.reports.compare import (
    Comparison,
    find_differences,
    find_primary_norms,
    format_figure,
)
from lit_landmarks.reports.entries import COST
from lit_landmarks.reports.wandb_runs import is_project, open_api
from lit_landmarks.training.callbacks import MONITOR

#: W&B cuts longer titles off.
_TITLE = 120


def build_report(comparison: Comparison, project: str) -> Any:
    """Builds a W&B report without saving it; needs no network.

    Its charts show the runs of the project that have the names of the rows.

    Args:
        comparison: the comparison.
        project: entity/project.

    Raises:
        UserError: no such form of a project, or `wandb-workspaces` is not installed.
    """
    if not is_project(project):
        raise UserError(f"'{project}' is no W&B project; write entity/project")
    with needs_extra("a W&B report", "wandb-report"):
        # By name: an extra that may be absent, and whose exports no checker sees.
        wr: Any = import_module("wandb_workspaces.reports.v2")
        expr: Any = import_module("wandb_workspaces.expr")
    entity, _, name = project.partition("/")
    names = [entry.name for entry in comparison.entries]
    runs = wr.Runset(
        entity=entity,
        project=name,
        name=comparison.title[:_TITLE],
        filters=expr.And(expr.Metric("Name").isin(names)),
    )
    return wr.Report(
        entity=entity,
        project=name,
        title=f"{comparison.title}: comparison"[:_TITLE],
        description=f"Ranked by {comparison.objective}.",
        width="fluid",
        blocks=[
            wr.H1("Figures"),
            *(block for part in comparison.split() for block in _make_group_blocks(part, wr)),
            wr.H1("Charts"),
            wr.PanelGrid(runsets=[runs], panels=_make_panels(comparison, wr)),
            wr.H1("Settings that differ"),
            wr.MarkdownBlock(format_settings_table(comparison)),
        ],
    )


def _make_group_blocks(comparison: Comparison, wr: Any) -> list[Any]:
    """The table of rows that can be compared, below what they were measured on."""
    heading = comparison.heading
    table = wr.MarkdownBlock(format_figures_table(comparison))
    return [wr.H2(heading), table] if heading else [table]


def _make_panels(comparison: Comparison, wr: Any) -> list[Any]:
    """Makes the four charts of a report with `wr`, the reports module of wandb-workspaces."""
    final = {key: wr.SummaryMetric(f"final.{key}") for key in (comparison.objective, COST)}
    layout = (
        wr.Layout(x=0, y=0, w=12, h=9),
        wr.Layout(x=12, y=0, w=12, h=9),
        wr.Layout(x=0, y=9, w=12, h=9),
        wr.Layout(x=12, y=9, w=12, h=9),
    )
    return [
        wr.ScatterPlot(
            title=f"{comparison.objective} against cost",
            x=final[COST],
            y=final[comparison.objective],
            layout=layout[0],
        ),
        wr.LinePlot(title=f"{MONITOR} by epoch", x="epoch", y=[MONITOR], layout=layout[1]),
        wr.BarPlot(
            title="NME by subset",
            metrics=[wr.SummaryMetric(f"final.{k}") for k in _list_subset_keys(comparison)],
            layout=layout[2],
        ),
        wr.RunComparer(diff_only=True, layout=layout[3]),
    ]


def save_report(comparison: Comparison, project: str) -> str:
    """Builds and saves a W&B report, and returns its URL.

    Raises:
        UserError: it cannot be built, or W&B cannot be reached.
    """
    report = build_report(comparison, project)
    open_api()
    try:
        report.save()
    except Exception as error:  # what a transport raises is not known here
        raise UserError(
            f"W&B did not take the report for {project}: {first_line(error)}; check the name and "
            "the network, or write a page with --output compare.html"
        ) from error
    return str(report.url)


def _list_subset_keys(comparison: Comparison) -> list[str]:
    logged = sorted({key for entry in comparison.drawn for key in entry.metrics})
    keys: list[str] = []
    for place, norm in find_primary_norms(comparison.drawn).items():
        whole = f"{place}/nme_{norm}"
        keys += [key for key in logged if key == whole or key.startswith(f"{whole}/")]
    return keys


def format_figures_table(comparison: Comparison) -> str:
    """The table of figures as Markdown, the best of each column in bold."""
    marked = {column.key: comparison.best_names(column) for column in comparison.columns}
    lines = [["run", *(column.heading for column in comparison.columns), "state"]]
    for entry in comparison.entries:
        cells = []
        for column in comparison.columns:
            text = format_figure(entry.figure(column.key), column.digits)
            cells.append(f"**{text}**" if entry.name in marked[column.key] else text)
        lines.append([entry.name, *cells, entry.outcome or entry.state])
    return _format_table(lines)


def format_settings_table(comparison: Comparison) -> str:
    """The settings that differ among the drawn rows, as a Markdown table."""
    drawn = [entry for entry in comparison.drawn if entry.config]
    different = find_differences(drawn)
    if not different:
        return "None."
    return _format_table(
        [
            ["setting", *(e.name for e in drawn)],
            *([key, *texts] for key, texts in different.items()),
        ]
    )


def _format_table(lines: list[list[str]]) -> str:
    rows = ["| " + " | ".join(_escape(text) for text in line) + " |" for line in lines]
    return "\n".join([rows[0], "|" + " --- |" * len(lines[0]), *rows[1:]]) + "\n"


def _escape(text: str) -> str:
    """Escapes what Markdown or HTML would interpret in a cell; bold figures stay bold."""
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
    return " ".join(plain.split())
