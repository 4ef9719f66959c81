"""A comparison as one HTML file: no network, no other file, readable by eye, ear and keyboard.

A content policy in the page lets it load nothing and run no script but its own, whose hash it
names; all that comes from runs is escaped besides.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterator
from html import escape
from importlib.resources import files

from lit_landmarks import __version__
from lit_landmarks.draw.svg import chart_svg, colour_class
from lit_landmarks.reports.compare import Comparison, cell, differences, direction, pareto
from lit_landmarks.reports.compare_charts import all_charts, missing_curves
from lit_landmarks.reports.entries import COST, Entry
from lit_landmarks.reports.results import Column

_CHIPS = {
    "finished": ("trained", "ok"), "pruned": ("pruned", ""), "infeasible": ("too dear", "warn"),
    "failed": ("failed", "warn"), "unfinished": ("unfinished", ""),
}  # fmt: skip


def page(told: Comparison) -> str:
    """The whole file."""
    style, script = _asset("page.css"), _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )
    title = escape(told.title)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}: comparison</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p class="soft">{escape(_subtitle(told))}</p>
<dl class="cards">{"".join(_cards(told))}</dl>
</header>
<main>
{_table(told)}
{_charts(told)}
{_settings(told)}
{_figures(told)}
{_notes(told)}
</main>
<footer>Written by lit_landmarks {escape(__version__)}. NME and failure rates in percent; MMA is
millions of multiply-adds for one face.</footer>
<script>{script}</script>
</body>
</html>
"""


def _asset(name: str) -> str:
    return (files("lit_landmarks.reports") / "assets" / name).read_text(encoding="utf-8")


def _subtitle(told: Comparison) -> str:
    better = "more" if direction(told.objective) else "less"
    limits = [str(limit) for study in told.studies for limit in study.limits]
    within = f" within {', '.join(dict.fromkeys(limits))}" if limits else ""
    return f"Ranked by {told.objective}{within}; {better} is better."


def _cards(told: Comparison) -> Iterator[str]:
    best = told.best
    if best is not None:
        cost = best.figure(COST)
        more = f"{best.name}" + (f", {cost:.1f} MMA" if math.isfinite(cost) else "")
        yield _card(f"best {told.objective}", f"{best.figure(told.objective):.3f}", more)
    elif told.studies:
        yield _card(f"best {told.objective}", "none", "no trial within the limits")
    counts: dict[str, int] = {}
    for entry in told.entries:
        word = (
            "beyond a limit"
            if entry.state == "finished" and not entry.feasible
            else (_CHIPS[entry.state][0])
        )
        counts[word] = counts.get(word, 0) + 1
    words = ", ".join(f"{count} {word}" for word, count in counts.items())
    trials, total = told.trials, sum(study.total for study in told.studies)
    rows = f"{trials} of {total}" if trials == len(told.entries) else str(len(told.entries))
    yield _card(_noun(told), rows, words)
    front = pareto(told.entries, told.objective)
    if len(front) > 1:
        cheap = front[0]
        yield _card("Pareto front", str(len(front)),
                    f"cheapest: {cheap.figure(told.objective):.3f} at "
                    f"{cheap.figure(COST):.1f} MMA")  # fmt: skip
    for study in told.studies:
        if study.importance:
            name, share = max(study.importance.items(), key=lambda item: item[1])
            yield _card("what mattered most", f"{100 * share:.0f} %", name)


def _noun(told: Comparison) -> str:
    if not told.trials:
        return "runs"
    return "trials" if told.trials == len(told.entries) else "trials and runs"


def _card(term: str, value: str, more: str) -> str:
    return (
        f"<div><dt>{escape(term)}</dt><dd>{escape(value)}<small>{escape(more)}</small></dd></div>"
    )


def _head(text: str, column: Column | None = None, kind: str = "number") -> str:
    first = "descending" if column and direction(column.key) else "ascending"
    more = f' title="{escape(column.key, quote=True)}"' if column else ""
    words = ' class="text"' if kind == "text" else ""
    return (
        f'<th scope="col" data-kind="{kind}" data-first="{first}"{words}{more}>'
        f'<button type="button">{escape(text)}</button></th>'
    )


def _table(told: Comparison) -> str:
    marked = {column.key: told.marked(column) for column in told.columns}
    heads = [_head("run", kind="text")]
    heads += [_head(column.heading, column) for column in told.columns]
    heads += [_head("minutes"), _head("method", kind="text"), _head("state", kind="text")]
    rows = "\n".join(_row(told, entry, marked) for entry in told.entries)
    return f"""<section aria-labelledby="runs-title">
<h2 id="runs-title">All {_noun(told)}</h2>
<div class="tools"><label for="filter">Show rows with</label>
<input id="filter" type="search" autocomplete="off" placeholder="name, method, state">
<span id="shown" class="soft" role="status"></span></div>
<div class="scroll" tabindex="0" role="region" aria-labelledby="runs-title">
<table id="runs" class="sortable">
<caption class="hidden">Figures of every row, the best of each column marked; a click on a heading
sorts by it.</caption>
<thead><tr>{"".join(heads)}</tr></thead>
<tbody>
{rows}
</tbody>
</table></div>
</section>"""


