"""The protocols against the originals' numbers, degenerate input, gradients, batches, dtypes."""

import json
from functools import partial

import jax
import numpy as np
import pytest
from golden import Case, cases, channels_last

from hsisr_jax import metrics
from hsisr_jax.errors import UserError

# What the originals answer with infinity or NaN on identical images, and we do not.
DEPARTURES = {"MPSNR": metrics.PSNR_CEILING, "PSNR": metrics.PSNR_CEILING, "SAM": 0.0}


SHAPE = (33, 34, 4)  # one for all, so that each protocol is compiled once


def assert_scores(scores, expected, *, rtol, atol=0.0):
    for key, value in expected.items():
        if not np.isfinite(value):
            value = DEPARTURES[key]
        np.testing.assert_allclose(scores[key], value, rtol=rtol, atol=atol, err_msg=key)


def noisy_pair(*shape, noise=0.05, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.random(shape)
    return x.astype(np.float32), (x + noise * rng.standard_normal(shape)).astype(np.float32)


# -- the originals -------------------------------------------------------------------------------


@pytest.mark.parametrize("file", cases("metrics_numpy_*.npz"))
def test_sspsr_protocol(file):
    case = Case(file)
    x, y = case["input/x_true"], case["input/x_pred"]
    for ratio in (2, 4, 8):
        prefix = f"output/srlsgat/quality_assessment_ratio{ratio}"
        expected = {k: float(v) for k, v in case.group(prefix).items()}
        scores = metrics.evaluate(x, y, protocol="sspsr", ratio=ratio)
        assert list(sorted(scores)) == sorted([*expected, "SID", "APPSA", "MARE"])
        assert_scores(scores, expected, rtol=1e-6)
        for key in ("SID", "APPSA", "MARE"):
            value = case[f"output/srlsgat/compare_{key.lower()}"]
            np.testing.assert_allclose(scores[key], value, rtol=1e-5, err_msg=key)
        # SSPSR's own file takes angles in float32
        sspsr = case.group(f"output/sspsr/quality_assessment_ratio{ratio}")
        assert_scores(scores, {k: float(v) for k, v in sspsr.items()}, rtol=2e-6)
    psnr = metrics.psnr_per_band(x, y)
    expected = np.where(np.isinf(e := case["output/per_band/psnr"]), metrics.PSNR_CEILING, e)
    np.testing.assert_allclose(psnr, expected, rtol=1e-6)
    half = float(case["output/srlsgat/compare_mpsnr_range_half"])
    expected = {"MPSNR": half}
    assert_scores({"MPSNR": metrics.psnr(x, y, data_range=0.5)}, expected, rtol=1e-6)


@pytest.mark.parametrize("file", cases("metrics_torch_*.npz"))
def test_asnlsr_protocol(file):
    case = Case(file)
    config = case.config
    x, y = (channels_last(case[f"input/{k}"]) for k in ("target", "out"))
    options = {"data_range": config["max_value"] - config["min_value"]}
    scores = metrics.evaluate(x, y, protocol="asnlsr", ratio=config["upsampling_ratio"], **options)
    assert all(value.shape == (len(x),) for value in scores.values())
    # The original pools a batch in PSNR and RMSE and takes means of the others.
    scores = {k: v.mean() for k, v in scores.items()}
    pooled_x, pooled_y = (v.reshape(-1, *v.shape[2:]) for v in (x, y))
    scores["PSNR"] = metrics.psnr(pooled_x, pooled_y, average="whole", **options)
    scores["RMSE"] = metrics.rmse(pooled_x, pooled_y)
    expected = {k: float(v) for k, v in case.group("output/compute_metrics_torch").items()}
    assert scores.keys() == expected.keys()
    sam = expected.pop("SAM")
    assert_scores(scores, expected, rtol=5e-6)
    # float32 arccos near 1: the original's own noise on identical images is 6e-5
    np.testing.assert_allclose(scores["SAM"], sam, rtol=1e-4)
    plain = metrics.ergas(x, y, ratio=config["upsampling_ratio"], clip=(0, 1)).mean()
    np.testing.assert_allclose(plain, case["output/compute_ergas_torch"], rtol=5e-6)


@pytest.mark.parametrize("file", cases("*.npz", folder="matlab_metrics"))
def test_ssran_protocol(file):
    case = Case(file)
    for entry in case.config["cases"]:
        name, edge = entry["name"], entry["ignore_edges"]
        x, y = (case[f"{name}/input/{k}"] for k in ("ground_truth", "estimated"))
        expected = {k.upper(): float(v) for k, v in case.group(f"{name}/metric").items()}
        extra = {k: expected.pop(k) for k in ("SAM_RAD", "UIQI8_BAND0")}
        x, y = (v[edge : v.shape[0] - edge, edge : v.shape[1] - edge] for v in (x, y))
        ratio = 1 / entry["ratio_ergas"]
        given = {} if ratio == 1 else {"ratio": ratio}  # 1 is the protocol's own
        scores = metrics.evaluate(x, y, protocol="ssran", **given)
        assert scores.keys() == expected.keys()
        assert_scores(scores, expected, rtol=1e-6)
        scaled = metrics.evaluate(255 * x, 255 * y, protocol="ssran", data_range=255.0, ratio=ratio)
        assert_scores(scaled, expected, rtol=1e-6)
        if name != "noisy":  # each size costs a compilation
            continue
        angle = metrics.sam(x, y, degrees=False)
        np.testing.assert_allclose(angle, extra["SAM_RAD"], rtol=1e-6)
        block = metrics.uiqi(x[..., :1], y[..., :1])
        np.testing.assert_allclose(block, extra["UIQI8_BAND0"], rtol=1e-6)


# -- second implementations ----------------------------------------------------------------------


def test_ssim_against_skimage():
    skimage = pytest.importorskip("skimage.metrics")
    x, y = noisy_pair(23, 31, 3)
    for size in (3, 5, 11):
        expected = skimage.structural_similarity(
            x, y, data_range=2.0, win_size=size, channel_axis=-1
        )
        ours = metrics.ssim(x, y, size=size, data_range=2.0)
        np.testing.assert_allclose(ours, expected, rtol=2e-6)


@pytest.mark.parametrize("size", [2, 7, 8, 32])
def test_uiqi_keeps_its_digits_where_windows_hardly_vary(size):
    """A faint texture on a bright ramp, against float64 sliding windows."""
    rng = np.random.default_rng(1)
    ramp = 0.3 + 0.5 * np.linspace(0, 1, 40)[:, None] * np.ones(37)
    pair = [(ramp + 2e-3 * rng.standard_normal(ramp.shape)).astype(np.float32) for _ in range(2)]
    windows = [np.lib.stride_tricks.sliding_window_view(v, (size, size)) for v in pair]
    a, b = (w.reshape(*w.shape[:2], -1).astype(np.float64) for w in windows)
    covariance = ((a - a.mean(-1, keepdims=True)) * (b - b.mean(-1, keepdims=True))).mean(-1)
    index = 4 * covariance * a.mean(-1) * b.mean(-1)
    index /= (a.var(-1) + b.var(-1)) * (a.mean(-1) ** 2 + b.mean(-1) ** 2)
    ours = metrics.uiqi(pair[0][..., None], pair[1][..., None], size=size)
    np.testing.assert_allclose(ours, index.mean(), rtol=1e-5, atol=2e-6)


def test_float64_stays_float64():
    x, y = (v.astype(np.float64) for v in noisy_pair(16, 16, 3))
    with jax.enable_x64(True):
        value = metrics.psnr(x, y)
    assert value.dtype == np.float64
    expected = (-10 * np.log10(np.square(x - y).mean((0, 1)))).mean()
    np.testing.assert_allclose(value, expected, rtol=1e-13)


def test_sums_over_a_large_image_keep_their_digits():
    x = np.full((700, 700, 1), 0.1, np.float32)
    y = x + np.float32(1e-3)
    expected = float(np.square(x.astype(float) - y).mean())
    np.testing.assert_allclose(jax.jit(metrics.mse_per_band)(x, y)[0], expected, rtol=1e-6)


# -- degenerate input ----------------------------------------------------------------------------


def zero_pixels(x):
    x[:4] = 0
    return x


def zero_band(x):
    x[..., 1] = 0
    return x


def constant_band(x):
    x[..., 1] = 0.3
    return x


DEGENERATE = {
    "identical": (lambda x: x, lambda x: x),
    "zero_pixels_in_both": (zero_pixels, zero_pixels),
    "zero_pixels_in_one": (lambda x: x, zero_pixels),
    "zero_band_in_both": (zero_band, zero_band),
    "zero_band_in_reference": (zero_band, lambda x: x),
    "constant_band_in_both": (constant_band, constant_band),
    "constant_band_in_estimate": (lambda x: x, constant_band),
    "all_zero": (np.zeros_like, np.zeros_like),
    "zero_estimate": (lambda x: x, np.zeros_like),
    "zero_reference": (np.zeros_like, lambda x: x),
    "far_out_of_range": (lambda x: x, lambda x: 40 * x - 20),
    "negative": (lambda x: -x, lambda x: -x * 0.9),
}


@pytest.fixture(scope="module")
def score_and_differentiate():
    """One compilation a protocol for all degenerate cases."""

    def value(y, x, protocol):
        scores = metrics.evaluate(x, y, protocol=protocol)
        return sum(scores.values()), scores

    return jax.jit(jax.value_and_grad(value, has_aux=True), static_argnames="protocol")


@pytest.mark.parametrize("protocol", metrics.protocol_names())
def test_degenerate_images_have_finite_scores_and_gradients(protocol, score_and_differentiate):
    for name, (of_reference, of_estimate) in DEGENERATE.items():
        x = noisy_pair(*SHAPE)[0]
        pair = of_estimate(x.copy()), of_reference(x.copy())
        (_, scores), gradient = score_and_differentiate(*pair, protocol=protocol)
        for key, score in scores.items():
            assert np.isfinite(score), (name, key)
        assert np.isfinite(gradient).all(), name


def test_degenerate_values_are_the_documented_ones():
    x, y = noisy_pair(*SHAPE)
    same = metrics.evaluate(x, x)
    assert same["MPSNR"] == metrics.PSNR_CEILING
    assert same["ERGAS"] == same["RMSE"] == 0 and same["SAM"] < 1e-4
    assert same["UIQI"] == same["MSSIM"] == 1
    norm = np.sqrt(np.square(x).sum(-1))
    assert same["APPSA"] == pytest.approx(np.mean(np.sqrt(2e-3) / norm), rel=0.01)
    assert metrics.appsa(x, x, epsilon=0.0) < 1e-5
    assert same["CrossCorrelation"] == pytest.approx(1)
    # bands without a mean leave ERGAS, bands without variance the correlation
    for change, metric in ((0.0, metrics.ergas), (0.4, metrics.cc)):
        flat = x.copy()
        flat[..., 1] = change
        np.testing.assert_allclose(
            metric(flat, y), metric(x[..., [0, 2, 3]], y[..., [0, 2, 3]]), rtol=1e-6
        )
    flat = y.copy()
    flat[..., 1] = 0.4
    np.testing.assert_allclose(
        metrics.cc(x, flat), metrics.cc(x[..., [0, 2, 3]], y[..., [0, 2, 3]]) * 3 / 4, rtol=1e-6
    )
    # pixels that are zero in either image leave SAM
    dead = y.copy()
    dead[3] = 0
    rest = [i for i in range(SHAPE[0]) if i != 3]
    np.testing.assert_allclose(metrics.sam(x, dead), metrics.sam(x[rest], y[rest]), rtol=1e-6)
    assert metrics.sam_map(x, dead)[3].max() == 0
    assert metrics.sam(x * 0, y) == 0


# -- shapes, options, names ----------------------------------------------------------------------


@pytest.mark.parametrize("protocol", metrics.protocol_names())
def test_a_batch_is_its_cubes(protocol):
    x, y = noisy_pair(2, *SHAPE)
    batch = metrics.evaluate(x, y, protocol=protocol, data_range=0.8, ratio=2.0)
    for i in range(2):
        single = metrics.evaluate(x[i], y[i], protocol=protocol, data_range=0.8, ratio=2.0)
        for key, value in single.items():
            assert value.shape == () and batch[key].shape == (2,)
            np.testing.assert_allclose(batch[key][i], value, rtol=1e-6, err_msg=key)


def test_ratio_and_range_do_not_recompile():
    x, y = noisy_pair(*SHAPE)
    metrics.evaluate(x, y)
    before = metrics._evaluate._cache_size()
    half = metrics.evaluate(x, y, data_range=2, ratio=8)
    metrics.evaluate(x, y, data_range=0.5, ratio=2.0)
    assert metrics._evaluate._cache_size() == before
    np.testing.assert_allclose(half["ERGAS"], metrics.ergas(x, y, ratio=8), rtol=1e-6)


def test_map_and_bands_have_the_means_of_their_scores():
    x, y = noisy_pair(2, 12, 13, 5)
    np.testing.assert_allclose(metrics.sam_map(x, y).mean((1, 2)), metrics.sam(x, y), rtol=1e-5)
    radians = metrics.sam_map(x, y, degrees=False)
    np.testing.assert_allclose(np.rad2deg(radians), metrics.sam_map(x, y), rtol=1e-6)
    np.testing.assert_allclose(metrics.psnr_per_band(x, y).mean(-1), metrics.psnr(x, y), rtol=1e-6)


def test_whole_cube_psnr_takes_the_largest_value_as_its_own_peak():
    x, y = noisy_pair(8, 8, 3)
    expected = 10 * np.log10(x.max() ** 2 / np.square(x - y).mean())
    ours = metrics.psnr(x, y, average="whole", data_range=None)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_every_reported_key_has_a_direction():
    x, y = noisy_pair(*SHAPE)
    for protocol in metrics.protocol_names():
        worse = metrics.evaluate(x, y, protocol=protocol)
        better = metrics.evaluate(x, 0.5 * (x + y), protocol=protocol)
        for key in worse:
            assert (better[key] > worse[key]) == metrics.higher_is_better(key), key


def test_conventions_are_plain_data_that_name_every_key():
    x, y = noisy_pair(*SHAPE)
    for protocol in metrics.protocol_names():
        stated = metrics.conventions(protocol)
        assert stated["name"] == protocol
        assert json.loads(json.dumps(stated))["metrics"].keys() == stated["metrics"].keys()
        assert stated["metrics"].keys() == metrics.evaluate(x, y, protocol=protocol).keys()
    ergas = metrics.conventions("asnlsr")["metrics"]["ERGAS"]
    assert ergas == {"metric": "ergas", "shift": 0.5, "clip": (0.0, 1.0)}


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda x: metrics.evaluate(x, x, protocol="matlab"), "sspsr, asnlsr, ssran"),
        (lambda x: metrics.conventions("matlab"), "sspsr, asnlsr, ssran"),
        (lambda x: metrics.evaluate(x, x, data_range=0.0), "data_range"),
        (lambda x: metrics.evaluate(x, x, data_range=np.ptp(x * 0)), "data_range"),  # no float
        (lambda x: metrics.evaluate(x, x, ratio=0), "ratio is the scale"),
        (lambda x: metrics.evaluate(x, x[:-1]), "one shape"),
        (lambda x: metrics.evaluate(x[..., 0], x[..., 0]), "two cubes"),
        (lambda x: metrics.evaluate(x, x, protocol="ssran"), "32 pixels"),
        (lambda x: metrics.psnr(x, x, average="median"), "bands, whole"),
        (lambda x: metrics.ssim(x, x, window="box"), "uniform, gaussian"),
        (lambda x: metrics.ssim(x, x, border="wrap"), "valid, reflect"),
        (lambda x: metrics.ssim(x[:6], x[:6]), "7 pixels"),
        (lambda x: metrics.higher_is_better("lost"), "MPSNR"),
    ],
)
def test_a_wrong_argument_is_a_clear_error(call, words):
    with pytest.raises(UserError, match=words):
        call(np.zeros((8, 8, 2), np.float32))


