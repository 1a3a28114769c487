"""The tables of a page as HTML; text from files is escaped here."""

import html
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from hsisr_jax.report import conventions, titles
from hsisr_jax.report.runs import Run, flat, number, part

ORDER = ("MPSNR", "PSNR", "MSSIM", "SSIM", "SAM", "ERGAS", "RMSE", "CrossCorrelation", "CC", "UIQI")
HIGHER = {"PSNR", "MPSNR", "SSIM", "MSSIM", "CC", "CrossCorrelation", "UIQI"}
LOWER = {"SAM", "ERGAS", "RMSE", "SID", "APPSA", "MARE", "DD", "MAE", "MSE"}
DECIMALS = {"PSNR": 2, "MPSNR": 2, "SAM": 3, "ERGAS": 3}
MANY, FIRST = 40, 20  # facts: of more than that, so many are shown at once
UNITS = {"PSNR": "dB", "MPSNR": "dB"}
BASE_KEPT = "No step was better on the validation images: the base is kept as it is."


Row = tuple[str, str, Mapping[str, Any]]  # label, CSS class, metric values


def escape(text: Any) -> str:
    return html.escape(str(text), quote=True)


def direction(key: str) -> int:
    """+1 if more is better, -1 if less is, 0 if neither."""
    return 1 if key in HIGHER else -1 if key in LOWER else 0


def in_order(keys: Iterable[str]) -> list[str]:
    """Orders metrics: those that papers print first, then the others."""
    return sorted(keys, key=lambda key: ORDER.index(key) if key in ORDER else len(ORDER))


def arrow(key: str) -> str:
    """An arrow that says whether more or less is better."""
    names = {1: ("↑", "higher is better"), -1: ("↓", "lower is better")}
    if direction(key) == 0:
        return ""
    sign, title = names[direction(key)]
    return f' <span class="arrow" title="{title}">{sign}</span>'


def value_text(key: str, value: Any) -> str:
    """A metric's value with a suitable number of digits."""
    value = number(value)
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "∞" if value > 0 else "−∞" if value < 0 else "NaN"
    if value and abs(value) < 1e-3:
        return f"{value:.2e}"
    return f"{value:.{DECIMALS.get(key, 4) if abs(value) > 0.5 else 4}f}"


def headline(runs: Sequence[Run]) -> str:
    """One card a run: its first quality figure and its spectral angle, against what needs no
    network."""
    cards = "".join(_card(run, index, len(runs) > 1) for index, run in enumerate(runs))
    return f'<div class="cards">{cards}</div>'


def metrics(runs: Sequence[Run]) -> str:
    """Means over the test images; runs with the same conventions share a table."""
    parts = []
    for group in _alike(runs):
        rows = _reference_rows(group[0].metrics)
        rows += [_row(run, runs, run.metrics) for run in group]
        images = group[0].metrics.get("images") or []
        count = f" · mean over {len(images)} image{'s' * (len(images) != 1)}" if images else ""
        caption = f"{_protocol(group[0])}{count}"
        parts.append(scored(rows, caption, extra=[_costs(run) for run in group]))
        if len(images) > 1:
            parts.append(_image_table(group, runs))
        parts.append(_conventions(group[0]))
    return "".join(parts) or '<p class="note">No run has been evaluated yet.</p>'


def configs(runs: Sequence[Run]) -> str:
    """The settings that differ between the runs, then all settings."""
    settings = [flat(run.config) for run in runs]
    keys = list(dict.fromkeys(key for setting in settings for key in setting))
    different = [key for key in keys if len({_text(setting.get(key)) for setting in settings}) > 1]
    parts = []
    if len(runs) > 1 and not different:
        parts.append('<p class="note">All settings are the same.</p>')
    elif len(runs) > 1:
        parts.append(_columns(different, settings, runs, "Settings that differ"))
    title = f"All {len(keys)} settings"
    parts.append(
        f"<details><summary>{title}</summary>{_columns(keys, settings, runs, title)}</details>"
    )
    return "".join(parts) if keys else '<p class="note">No config.json.</p>'


def environments(runs: Sequence[Run]) -> str:
    """The environments of the runs; differences are marked."""
    settings = []
    for run in runs:
        fields = flat(run.environment)
        settings.append({key.removeprefix("versions."): value for key, value in fields.items()})
    keys = list(dict.fromkeys(key for setting in settings for key in setting))
    if not keys:
        return '<p class="note">No environment.json.</p>'
    return _columns(keys, settings, runs, "Versions and hardware")


