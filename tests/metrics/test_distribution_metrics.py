"""Streaming scores of heads against the functions of all data at once."""

import functools

import checks
import families
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seqtools import heads
from keras_seqtools import metrics
from keras_seqtools._keras_internals import set_mask
from keras_seqtools.losses import NegativeLogLikelihood

MAKE = {
    "nll": metrics.LogScore,
    "crps": metrics.CRPS,
    "coverage_50": functools.partial(metrics.IntervalCoverage, level=0.5),
    "width_90": metrics.IntervalWidth,
}
NO_CLOSED_FORM = (
    "BetaHead",
    "DiscretizedLogisticMixtureHead",
    "GumbelHead",
    "SplineFlowHead",
    "WeibullHead",
)
every = pytest.mark.parametrize("name", MAKE)


def make(shape=(12,), units=1):
    """Targets and predictions of a head for overdispersed counts."""
    log_mean = checks.rng(1).normal(size=(*shape, units))
    dispersion = 0.1 + checks.rng(2).random((*shape, units))
    y = checks.rng(3).poisson(2.0 * np.exp(log_mean)).astype("float32")
    y_pred = np.concatenate([log_mean, dispersion], axis=-1)
    return y, y_pred.astype("float32"), heads.NegativeBinomialHead(units)


def streamed(metric, y, y_pred, *, mask=None, sample_weight=None):
    """The metric after uneven batches."""
    for rows in np.array_split(np.arange(len(y)), 4):
        predictions = keras.ops.convert_to_tensor(np.asarray(y_pred)[rows])
        if mask is not None:
            set_mask(predictions, keras.ops.convert_to_tensor(mask[rows]))
        weight = None if sample_weight is None else sample_weight[rows]
        metric.update_state(np.asarray(y)[rows], predictions, weight)
    return float(metric.result())


@every
@pytest.mark.parametrize(("shape", "units"), [((12,), 1), ((12, 5), 2)])
def test_equals_the_scores_of_all_at_once(name, shape, units):
    y, y_pred, head = make(shape, units)
    weight = checks.rng(4).random(shape)
    scores = metrics.score_distribution(y, y_pred, head, sample_weight=weight)
    found = streamed(MAKE[name](head), y, y_pred, sample_weight=weight)
    np.testing.assert_allclose(found, scores[name], rtol=1e-12)


@families.EVERY_LAW
def test_every_family(case):
    head, y_pred = case.make(), case.emitted()
    y = case.targets((len(y_pred), 1))
    scores = metrics.score_distribution(y, y_pred, head)
    for name, maker in MAKE.items():
        if name == "crps" and case.name in NO_CLOSED_FORM:
            with pytest.raises(ValueError, match=f"`{case.name}` has no CRPS"):
                maker(head)
        else:
            found = streamed(maker(head), y, y_pred)
            np.testing.assert_allclose(found, scores[name], rtol=1e-10)
    histogram = metrics.PITHistogram(head, 5)
    streamed(histogram, y, y_pred)
    y, y_pred = y.astype("float64"), y_pred.astype("float64")
    below = head.cdf(y - 1, y_pred) if head.discrete else None
    np.testing.assert_allclose(
        histogram.histogram(),
        metrics.pit_histogram(head.cdf(y, y_pred), below, num_bins=5),
        atol=1e-12,
    )


def test_histogram_and_its_distance():
    y, y_pred, head = make((40, 3))
    weight = checks.rng(4).random((40, 3))
    metric = metrics.PITHistogram(head, num_bins=400)
    distance = streamed(metric, y, y_pred, sample_weight=weight)
    scores = metrics.score_distribution(y, y_pred, head, sample_weight=weight)
    assert 0 < scores["pit_distance"] - distance + 1e-12 < 1 / 400
    np.testing.assert_allclose(metric.histogram().mean(), 1.0)
    one = metrics.PITHistogram(head, num_bins=1)
    assert streamed(one, y, y_pred) == 0.0
    np.testing.assert_allclose(one.histogram(), [1.0])
    fresh = metrics.PITHistogram(head)
    assert float(fresh.result()) == 0.0
    assert np.isnan(fresh.histogram()).all()


def test_classes_have_a_log_score_only():
    head, y = heads.CategoricalHead(3), np.array([0.0, 2.0, 1.0])
    y_pred = checks.rng().normal(size=(3, 3))
    log_p = y_pred - np.log(np.exp(y_pred).sum(-1, keepdims=True))
    found = streamed(metrics.LogScore(head), y, y_pred)
    np.testing.assert_allclose(found, -log_p[[0, 1, 2], [0, 2, 1]].mean())
    with pytest.raises(ValueError, match="`CategoricalHead` has no CRPS"):
        metrics.CRPS(head)


def test_the_log_score_is_the_loss_even_where_scores_are_joint():
    head = heads.MultivariateNormalHead(2)
    y_pred = np.tile([1.0, 2.0, 3.0, 0.0, 4.0, 3.0], (5, 1)).astype("float32")
    y = checks.rng().normal(size=(5, 2)).astype("float32")
    loss = float(NegativeLogLikelihood(head)(y, y_pred))
    found = streamed(metrics.LogScore(head), y, y_pred)
    np.testing.assert_allclose(found, loss, rtol=1e-6)


all_metrics = pytest.mark.parametrize(
    "maker",
    [*MAKE.values(), metrics.PITHistogram],
    ids=[*MAKE, "histogram"],
)