def _row(told: Comparison, entry: Entry, marked: dict[str, set[str]]) -> str:
    name = escape(entry.name, quote=True)
    colour = told.colour(entry)
    key = f'<span class="key {colour_class(colour)}" aria-hidden="true"></span>'
    word, kind = _CHIPS[entry.state]
    if entry.state == "finished" and not entry.feasible:
        word, kind = "beyond a limit", "warn"
    cells = [
        f'<th scope="row" data-value="{name}" title="{escape(entry.where, quote=True)}">'
        f"{key if colour is not None else ''}{name}</th>",
    ]
    for column in told.columns:
        value = entry.figure(column.key)
        best = entry.name in marked[column.key]
        star = '★ <span class="hidden">best: </span>' if best else ""
        data = f"{value:.10g}" if math.isfinite(value) else ""
        cells.append(f'<td data-value="{data}"{" class=best" if best else ""}>'
                     f"{star}{cell(value, column.digits)}</td>")  # fmt: skip
    minutes = math.nan if entry.seconds is None else entry.seconds / 60
    data = f"{minutes:.6g}" if math.isfinite(minutes) else ""
    cells += [
        f'<td data-value="{data}">{cell(minutes, 1)}</td>',
        f'<td class="text" data-value="{escape(entry.method)}">{escape(entry.method or "-")}</td>',
        f'<td class="text" data-value="{word}"><span class="chip {kind}">{word}</span>'
        f"{_why(entry)}</td>",
    ]
    muted = "" if entry.state == "finished" and entry.feasible else ' class="muted"'
    return f'<tr data-name="{name}"{muted}>{"".join(cells)}</tr>'


def _why(entry: Entry) -> str:
    """What became of a row, where the state does not say it all."""
    if not entry.told or (entry.state == "finished" and entry.feasible):
        return ""
    words = escape(entry.told, quote=True)
    return f'<span class="told" title="{words}">{words}</span>'


def _charts(told: Comparison) -> str:
    charts = all_charts(told)
    if not charts:
        return ""
    legend = "".join(
        f'<li><button type="button" aria-pressed="false" '
        f'data-name="{escape(e.name, quote=True)}"><svg viewBox="0 0 26 10" aria-hidden="true">'
        f'<g class="{colour_class(told.colour(e))}"><polyline class="line" points="0,5 26,5"/></g>'
        f"</svg>{escape(e.name)}</button></li>"
        for e in told.drawn
    )
    figures = "\n".join(
        f'<figure id="{escape(chart.key, quote=True)}"><h3>{escape(chart.title)}</h3>'
        f"{chart_svg(chart)}<figcaption>{escape(chart.told)}</figcaption></figure>"
        for chart in charts
    )
    rest = len(told.entries) - len(told.drawn)
    more = (
        f" The {len(told.drawn)} best rows have a colour; the other {rest} are grey."
        if rest
        else ""
    )
    return f"""<section aria-labelledby="charts-title">
<h2 id="charts-title">Charts</h2>
<p class="soft">A name picks its run out everywhere, Escape lets it go.{more}</p>
<ul class="legend">{legend}</ul>
<div class="charts">
{figures}
</div>
</section>"""


def _settings(told: Comparison) -> str:
    drawn = [entry for entry in told.drawn if entry.config]
    different = differences(drawn)
    if len(drawn) < 2:
        return ""
    heads = "".join(f'<th scope="col" class="text">{escape(e.name)}</th>' for e in drawn)
    rows = "\n".join(
        f'<tr><th scope="row"><code>{escape(key)}</code></th>'
        + "".join(f'<td class="text"><code>{escape(text)}</code></td>' for text in texts)
        + "</tr>"
        for key, texts in different.items()
    )
    body = (
        '<div class="scroll" tabindex="0" role="region" aria-labelledby="settings-title">'
        f'<table id="settings"><thead><tr><th scope="col">setting</th>{heads}</tr></thead>'
        f"<tbody>\n{rows}\n</tbody></table></div>"
        if rows
        else "<p>None: all have the same settings.</p>"
    )
    return f"""<section aria-labelledby="settings-title">
<h2 id="settings-title">Settings that differ</h2>
{body}
</section>"""


def _figures(told: Comparison) -> str:
    drawn = told.drawn
    keys = sorted({key for entry in drawn for key in entry.metrics})
    if not keys:
        return ""
    heads = "".join(f'<th scope="col">{escape(entry.name)}</th>' for entry in drawn)
    rows = "\n".join(
        f'<tr><th scope="row"><code>{escape(key)}</code></th>'
        + "".join(f"<td>{_exact(entry.figure(key))}</td>" for entry in drawn)
        + "</tr>"
        for key in keys
    )
    return f"""<details>
<summary>Every figure ({len(keys)})</summary>
<div class="scroll" tabindex="0" role="region" aria-label="Every figure">
<table id="figures"><thead><tr><th scope="col">figure</th>{heads}</tr></thead>
<tbody>
{rows}
</tbody></table></div>
</details>"""


def _exact(value: float) -> str:
    if not math.isfinite(value):
        return "-"
    return f"{value:,.0f}" if value == int(value) and abs(value) > 999 else f"{value:.4g}"


def _notes(told: Comparison) -> str:
    notes = [
        f"{escape(entry.name)} has kept no error curves; write them with "
        f"<code>{escape(command)}</code>"
        for entry, command in missing_curves(told)
    ]
    notes += [
        f"Importance of the parameters of {escape(study.name)}: {escape(study.importance_told)}."
        for study in told.studies
    ]
    if not notes:
        return ""
    return (
        '<section aria-labelledby="notes-title"><h2 id="notes-title">Notes</h2><ul>'
        + "".join(f"<li>{note}</li>" for note in notes)
        + "</ul></section>"
    )
