"""The leaderboard's page: a table for each dataset and scale, in the style of the reports."""

import math
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from hsisr_jax.report import board, page
from hsisr_jax.report.board import Row
from hsisr_jax.report.tables import arrow, escape


def html(rows: Sequence[Row], cited: Sequence[Mapping]) -> str:
    """The self-contained page; all text in it is escaped."""
    sections = [
        page.Section(f"group-{index}", board.titled(group), _table(members) + _failures(members))
        for index, (group, members) in enumerate(board.groups(rows).items())
    ]
    facts = [*(f"{s['name']}: {s['citation']}" for s in cited), *board.notes(cited)]
    body = "".join(f'<p class="note">{escape(text)}</p>' for text in facts)
    sections.append(page.Section("notes", "How to read it", body))
    return page.build("Leaderboard", "Leaderboard", sections, {}, [], megabytes=20)


def _table(rows: Sequence[Row]) -> str:
    names = board.keys(rows)
    winners = {key: board.winner(rows, key) for key in names}
    digits = {key: board.decimals(rows, key) for key in names}
    head = ["network", *(f"{_soft(key)}{arrow(key)}" for key in names), *map(_soft, board.COSTS)]
    body = []
    for row in rows:
        cells = [_cell(row, key, digits[key], winners[key] is row) for key in names]
        cells += [f"<td>{_seeds(row)}</td>"]
        cells += [
            f"<td{_value(text.replace(',', ''))}>{text}</td>" for text in board.costs(row)[1:]
        ]
        kind = "" if row.seeds or row.failure else ' class="baseline"'
        name = _linked(escape(row.network), next(iter(row.reports.values()), ""))
        body.append(f'<tr{kind}><th scope="row">{name}</th>{"".join(cells)}</tr>')
    columns = "".join(f'<th scope="col">{text}</th>' for text in head)
    return (
        '<div class="scroll" tabindex="0"><table class="metrics board">'
        f"<thead><tr>{columns}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _cell(row: Row, key: str, digits: int, wins: bool) -> str:
    ours, spread, published = board.parts(row, key, digits)
    text = f"<b>{ours}</b>" if wins else ours
    more = "".join(f"<small>{part}</small>" for part in (spread, published) if part)
    value = board.mean(row.scores[key]) if row.scores.get(key) else math.nan
    return f"<td{_value(value)}{' class=best' * wins}>{text}{more}</td>"


def _value(value: object) -> str:
    """The value that the page's script sorts by."""
    try:
        number = float(str(value))
    except ValueError:
        return ""
    return f' data-value="{number:.9g}"' if math.isfinite(number) else ""


def _seeds(row: Row) -> str:
    """The number of seeds, with a link to the report of each."""
    links = [_linked(escape(name), place) for name, place in row.reports.items()]
    if len(links) > 1:
        return f"{row.seeds}<small>{' '.join(links)}</small>"
    return str(row.seeds or "")


def _linked(text: str, place: str) -> str:
    return f'<a href="{escape(quote(place))}">{text}</a>' if place else text


def _soft(text: str) -> str:
    """Names that may break where a word begins: CrossCorrelation, kFLOP/pixel."""
    for part in ("Correlation", "/pixel", "meters"):
        text = text.replace(part, f"<wbr>{part}")
    return text


def _failures(rows: Sequence[Row]) -> str:
    return "".join(
        f'<p class="note failed">{escape(row.network)} failed: {escape(row.failure)}</p>'
        for row in rows
        if row.failure
    )
