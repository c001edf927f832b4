"""What is drawn is what others compute, and nothing but axes comes back."""

import checks
import keras
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_curve

import keras_seqtools as kst


@pytest.fixture(autouse=True)
def without_a_screen():
    mpl.use("agg")
    yield
    plt.close("all")


def labels_and_scores(size=200):
    rng = checks.rng()
    score = rng.random(size)
    return (rng.random(size) < score).astype(int), score


def test_reliability_draws_the_curve_its_intervals_and_counts():
    y, p = labels_and_scores()
    ax = kst.plots.reliability(y, p, num_bins=5)
    frequency, mean = calibration_curve(y, p, n_bins=5)
    points = ax.containers[0].lines[0]
    np.testing.assert_allclose(points.get_xdata(), mean)
    np.testing.assert_allclose(points.get_ydata(), frequency)
    (bars,) = ax.containers[0].lines[2]
    counts, edges = np.histogram(p, 5, (0, 1))
    for bar, hits, count in zip(
        bars.get_segments(), frequency * counts, counts, strict=True
    ):
        ends = stats.binomtest(round(hits), int(count)).proportion_ci(
            0.95, "wilson"
        )
        np.testing.assert_allclose(bar[:, 1], ends)
    (stairs,) = (p for p in ax.patches if hasattr(p, "get_data"))
    np.testing.assert_allclose(
        stairs.get_data().values, 0.2 * counts / counts.max()
    )
    np.testing.assert_allclose(stairs.get_data().edges, edges)


def test_reliability_takes_a_result_and_its_mask():
    layers = [
        keras.layers.Masking(),
        keras.layers.LSTM(4, return_sequences=True),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(3, "softmax"),
    ]
    model = keras.Sequential([keras.Input((6, 2)), *layers])
    x = checks.rng().normal(size=(20, 6, 2)).astype("float32")
    x[:, 4:] = 0.0
    u = kst.predict_uncertainty(model, x, num_samples=5, seed=1, verbose=0)
    y = checks.rng(1).integers(0, 3, (20, 6))
    ax = kst.plots.reliability(y, u)
    alone = kst.plots.reliability(y[:, :4], u.probabilities[:, :4])
    for one, other in zip(ax.lines, alone.lines, strict=True):
        np.testing.assert_allclose(one.get_xydata(), other.get_xydata())


def test_pit_draws_a_histogram_and_a_band_that_calibrated_bars_are_in():
    rng, inside = checks.rng(), []
    for _ in range(200):
        ax = kst.plots.pit(rng.random(400), num_bins=10, level=0.9)
        band, stairs = ax.patches[1], ax.patches[0]
        low, height = band.get_y(), band.get_height()
        values = stairs.get_data().values
        inside.append((values >= low) & (values <= low + height))
        plt.close("all")
    # Bars of one histogram are nearly independent, the band nearly exact.
    assert abs(np.mean(inside) - 0.9) < 0.03


def test_quantile_calibration_draws_the_empirical_cdf():
    pit = checks.rng().random(50)
    ax = kst.plots.quantile_calibration(pit)
    levels, observed = ax.lines[0].get_data()
    expected = stats.ecdf(pit).cdf.evaluate(levels)
    np.testing.assert_allclose(observed, expected)


def test_roc_draws_the_curve_of_scikit_learn():
    y, score = labels_and_scores()
    score = score.round(1)
    ax = kst.plots.roc(y, score)
    fpr, tpr, _ = roc_curve(y, score, drop_intermediate=False)
    np.testing.assert_allclose(ax.lines[0].get_data(), [fpr, tpr])


def test_risk_coverage_draws_running_means():
    wrong, score = labels_and_scores(20)
    ax = kst.plots.risk_coverage(wrong, score, label="entropy")
    coverage, risk = ax.lines[0].get_data()
    running = np.cumsum(wrong[np.argsort(score)]) / np.arange(1, 21)
    np.testing.assert_allclose(coverage, np.arange(1, 21) / 20)
    np.testing.assert_allclose(risk, running)
    assert ax.get_ylim()[0] == 0.0


