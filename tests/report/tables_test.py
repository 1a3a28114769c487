"""Tables: the best is bold, the comparable stands together, and nothing is markup."""

import dataclasses
import re
from pathlib import Path

import pytest

from hsisr_jax import metrics
from hsisr_jax.report import conventions, curves, domains, tables, titles
from hsisr_jax.report.runs import Run


def run(name="a", *, test, bicubic=None, **metrics):
    parts = {"test": test, "protocol": {"name": "sspsr", "ratio": 4}, **metrics}
    if bicubic:
        parts["bicubic"] = bicubic
    return Run(name, Path(name), {}, parts, {}, [], [])


def bold(html: str) -> list[str]:
    return re.findall(r"<b>(.*?)</b>", html)


def test_best_of_each_column_is_bold():
    a = run("a", test={"MPSNR": 31.0, "SAM": 4.0, "odd": 1.0}, bicubic={"MPSNR": 30.0, "SAM": 3.0})
    b = run("b", test={"MPSNR": 33.004, "SAM": 3.5, "odd": 2.0}, bicubic={"MPSNR": 30, "SAM": 3})
    html = tables.metrics([a, b])
    assert bold(html) == ["3.000", "33.00"]  # row by row; an unknown metric is not judged
    assert html.count("<tr class=") == 3 and "↑" in html and "↓" in html


def test_what_prints_alike_is_bold_alike():
    pair = [run(n, test={"PSNR": v}) for n, v in (("a", 30.001), ("b", 30.002))]
    assert bold(tables.metrics(pair)) == ["30.00", "30.00"]


def test_runs_measured_differently_are_not_ranked_together():
    a = run("a", test={"PSNR": 30.0}, bicubic={"PSNR": 28.0})
    b = run("b", test={"PSNR": 31.0}, bicubic={"PSNR": 25.0})
    html = tables.metrics([a, b])
    assert html.count("<table") == 2 and bold(html) == ["30.00", "31.00"]


def test_infinite_and_missing_values():
    a = run("a", test={"PSNR": float("inf"), "SAM": None, "SID": float("nan")})
    html = tables.metrics([a, run("b", test={"PSNR": 30.0})])
    assert "∞" in html and "–" in html and "NaN" in html


@pytest.mark.parametrize(
    "key,value,text",
    [("SAM", 3.14159, "3.142"), ("RMSE", 0.000123, "1.23e-04"), ("UIQI", 0.5, "0.5000")],
)
def test_digits(key, value, text):
    assert tables.value_text(key, value) == text


def test_headline_says_better_and_worse():
    html = tables.headline(
        [run(test={"MPSNR": 33.0, "SAM": 4.0}, bicubic={"MPSNR": 30.0, "SAM": 3.5})]
    )
    assert '<span class="better">+3.00 against bicubic' in html
    assert '<span class="worse">+0.500 against bicubic' in html
    assert '<span class="same">+0.00 against bicubic' in tables.figure(
        "PSNR", 30, [("bicubic", 30)]
    )


def test_angles_in_radians_keep_their_digits():
    html = tables.headline([run(test={"PSNR": 33.0, "SAM": 0.083}, bicubic={"SAM": 0.0891})])
    assert "0.0830" in html and "−0.0061 against bicubic" in html


def test_conventions_are_beside_the_scores_and_not_in_the_caption():
    sam = {"metric": "sam", "degrees": True, "skip_zero": True}
    protocol = {"name": "sspsr", "peak": None, "metrics": {"SAM": sam}}
    html = tables.metrics([run(test={"SAM": 3.0}, protocol=protocol)])
    said = "Mean spectral angle in degrees; pixels that are zero in either cube are left out."
    assert "<caption><span>Protocol sspsr</span></caption>" in html and said in html


def test_every_convention_of_every_protocol_is_a_sentence():
    for name in metrics.PROTOCOLS:
        said = conventions.sentences(metrics.conventions(name))
        assert list(said) == list(metrics.conventions(name)["metrics"])
        for text in said.values():
            assert text[0].isupper() and text.endswith(".")
            assert not re.search(r"[{}_]|True|False|None", text), text
    ssran = metrics.conventions("ssran")
    psnr = conventions.sentences(ssran)["PSNR"]
    assert psnr.endswith("the peak is the largest value of each band.")
    assert conventions.remarks(ssran)[0] == "Both cubes are scaled to a peak of 255 first."
    assert conventions.remarks({}) == [] and conventions.sentences({"metrics": 1}) == {}
    assert conventions.sentences({"metrics": {"X": {"mine": 2}}}) == {"X": "mine: 2"}


