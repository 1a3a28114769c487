"""The leaderboard's table: rows, winners, markdown and CSV."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hsisr_jax.files import csv_text
from hsisr_jax.report.tables import direction, escape, in_order


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
    reports: dict[str, str] = field(default_factory=dict)  # of each seed, below the board's folder

    @property
    def group(self) -> tuple[str, int, str]:
        return self.dataset, self.scale, self.protocol


def mean(values: Sequence[float]) -> float:
    return statistics.fmean(values)


def deviation(values: Sequence[float]) -> float:
    """The sample standard deviation over the seeds; NaN for one seed."""
    return statistics.stdev(values) if len(values) > 1 else math.nan


def groups(rows: Sequence[Row]) -> dict[tuple, list[Row]]:
    found: dict[tuple, list[Row]] = {}
    for row in rows:
        found.setdefault(row.group, []).append(row)
    return found


def keys(rows: Sequence[Row]) -> list[str]:
    return in_order(dict.fromkeys(key for row in rows for key in row.scores))


def best(rows: Sequence[Row], key: str) -> Row | None:
    """The row with the best finite score of a column."""
    scored = [row for row in rows if row.scores.get(key) and math.isfinite(mean(row.scores[key]))]
    if not scored:
        return None
    sign = direction(key) or 1
    return max(scored, key=lambda row: sign * mean(row.scores[key]))


def winner(rows: Sequence[Row], key: str) -> Row | None:
    """The best row of a column, if it leads the second by more than the spread of the seeds.

    The spread is the root of the sum of both variances. A network with one seed has none that is
    known, so neither it nor what it comes second to is a winner; a baseline has no seeds.
    """
    first = best(rows, key)
    second = best([row for row in rows if row is not first], key)
    if first is None or second is None:
        return first
    spread = math.hypot(*(deviation(row.scores[key]) if row.seeds else 0.0
                          for row in (first, second)))  # fmt: skip
    lead = abs(mean(first.scores[key]) - mean(second.scores[key]))
    return first if lead > spread else None


def decimals(rows: Sequence[Row], key: str) -> int:
    """Decimals of a column: four digits of its largest value, the same for all rows."""
    values = [abs(mean(row.scores[key])) for row in rows if row.scores.get(key)]
    values += [abs(row.published[key]) for row in rows if key in row.published]
    top = max(filter(math.isfinite, values), default=0.0)
    return max(0, 3 - math.floor(math.log10(top))) if top else 4


def parts(row: Row, key: str, digits: int) -> tuple[str, str, str]:
    """`29.81`, `± 0.05` and `[29.16]`: mean, deviation over the seeds, and the paper's figure."""
    values = row.scores.get(key)
    ours = f"{mean(values):.{digits}f}" if values else "-"
    spread = f"± {deviation(values):.{digits + 1}f}" if values and len(values) > 1 else ""
    return ours, spread, f"[{row.published[key]:.{digits}f}]" if key in row.published else ""


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
        winners = {key: winner(members, key) for key in names}
        digits = {key: decimals(members, key) for key in names}
        lines += [f"## {_plain(titled(group))}", "", _line(["network", *names, *COSTS])]
        lines.append("|" + "---|" * (1 + len(names) + len(COSTS)))
        for row in members:
            texts = {key: " ".join(filter(None, parts(row, key, digits[key]))) for key in names}
            cells = [f"**{text}**" if winners[key] is row else text for key, text in texts.items()]
            lines.append(_line([_plain(row.network), *cells, *costs(row)]))
        lines += [f"\n{_plain(row.network)} failed: {_plain(row.failure)}"
                  for row in members if row.failure]  # fmt: skip
        lines.append("")
    lines += [f"- [{source['name']}] {source['citation']}" for source in cited]
    return "\n".join([*lines, *notes(cited), ""])


def notes(cited: Sequence[Mapping]) -> list[str]:
    """Explanations of the figures and of bold type."""
    text = (
        "Mean and standard deviation over seeds. Bold is the best where it leads the second by "
        "more than the two deviations together (root of the sum of squares); a single seed has no "
        "deviation, so nothing is bold beside it. Seconds of training."
    )
    return [f"{text} In brackets: as published." if cited else text]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _plain(text: str) -> str:
    """Text escaped for a markdown cell."""
    return escape(" ".join(text.split())).replace("|", "\\|")


def no_formula(text: str) -> str:
    """Text of a CSV cell that spreadsheets do not interpret as a formula."""
    return f"'{text}" if text[:1] in tuple("=+-@\t\r") else text


def to_csv(rows: Sequence[Row]) -> str:
    """A row for each network, dataset and scale; mean, deviation, published figure of a key."""
    names = keys(rows)
    head = [f"{key}_{part}" for key in names for part in ("mean", "std", "published")]
    facts = ["dataset", "scale", "protocol", "network", "seeds", "parameters"]
    lines: list[list] = [[*facts, "flop_per_output_pixel", "seconds", *head]]
    for row in rows:
        values: list = []
        for key in names:
            found = row.scores.get(key)
            std = deviation(found) if found else math.nan
            values += [mean(found) if found else "", "" if math.isnan(std) else std,
                       row.published.get(key, "")]  # fmt: skip
        seconds = mean(row.seconds) if row.seconds else ""
        texts = map(no_formula, (row.dataset, row.protocol, row.network))
        dataset, protocol, network = texts
        cells: list = [dataset, row.scale, protocol, network, row.seeds, row.parameters]
        lines.append([*cells, row.operations, seconds, *values])
    return csv_text(lines)