def test_risk_coverage_shows_losses_below_0():
    loss, score = [-2.0, -1.0, 4.0], [0.1, 0.2, 0.3]
    ax = kst.plots.risk_coverage(loss, score)
    ax = kst.plots.risk_coverage([0.0, 0.0, 1.0], score, ax=ax)
    low, high = ax.get_ylim()
    assert low < -2.0
    assert high > 1 / 3


def test_score_histogram_draws_shares_of_each_kind():
    novel, score = labels_and_scores()
    ax = kst.plots.score_histogram(novel, score, num_bins=10)
    for bars, kind in zip(ax.containers, (0, 1), strict=True):
        heights = [bar.get_height() for bar in bars]
        counts, _ = np.histogram(
            score[novel == kind], 10, (score.min(), score.max())
        )
        np.testing.assert_allclose(heights, counts / counts.sum())


def regression(**kwargs):
    layers = [keras.layers.Dropout(0.5), kst.heads.NormalHead()]
    model = keras.Sequential([keras.Input((2,)), *layers])
    x = checks.rng().normal(size=(12, 2)).astype("float32")
    return kst.predict_uncertainty(model, x, seed=1, verbose=0, **kwargs)


def test_fan_draws_each_interval_the_mean_and_what_came():
    u = regression(levels=(0.5, 0.9))
    y, x = np.arange(12.0), np.arange(12) * 5.0
    ax = kst.plots.fan(u, y, x=x)
    for band, level in zip(ax.collections, (0.9, 0.5), strict=True):
        lower, upper = u.interval(level)
        drawn = band.get_paths()[0].vertices
        assert {tuple(point) for point in drawn} >= {
            *zip(x, lower[:, 0], strict=True),
            *zip(x, upper[:, 0], strict=True),
        }
    mean, came = ax.lines
    np.testing.assert_array_equal(mean.get_xydata(), np.c_[x, u.mean[:, 0]])
    np.testing.assert_array_equal(came.get_xydata(), np.c_[x, y])


def test_fan_draws_a_forecast():
    model = keras.Sequential([keras.Input((None, 1)), kst.heads.NormalHead()])
    f = kst.forecasting.forecast(model, np.zeros((2, 3, 1)), 6, num_samples=40)
    ax = kst.plots.fan(f[1], np.zeros(6))
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["90%", "50%", "mean", "came"]
    widest = ax.collections[0].get_paths()[0].vertices[:, 1]
    lower, upper = f.interval(0.9)
    assert widest.min() == pytest.approx(lower[1].min())
    assert widest.max() == pytest.approx(upper[1].max())
    with pytest.raises(ValueError, match="one number an item"):
        kst.plots.fan(f)


def test_fan_draws_no_interval_but_those_asked_for():
    u = regression(levels=(0.5,), quantiles=(0.1, 0.99))
    ax = kst.plots.fan(u)
    assert [band.get_label() for band in ax.collections] == ["50%"]


def test_bands_follow_the_number_of_values_that_count():
    pit = checks.rng().random((50, 4))
    half = np.arange(50) < 25
    heights = [
        kst.plots.pit(pit, mask=mask, sample_weight=weight)
        .patches[1]
        .get_height()
        for mask, weight in (
            (None, None),
            (half, None),
            (None, half.astype(float)),
        )
    ]
    np.testing.assert_allclose(heights[1:], heights[0] * np.sqrt(2))


def test_reliability_takes_every_sigmoid_for_an_item():
    layers = [keras.layers.Dropout(0.5), keras.layers.Dense(3, "sigmoid")]
    model = keras.Sequential([keras.Input((2,)), *layers])
    x = checks.rng().normal(size=(40, 2))
    u = kst.predict_uncertainty(model, x, num_samples=5, seed=1, verbose=0)
    y = np.eye(3, dtype=int)[checks.rng(1).integers(0, 3, 40)]
    ax = kst.plots.reliability(y, u)
    alone = kst.plots.reliability(y.ravel(), u.probabilities.ravel())
    for one, other in zip(ax.lines, alone.lines, strict=True):
        np.testing.assert_allclose(one.get_xydata(), other.get_xydata())