@pytest.mark.parametrize(("protocol", "side"), [("sspsr", 8), ("asnlsr", 6), ("ssran", 32)])
def test_the_smallest_image_that_a_protocol_scores(protocol, side):
    assert metrics.smallest_image(protocol) == side
    score = partial(metrics.evaluate, protocol=protocol)
    for shape in ((side, side, 2), (side, 40, 2)):
        jax.eval_shape(score, *[jax.ShapeDtypeStruct(shape, "float32")] * 2)
    with pytest.raises(UserError, match=f"needs {side} pixels a side, not {side - 1} x 40"):
        jax.eval_shape(score, *[jax.ShapeDtypeStruct((side - 1, 40, 2), "float32")] * 2)


# -- what is not finite --------------------------------------------------------------------------


def with_zeros():
    """A pair with a pixel and a band without any signal, which protocols leave out."""
    x, y = noisy_pair(*SHAPE)
    for cube in (x, y):
        cube[2, 3] = 0
        cube[..., 1] = 0
    return x, y


@pytest.mark.parametrize("protocol", metrics.protocol_names())
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(5, 6, 0), (2, 3, 0), (5, 6, 1), ...])
def test_no_score_of_an_estimate_that_is_not_finite(protocol, value, place):
    x, y = with_zeros()
    assert all(np.isfinite(v) for v in metrics.evaluate(x, y, protocol=protocol).values())
    y[place] = value
    for one, other in ((x, y), (y, x)):
        scores = metrics.evaluate(one, other, protocol=protocol)
        assert {k: float(v) for k, v in scores.items() if not np.isnan(v)} == {}


