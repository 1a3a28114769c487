"""The leaderboard's table as markdown, CSV and HTML."""

import csv
import io
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hsisr_jax.report.tables import direction, escape, in_order

BASELINES = {"bicubic": "bicubic", "least_squares": "least squares"}  # scored with every run


@dataclass
class Row:
    """One network on one dataset at one scale; `scores` has a list a metric, one value a seed."""

    dataset: str
    scale: int
    network: str
    protocol: str
    seeds: int = 0
    scores: dict[str, list[float]] = field(default_factory=dict)
    parameters: int | None = None
    operations: float | None = None  # per output pixel
    seconds: list[float] = field(default_factory=list)
    published: dict[str, float] = field(default_factory=dict)
    source: str = ""
    failure: str = ""

    @property
    def group(self) -> tuple[str, int, str]:
        return self.dataset, self.scale, self.protocol


def mean(values: Sequence[float]) -> float:
    return statistics.fmean(values)


def deviation(values: Sequence[float]) -> float:
    """Of the seeds as a sample; NaN for one."""
    return statistics.stdev(values) if len(values) > 1 else math.nan


def groups(rows: Sequence[Row]) -> dict[tuple, list[Row]]:
    found: dict[tuple, list[Row]] = {}
    for row in rows:
        found.setdefault(row.group, []).append(row)
    return found


def keys(rows: Sequence[Row]) -> list[str]:
    return in_order(dict.fromkeys(key for row in rows for key in row.scores))


def best(rows: Sequence[Row], key: str) -> Row | None:
    """The row with the best score of a column."""
    scored = [row for row in rows if row.scores.get(key)]
    if not scored:
        return None
    sign = direction(key) or 1
    return max(scored, key=lambda row: sign * mean(row.scores[key]))


def cell(row: Row, key: str) -> str:
    """`29.81 ± 0.05 [29.16]`: ours, and what the paper prints."""
    values = row.scores.get(key)
    text = f"{mean(values):.4g}" if values else "-"
    if values and len(values) > 1:
        text += f" ± {deviation(values):.2g}"
    return f"{text} [{row.published[key]:.4g}]" if key in row.published else text


def costs(row: Row) -> list[str]:
    """Seeds, parameters, operations and seconds, as the table shows them."""
    return [
        str(row.seeds) if row.seeds else "",
        f"{row.parameters:,}" if row.parameters is not None else "",
        f"{row.operations / 1e3:,.0f}" if row.operations is not None else "",
        f"{mean(row.seconds):.0f}" if row.seconds else "",
    ]


COSTS = ["seeds", "parameters", "kFLOP/pixel", "seconds"]


def titled(group: tuple[str, int, str]) -> str:
    dataset, scale, protocol = group
    return f"{dataset}, x{scale} (protocol {protocol})"


def markdown(rows: Sequence[Row], cited: Sequence[Mapping]) -> str:
    """A table for each dataset and scale, and what the figures stand on."""
    lines = ["# Leaderboard", ""]
    for group, members in groups(rows).items():
        names = keys(members)
        winners = {key: best(members, key) for key in names}
        lines += [f"## {titled(group)}", "", _line(["network", *names, *COSTS])]
        lines.append("|" + "---|" * (1 + len(names) + len(COSTS)))
        for row in members:
            cells = [
                f"**{cell(row, key)}**" if winners[key] is row else cell(row, key) for key in names
            ]
            lines.append(_line([_plain(row.network), *cells, *costs(row)]))
        lines += [f"\n{_plain(row.network)} failed: {_plain(row.failure)}"
                  for row in members if row.failure]  # fmt: skip
        lines.append("")
    lines += [f"- [{source['name']}] {source['citation']}" for source in cited]
    return "\n".join([*lines, *notes(cited), ""])


def notes(cited: Sequence[Mapping]) -> list[str]:
    text = "Mean and standard deviation over seeds; bold is best; seconds of training."
    return [f"{text} In brackets: as published." if cited else text]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _plain(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def to_csv(rows: Sequence[Row]) -> str:
    """A row for each network, dataset and scale; mean, deviation, published figure of a key."""
    text, names = io.StringIO(), keys(rows)
    writer = csv.writer(text, lineterminator="\n")
    head = [f"{key}_{part}" for key in names for part in ("mean", "std", "published")]
    facts = ["dataset", "scale", "protocol", "network", "seeds", "parameters"]
    writer.writerow([*facts, "flop_per_output_pixel", "seconds", *head])
    for row in rows:
        values: list = []
        for key in names:
            found = row.scores.get(key)
            std = deviation(found) if found else math.nan
            values += [mean(found) if found else "", "" if math.isnan(std) else std,
                       row.published.get(key, "")]  # fmt: skip
        seconds = mean(row.seconds) if row.seconds else ""
        cells: list = [row.dataset, row.scale, row.protocol, row.network, row.seeds, row.parameters]
        writer.writerow([*cells, row.operations, seconds, *values])
    return text.getvalue()


PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Leaderboard</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 90rem; padding: 0 1.5rem; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .3rem .8rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #8884; }}
th:first-child, td:first-child {{ text-align: left; }}
small, .failed {{ opacity: .75; }}
</style>
<h1>Leaderboard</h1>
{body}
</html>
"""  # noqa: E501


def html(rows: Sequence[Row], cited: Sequence[Mapping]) -> str:
    """One page that needs nothing else; every text in it is escaped."""
    parts = []
    for group, members in groups(rows).items():
        names = keys(members)
        winners = {key: best(members, key) for key in names}
        arrows = {key: "↑" if direction(key) > 0 else "↓" for key in names}
        head = ["network", *(f"{key} {arrows[key]}" for key in names), *COSTS]
        parts.append(f'<h2>{escape(titled(group))}</h2><div class="wide"><table><thead><tr>')
        parts += [f"<th>{escape(text)}</th>" for text in head]
        parts.append("</tr></thead><tbody>")
        for row in members:
            cells = [f"<td>{escape(row.network)}</td>"]
            for key in names:
                shown = escape(cell(row, key))
                cells.append(f"<td><b>{shown}</b></td>" if winners[key] is row else
                             f"<td>{shown}</td>")  # fmt: skip
            cells += [f"<td>{escape(text)}</td>" for text in costs(row)]
            parts.append(f"<tr>{''.join(cells)}</tr>")
        parts.append("</tbody></table></div>")
        parts += [f'<p class="failed">{escape(row.network)} failed: {escape(row.failure)}</p>'
                  for row in members if row.failure]  # fmt: skip
    parts += [f"<p><small>{escape(s['name'])}: {escape(s['citation'])}</small></p>" for s in cited]
    parts += [f"<p><small>{escape(text)}</small></p>" for text in notes(cited)]
    return PAGE.format(body="\n".join(parts))