def test_class_draws_draws_every_pass():
    layers = [keras.layers.Dropout(0.5), keras.layers.Dense(3, "softmax")]
    model = keras.Sequential([keras.Input((2,)), *layers])
    u = kst.predict_uncertainty(
        model, np.ones((2, 2)), num_samples=7, return_samples=True, verbose=0
    )
    ax = kst.plots.class_draws(u, 1, names="abc")
    drawn = [line.get_ydata() for line in ax.lines]
    np.testing.assert_array_equal(np.transpose(drawn), u.samples[:, 1])
    assert [label.get_text() for label in ax.get_xticklabels()] == [*"abc"]


def test_rootogram_hangs_what_came_from_what_was_expected():
    head, rng = kst.heads.PoissonHead(), checks.rng()
    rate = rng.uniform(0.5, 3.0, (300, 1))
    y = rng.poisson(rate)
    ax = kst.plots.rootogram(y, np.log(rate).astype("float32"), head)
    counts, top = ax.lines[0].get_data()
    expected = stats.poisson.pmf(counts, rate).sum(axis=0)
    np.testing.assert_allclose(top, np.sqrt(expected), rtol=1e-5)
    heights = [bar.get_height() for bar in ax.containers[0]]
    came = np.bincount(y.ravel(), minlength=len(counts))
    np.testing.assert_allclose(heights, np.sqrt(came))
    ends = [bar.get_y() + bar.get_height() for bar in ax.containers[0]]
    np.testing.assert_allclose(ends, top)


def test_rootogram_leaves_out_what_is_masked():
    head, rng = kst.heads.PoissonHead(), checks.rng()
    y_pred = rng.normal(size=(20, 6, 1)).astype("float32")
    y = rng.poisson(np.exp(y_pred)).astype("float32")
    mask = rng.random((20, 6)) < 0.5
    alone = kst.plots.rootogram(y[mask], y_pred[mask], head)
    y[~mask], y_pred[~mask] = -1.0, np.nan
    ax = kst.plots.rootogram(y, y_pred, head, mask=mask)
    for one, other in zip(ax.lines, alone.lines, strict=True):
        np.testing.assert_allclose(one.get_xydata(), other.get_xydata())
    for one, other in zip(ax.containers[0], alone.containers[0], strict=True):
        assert one.get_height() == pytest.approx(other.get_height())


def test_rootogram_is_of_counts_not_of_classes():
    head = kst.heads.CategoricalHead(3)
    with pytest.raises(ValueError, match="a head of counts"):
        kst.plots.rootogram([[1]], np.zeros((1, 3), "float32"), head)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: kst.plots.fan(regression()), "levels="),
        (
            lambda: kst.plots.fan(regression(levels=(0.5,)), np.zeros(3)),
            "`y_true`",
        ),
        (
            lambda: kst.plots.fan(regression(levels=(0.5,)), x=np.zeros(3)),
            "`x`",
        ),
        (lambda: kst.plots.roc([0, 0], [1.0, 2.0]), "both kinds"),
        (
            lambda: kst.plots.score_histogram([True], [0.1]),
            "some that are not",
        ),
        (
            lambda: kst.plots.score_histogram([True, False], [0.1, np.inf]),
            "finite",
        ),
        (
            lambda: kst.plots.score_histogram([2, 0], [0.1, 0.2]),
            "zeros and ones",
        ),
        (
            lambda: kst.plots.reliability([0, 1], np.eye(2), mode="classwise"),
            "a mode of one curve",
        ),
        (lambda: kst.plots.risk_coverage([], []), "at least one item"),
        (
            lambda: kst.plots.rootogram(
                [[1]], [[0.0]], kst.heads.PoissonHead(), mask=[False]
            ),
            "at least one item",
        ),
        (lambda: kst.plots.fan(np.zeros(3)), "a `RegressionUncertainty`"),
        (
            lambda: kst.plots.class_draws(regression(), 0),
            "a `ClassificationUncertainty`",
        ),
        (
            lambda: kst.plots.rootogram(
                [[1]], [[0.0, 1.0]], kst.heads.NormalHead()
            ),
            "a head of counts",
        ),
    ],
)
def test_refuses_what_cannot_be_drawn(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
    assert plt.get_fignums() == []