def facts(fields: Mapping[str, Any]) -> str:
    """Facts about one file, in as many columns as there is room for; of very many, those behind the
    first are folded away."""
    known = list(fields.items())
    shown = known[:FIRST] if len(known) > MANY else known
    further = known[len(shown) :]
    if further:
        summary = f"<summary>{len(further)} further fields of the file</summary>"
        return f"{_facts(shown)}<details>{summary}{_facts(further)}</details>"
    return _facts(shown)


def _facts(fields: Sequence[tuple[str, Any]]) -> str:
    rows = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in fields)
    return f'<dl class="file">{rows}</dl>'


def _card(run: Run, index: int, names: bool) -> str:
    test = part(run.metrics, "test")
    keys = [key for key in ("MPSNR", "PSNR", "SAM") if key in test]
    beside = [(label, values) for label, _, values in _reference_rows(run.metrics)]
    figures = "".join(
        figure(key, test[key], [(label, values.get(key)) for label, values in beside])
        for key in keys
    )
    facts = [_fact(run, "parameters"), _fact(run, "steps"), _duration(run)]
    if number(run.metrics.get("seed")) is not None:
        facts.append(f"seed {run.metrics['seed']}")
    state = "" if test else '<p class="note">not evaluated yet</p>'
    if run.metrics.get("base_kept") is True:
        state += f'<p class="note">{BASE_KEPT}</p>'
    what = f'<p class="facts">{escape(titles.of_run(run))}</p>' if names else ""
    return (
        f'<article class="card run-{index % 6}"><h3>{escape(run.name)}</h3>{what}'
        f'<div class="figures">{figures}</div>{state}'
        f'<p class="facts">{" · ".join(fact for fact in facts if fact)}</p></article>'
    )


def figure(
    key: str, value: Any, beside: Sequence[tuple[str, Any]], *, unit: str | None = None
) -> str:
    """A large number and its differences to those of other methods."""
    changes = "".join(_change(key, value, other, label) for label, other in beside)
    unit = UNITS.get(key, "") if unit is None else unit
    return (
        f'<div class="figure"><span class="key">{escape(key)}</span>'
        f'<span class="value">{value_text(key, value)}<small> {unit}</small></span>'
        f"{changes}</div>"
    )


def _change(key: str, value: Any, reference: Any, label: str) -> str:
    value, reference = number(value), number(reference)
    if value is None or reference is None or not math.isfinite(value - reference):
        return ""
    good = (value - reference) * direction(key) > 0
    digits = DECIMALS.get(key, 4) if abs(value) > 0.5 else 4  # an angle may be in radians
    difference = f"{value - reference:+.{digits}f}".replace("-", "−")
    same = not float(f"{value - reference:.{digits}f}")
    kind = "same" if same else "better" if good else "worse"
    return f'<span class="{kind}">{difference} against {escape(label)}</span>'


def _fact(run: Run, key: str) -> str:
    value = number(run.metrics.get(key))
    return "" if value is None else f"{value:,.0f} {key}".replace(",", "\u202f")


def _duration(run: Run) -> str:
    seconds = number(run.metrics.get("seconds"))
    if seconds is None:
        return ""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _costs(run: Run) -> tuple[str, str]:
    millions = number(run.metrics.get("parameters"))
    text = "" if millions is None else f"{millions / 1e6:.2f} M"
    return text, _duration(run)