def test_only_the_image_of_a_batch_that_is_not_finite_has_no_score():
    x, y = noisy_pair(2, *SHAPE)
    y[1, 0, 0, 0] = np.nan
    for scores in metrics.evaluate(x, y).values():
        assert np.isfinite(scores[0]) and np.isnan(scores[1])


ALONE = ("psnr", "rmse", "ergas", "cc", "mare", "dd", "sam", "appsa", "sid", "ssim", "uiqi")


@pytest.mark.parametrize("name", ALONE)
def test_each_metric_alone_is_nan_for_one_nan(name):
    x, y = noisy_pair(*SHAPE)
    y[5, 6, 0] = np.nan
    assert np.isnan(getattr(metrics, name)(x, y))
    assert np.isnan(getattr(metrics, name)(x, np.full_like(x, np.nan)))


@pytest.mark.parametrize("protocol", metrics.protocol_names())
def test_gradients_of_valid_images_stay_finite(protocol):
    x, y = with_zeros()

    def total(estimate):
        return sum(metrics.evaluate(x, estimate, protocol=protocol).values())

    for estimate in (y, x):  # also where every error is 0
        assert np.isfinite(jax.jit(jax.grad(total))(estimate)).all()


# -- masks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", metrics.protocol_names())
def test_a_mask_leaves_out_a_border_as_cutting_it_off_does(protocol):
    """For windows of mirrored borders the cut itself makes a difference; elsewhere none."""
    x, y = noisy_pair(44, 40, 4)
    x, y = x + 0.2, y + 0.2
    mask = np.zeros((44, 40), bool)
    mask[5:, :-3] = True
    alone = metrics.evaluate(x[mask.any(1)][:, :-3], y[mask.any(1)][:, :-3], protocol=protocol)
    holed, other = x.copy(), y.copy()
    holed[~mask], other[~mask] = np.nan, 1e9
    found = metrics.evaluate(holed, other, protocol=protocol, mask=mask)
    for key, value in alone.items():
        rtol = 0.02 if (protocol, key) == ("asnlsr", "SSIM") else 2e-5
        np.testing.assert_allclose(found[key], value, rtol=rtol, err_msg=key)