# The others share all that this asks of them.
@pytest.mark.parametrize("maker", [metrics.LogScore, metrics.PITHistogram])
def test_contract(maker, tmp_path):
    y, y_pred, head = make((8, 3))
    checks.check_metric(
        lambda **kwargs: maker(head, **kwargs),
        y,
        y_pred,
        tmp_path,
        NegativeLogLikelihood(head),
    )


@all_metrics
def test_masks_and_weights_drop_what_holds_garbage(maker):
    y, y_pred, head = make((6, 6))
    for mask in (checks.rng(5).random((6, 6)) < 0.5, np.arange(6) % 2 == 0):
        expected = streamed(
            maker(head), y[mask].reshape(-1, 1), y_pred[mask].reshape(-1, 2)
        )
        dirty, garbage = y.copy(), y_pred.copy()
        dirty[~mask], garbage[~mask] = -0.5, np.nan
        weight = np.where(mask, 2.0, 0.0)
        for kwargs in ({"mask": mask}, {"sample_weight": weight}):
            found = streamed(maker(head), dirty, garbage, **kwargs)
            np.testing.assert_allclose(found, expected, rtol=1e-12)


@all_metrics
def test_a_weight_of_2_is_a_row_twice(maker):
    y, y_pred, head = make((6, 4))
    rows = np.array([1, 0, 2, 1, 1, 3])
    found = streamed(maker(head), y, y_pred, sample_weight=rows)
    twice = np.repeat(y, rows, 0), np.repeat(y_pred, rows, 0)
    np.testing.assert_allclose(found, streamed(maker(head), *twice), rtol=1e-12)


@all_metrics
def test_what_must_not_be_averaged_away(maker):
    y, y_pred, head = make((6, 4))
    mask = np.ones((6, 4), bool)
    mask[2, 1] = False
    for bad in (np.nan, -1.0, 0.5):
        dirty = y.copy()
        dirty[2, 1] = bad
        metric = maker(head)
        assert np.isnan(streamed(metric, dirty, y_pred))
        metric.reset_state()
        assert np.isfinite(streamed(metric, dirty, y_pred, mask=mask))
    weight = np.where(mask, 1.0, -1.0)
    assert np.isnan(streamed(maker(head), y, y_pred, sample_weight=weight))
    y_pred[2, 1] = np.nan
    assert np.isnan(streamed(maker(head), y, y_pred))
    assert np.isfinite(streamed(maker(head), y, y_pred, mask=mask))


@all_metrics
def test_states_merge(maker):
    y, y_pred, head = make()
    whole, one, other = maker(head), maker(head), maker(head)
    whole.update_state(y, y_pred)
    one.update_state(y[:5], y_pred[:5])
    other.update_state(y[5:], y_pred[5:])
    one.merge_state([other])
    np.testing.assert_allclose(one.result(), whole.result(), rtol=1e-12)
    with pytest.raises(ValueError, match="configuration"):
        one.merge_state([maker(heads.PoissonHead())])


@all_metrics
def test_without_data(maker):
    y, y_pred, head = make()
    metric = maker(head)
    assert float(metric.result()) == 0.0
    metric.update_state(y[:0], y_pred[:0])
    metric.update_state(y, y_pred, np.zeros(len(y)))
    assert float(metric.result()) == 0.0


@all_metrics
@pytest.mark.parametrize("jit_compile", [False, True])
def test_updates_compile_with_unknown_sizes(maker, jit_compile):
    y, y_pred, head = make((6, 4))
    metric = maker(head)
    update = tf.function(
        metric.update_state,
        input_signature=[
            tf.TensorSpec((None, None, 1), "float32"),
            tf.TensorSpec((None, None, 2), "float32"),
            tf.TensorSpec((None,), "float64"),
        ],
        jit_compile=jit_compile,
    )
    weight = np.arange(6.0)
    for rows in (slice(0, 2), slice(2, None)):
        update(y[rows], y_pred[rows], weight[rows])
    expected = streamed(maker(head), y, y_pred, sample_weight=weight)
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-10)


@families.by_name([c for c in families.CASES if c.name not in NO_CLOSED_FORM])
def test_every_closed_form_compiles(case):
    head = case.make()
    y, y_pred = case.targets((len(case.emitted()), 1)), case.emitted()
    metric = metrics.CRPS(head)
    update = tf.function(metric.update_state, jit_compile=True)
    update(tf.constant(y), tf.constant(y_pred))
    expected = metrics.crps(y, y_pred, head).mean()
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-9)


def test_names_tell_the_level():
    head = heads.NormalHead()
    assert metrics.IntervalCoverage(head, 0.95).name == "coverage_95"
    assert metrics.IntervalWidth(head, 0.5).name == "width_50"
    assert metrics.IntervalWidth(head, 0.5, name="w").name == "w"


def test_refusals():
    with pytest.raises(TypeError, match="`head`"):
        metrics.LogScore("normal")
    for level in (0.0, 90, np.nan):
        with pytest.raises(ValueError, match="`level`"):
            metrics.IntervalCoverage(heads.NormalHead(), level)
    with pytest.raises(ValueError, match="`num_bins`"):
        metrics.PITHistogram(heads.NormalHead(), 0)
    y, y_pred, _ = make()
    with pytest.raises(ValueError, match="targets of shape"):
        metrics.CRPS(heads.NormalHead()).update_state(y_pred, y_pred)
    with pytest.raises(ValueError, match="emits 3 numbers"):
        metrics.CRPS(heads.StudentTHead()).update_state(y, y_pred)
    emitted = heads.NormalHead()(np.ones((4, 1), "float32"))
    with pytest.raises(ValueError, match=r"NormalHead.*LaplaceHead"):
        metrics.LogScore(heads.LaplaceHead()).update_state(y[:4], emitted)