def test_a_run_stands_beside_all_that_needs_no_network():
    html = tables.headline([run(test={"PSNR": 33.0}, bicubic={"PSNR": 30.0},
                                baselines={"back_projected": {"PSNR": 32.5}})])  # fmt: skip
    assert "+3.00 against bicubic" in html and "+0.50 against back-projected" in html


@pytest.mark.parametrize(
    "configs, title",
    [
        ([{"model": {"name": "rcam"}, "scale": 2, "data": {"name": "pavia"}}], "rcam ×2 on pavia"),
        ([{"model": {"name": "rcam"}, "scale": 2, "data": {"path": "/a/b.hdr"}}], "rcam ×2 on b"),
        ([{"model": {"name": n}, "scale": 4} for n in ("rcam", "esrt")], "rcam, esrt ×4"),
        ([{"model": {"name": str(n)}} for n in range(9)], "9 networks"),
        ([{}], "folder"),
        ([{"model": {"name": 3}, "scale": "x", "data": []}], "folder"),
    ],
)
def test_a_page_is_called_by_network_scale_and_data(configs, title):
    runs = [dataclasses.replace(run("folder", test={}), config=config) for config in configs]
    assert titles.of_page(runs) == title


def test_a_run_says_that_it_kept_its_base():
    kept, trained = (run(n, test={"MPSNR": 31.0}, base_kept=n == "a") for n in "ab")
    assert tables.headline([kept, trained]).count(tables.BASE_KEPT) == 1


def test_settings_that_differ():
    pair = [
        dataclasses.replace(run(n, test={}), config={"model": {"name": n}, "seed": 0}) for n in "ab"
    ]
    html = tables.configs(pair)
    differing = html.split("<details>")[0]
    assert "model.name" in differing and "seed" not in differing and "seed" in html
    alike = tables.configs([pair[0], pair[0]]).split("<details>")[0]
    assert "All settings are the same" in alike and "<table" not in alike


def test_image_by_image():
    images = [{"name": f"i{k}", "test": {"PSNR": 30.0 + k}} for k in range(2)]
    for image in images:
        image["least_squares"] = {"PSNR": 25.0}
    a = run("a", test={"PSNR": 30.5}, images=images, baselines={"least_squares": {"PSNR": 25.0}})
    html = tables.metrics([a])
    assert "i0" in html and "31.00" in html and html.count("least squares") == 3


def test_curves_are_thinned_and_keep_gaps():
    rows = [{"kind": "train", "step": s, "loss": float(s)} for s in range(5000)]
    rows.append({"kind": "train", "step": 5000, "loss": float("nan"), "learning_rate": 1e-4})
    a = dataclasses.replace(run(test={}), rows=rows)
    charts = curves.charts([a])
    assert [chart["title"] for chart in charts] == ["Loss", "Learning rate"]
    line = charts[0]["series"][0]
    assert len(line["x"]) == curves.POINTS and line["y"][-1] is None
    assert line["y"][0] == pytest.approx(4.0)  # mean of the first nine rows


def test_best_step_is_marked_and_accuracy_is_apart():
    rows = [{"kind": "eval", "step": 10, "MPSNR": 30.0}, {"step": 10, "domain_accuracy": 0.5}]
    a = dataclasses.replace(run(test={}, best_step=10), rows=rows)
    (chart,) = curves.charts([a])
    assert chart["title"] == "Validation MPSNR (dB) ↑" and chart["marks"][0]["x"] == 10
    assert [c["title"] for c in curves.accuracy([a])] == ["Domain accuracy"]


def test_domain_projection_separates_what_is_separate(tmp_path):
    import numpy as np

    rng = np.random.default_rng(0)
    domain = np.arange(200) % 2
    near = 0.01 * rng.standard_normal((200, 6))
    np.savez(
        tmp_path / "domains.npz",
        features=near,
        features_before=near + domain[:, None] * np.eye(6)[2],
        domain=domain,
        endmembers=rng.random((2, 3, 5)),
    )
    a = dataclasses.replace(run(test={}), domains=tmp_path / "domains.npz")
    before, after = domains.projections([a])
    gaps = []
    for chart in (before, after):
        centres = [np.mean(group["points"], 0) for group in chart["groups"]]
        gaps.append(np.linalg.norm(centres[0] - centres[1]))
    assert gaps[0] == pytest.approx(1.0, abs=0.02) and gaps[1] < 0.02
    assert before["range"] == after["range"]
    assert [len(chart["series"]) for chart in domains.endmembers([a])] == [3, 3]


def test_of_many_fields_the_first_are_shown_at_once():
    assert "<details>" not in tables.facts({str(i): i for i in range(40)})
    html = tables.facts({f"<{i}>": i for i in range(150)})
    shown, folded = html.split("<details>")
    assert shown.count("<dt>") == 20 and folded.count("<dt>") == 130
    assert "130 further fields" in folded and "&lt;149&gt;" in folded