def _alike(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs with the same conventions, images and bicubic figures, so that rows are comparable."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        if not part(run.metrics, "test"):
            continue
        images = run.metrics.get("images") or []
        names = [image.get("name") if isinstance(image, Mapping) else None for image in images]
        rounded = {key: value_text(key, v) for key, v in part(run.metrics, "bicubic").items()}
        key = json.dumps([run.protocol, names, rounded], sort_keys=True, default=str)
        groups.setdefault(key, []).append(run)
    return list(groups.values())


def _protocol(run: Run) -> str:
    facts = {k: v for k, v in run.protocol.items() if not isinstance(v, Mapping | list | None)}
    name = facts.pop("name", None)
    words = [f"Protocol {escape(name)}"] if name else ["Test metrics"]
    words += [f"{escape(k.replace('_', ' '))} {escape(_text(v))}" for k, v in facts.items()]
    return " · ".join(words)


def _conventions(run: Run) -> str:
    """The conventions of each metric, if the run states them."""
    said = conventions.sentences(run.protocol)
    if not said:
        return ""
    lines = "".join(f"<dt>{escape(k)}</dt><dd>{escape(text)}</dd>" for k, text in said.items())
    notes = "".join(f'<p class="note">{escape(t)}</p>' for t in conventions.remarks(run.protocol))
    summary = "<summary>Conventions of the metrics</summary>"
    return f'<details>{summary}<dl class="sentences">{lines}</dl>{notes}</details>'


def _reference_rows(tree: Mapping[str, Any], baselines: Collection[str] = ()) -> list[Row]:
    rows: list[Row] = []
    if part(tree, "bicubic"):
        rows.append(("bicubic", "bicubic", tree["bicubic"]))
    others = {**{k: v for k, v in tree.items() if k in baselines}, **part(tree, "baselines")}
    for name, values in others.items():
        if isinstance(values, Mapping) and name != "bicubic":
            rows.append((titles.METHODS.get(name, str(name)), "baseline", values))
    return rows


def _row(run: Run, runs: Sequence[Run], scores: Mapping[str, Any]) -> Row:
    return run.name, f"run-{runs.index(run) % 6}", part(scores, "test")


def scored(rows: Sequence[Row], caption: str, *, extra: Sequence[tuple[str, str]] = ()) -> str:
    """Rows of metrics with the best of each column in bold; costs beside the last rows."""
    keys = in_order(dict.fromkeys(key for _, _, values in rows for key in values))
    best = {key: _best(key, [values.get(key) for _, _, values in rows]) for key in keys}
    wide = any(any(cost) for cost in extra)
    head = "".join(f'<th scope="col">{escape(key)}{arrow(key)}</th>' for key in keys)
    head += '<th scope="col">parameters</th><th scope="col">time</th>' if wide else ""
    costs = [("", "")] * (len(rows) - len(extra)) + list(extra)
    body = []
    for (label, kind, values), cost in zip(rows, costs):
        cells = "".join(_cell(key, values.get(key), best[key]) for key in keys)
        cells += "".join(f"<td>{text or '–'}</td>" for text in cost) if wide else ""
        head_cell = f'<th scope="row"><i class="swatch"></i>{escape(label)}</th>'
        body.append(f'<tr class="{kind}">{head_cell}{cells}</tr>')
    return (
        f'<div class="scroll"><table class="metrics"><caption><span>{caption}</span></caption>'
        f'<thead><tr><th scope="col">method</th>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _best(key: str, values: Sequence[Any]) -> str | None:
    """The best value as it is printed, so that what looks equal is bold alike."""
    known = [v for v in map(number, values) if v is not None and not math.isnan(v)]
    if direction(key) == 0 or len(known) < 2:
        return None
    return value_text(key, max(known) if direction(key) > 0 else min(known))


def _cell(key: str, value: Any, best: str | None) -> str:
    text, exact = value_text(key, value), number(value)
    sort = "" if exact is None or math.isnan(exact) else f' data-value="{exact:.9g}"'
    if text == best:
        return f'<td class="best"{sort}><b>{text}</b></td>'
    return f"<td{sort}>{text}</td>"


def _image_table(group: Sequence[Run], runs: Sequence[Run]) -> str:
    parts = []
    for index, image in enumerate(group[0].metrics["images"]):
        rows = _reference_rows(image, part(group[0].metrics, "baselines"))
        rows += [_row(run, runs, run.metrics["images"][index]) for run in group]
        parts.append(scored(rows, escape(image.get("name", index))))
    return f"<details><summary>Image by image</summary>{''.join(parts)}</details>"


def _columns(
    keys: Sequence[str], settings: Sequence[Mapping], runs: Sequence[Run], title: str
) -> str:
    head = "".join(f'<th scope="col">{escape(run.name)}</th>' for run in runs)
    body = "".join(
        f'<tr><th scope="row">{escape(key)}</th>'
        + "".join(f"<td>{escape(_text(setting.get(key)))}</td>" for setting in settings)
        + "</tr>"
        for key in keys
    )
    caption = f"<caption><span>{escape(title)}</span></caption>"
    return (
        f'<div class="scroll"><table class="settings">{caption}'
        f'<thead><tr><th scope="col"></th>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, default=str)