def test_masked_values_cost_ssim_no_digits():
    rng = np.random.default_rng(0)
    hr = (1000 + rng.random((40, 36, 2))).astype(np.float32)
    sr = (hr + rng.normal(size=hr.shape) / 20).astype(np.float32)
    mask = np.zeros(hr.shape[:2], bool)
    mask[5:30, 4:31] = True
    options = {"window": "gaussian", "size": 11}
    cut = metrics.ssim(hr[5:30, 4:31], sr[5:30, 4:31], **options)
    np.testing.assert_allclose(metrics.ssim(hr, sr, mask=mask, **options), cut, rtol=1e-5)


def test_a_masked_array_is_refused_with_the_mask_to_give():
    """JAX would score what is hidden too."""
    x, y = noisy_pair(12, 12, 3)
    hidden = np.ma.masked_where(x > 0.9, x)
    for score in (metrics.evaluate, metrics.psnr, metrics.sam, metrics.ssim):
        with pytest.raises(UserError, match=r"give mask=~\(np\.ma\.getmaskarray"):
            score(y, hidden)


def test_single_masked_pixels_equal_the_formulas_over_the_others():
    x, y = noisy_pair(*SHAPE)
    mask = np.random.default_rng(1).random(SHAPE[:2]) > 0.02
    a, b = x[mask], y[mask]
    error = np.square(a - b).mean(0)
    np.testing.assert_allclose(metrics.psnr(x, y, mask=mask), (-10 * np.log10(error)).mean(), 1e-5)
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    angle = np.degrees(np.arccos(cosine)).mean()
    np.testing.assert_allclose(metrics.sam(x, y, mask=mask), angle, rtol=1e-4)
    windows = np.lib.stride_tricks.sliding_window_view(mask, (8, 8)).all((2, 3))
    blocks = np.stack([np.lib.stride_tricks.sliding_window_view(c[..., 0], (8, 8)) for c in (x, y)])
    mean, deviation = blocks.mean((3, 4)), blocks.std((3, 4))
    both = (blocks - mean[..., None, None]).prod(0).mean((2, 3))
    index = 4 * both * mean.prod(0) / np.square(deviation).sum(0) / np.square(mean).sum(0)
    found = metrics.uiqi(x[..., :1], y[..., :1], mask=mask)
    np.testing.assert_allclose(found, index[windows].mean(), rtol=1e-4)


def test_masks_of_a_batch_and_what_is_no_mask():
    x, y = noisy_pair(2, *SHAPE)
    mask = np.ones((2, *SHAPE[:2]), bool)
    mask[1, :20] = False
    scores = metrics.evaluate(x, y, mask=mask)
    for i in (0, 1):
        alone = metrics.evaluate(x[i], y[i], mask=mask[i])
        for key in scores:
            np.testing.assert_allclose(scores[key][i], alone[key], rtol=1e-5, err_msg=key)
    shared = metrics.evaluate(x, y, mask=mask[1])
    np.testing.assert_allclose(shared["RMSE"][1], scores["RMSE"][1], rtol=1e-6)
    for protocol in metrics.protocol_names():
        hidden = metrics.evaluate(x[0], y[0], protocol=protocol, mask=np.zeros(SHAPE[:2], bool))
        assert np.isnan(list(hidden.values())).all(), hidden
    y[0, 30, 30] = np.nan
    assert np.isnan(metrics.evaluate(x, y, mask=mask)["SAM"][0])
    with pytest.raises(UserError, match="rows and columns"):
        metrics.evaluate(x[0], x[0], mask=np.ones((3, 3)))
