"""evaluate_uncertainty against SciPy on the samples it scores."""

import checks
import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special
from scipy import stats
from sklearn import metrics

import keras_seqtools as kst

L = keras.layers
X = checks.rng().normal(size=(300, 4)).astype("float32")
OPTIONS = {"num_samples": 12, "seed": 1, "verbose": 0}


def model_ending_in(*layers):
    return keras.Sequential([keras.Input((4,)), L.Dropout(0.3), *layers])


def test_mixture_of_normals():
    model = model_ending_in(kst.heads.NormalHead(units=2))
    y = checks.rng(1).normal(size=(300, 2))
    scores = kst.evaluate_uncertainty(model, X, y, **OPTIONS)
    u = kst.predict_uncertainty(
        model, X, return_samples=True, levels=(0.5, 0.9), **OPTIONS
    )
    loc, scale = np.split(u.samples.astype("float64"), 2, axis=-1)
    log_density = stats.norm(loc, scale).logpdf(y).sum(-1)
    nll = np.log(12) - special.logsumexp(log_density, axis=0)
    assert abs(scores["nll"] - nll.mean()) < 1e-5
    rmse = metrics.root_mean_squared_error(y.ravel(), u.mean.ravel())
    assert abs(scores["rmse"] - rmse) < 1e-5
    for level in (0.5, 0.9):
        lower, upper = u.interval(level)
        inside = ((lower <= y) & (y <= upper)).mean()
        assert scores[f"coverage_{100 * level:.0f}"] == inside

    # CRPS of a mixture of normals, in closed form (Grimit et al., 2006).
    def mean_abs(mean, sd):
        z = mean / sd
        return mean * (2 * stats.norm.cdf(z) - 1) + 2 * sd * stats.norm.pdf(z)

    crps = mean_abs(y - loc, scale).mean(0) - 0.5 * mean_abs(
        loc[:, None] - loc, np.hypot(scale[:, None], scale)
    ).mean((0, 1))
    # 1,000 draws each for 600 numbers.
    assert abs(scores["crps"] / crps.mean() - 1) < 0.01


def test_counts_are_inside_at_the_ends_of_an_interval():
    model = model_ending_in(kst.heads.PoissonHead())
    y = checks.rng(1).poisson(1.0, 300)
    scores = kst.evaluate_uncertainty(model, X, y, **OPTIONS)
    u = kst.predict_uncertainty(model, X, levels=(0.5, 0.9), **OPTIONS)
    for level in (0.5, 0.9):
        lower, upper = (end[:, 0] for end in u.interval(level))
        inside = ((lower <= y) & (y <= upper)).mean()
        assert scores[f"coverage_{100 * level:.0f}"] == inside


def test_classifier():
    model = model_ending_in(L.Dense(3, "softmax"))
    y = checks.rng(1).integers(0, 3, 300)
    scores = kst.evaluate_uncertainty(model, X, y, **OPTIONS)
    p = kst.predict_uncertainty(model, X, **OPTIONS).probabilities
    assert abs(scores["nll"] - metrics.log_loss(y, p)) < 1e-5
    assert scores["accuracy"] == metrics.accuracy_score(y, p.argmax(-1))
    brier = np.square(p - np.eye(3)[y]).sum(-1).mean()
    assert abs(scores["brier"] - brier) < 1e-5
    one_hot = kst.evaluate_uncertainty(model, X, np.eye(3)[y], **OPTIONS)
    assert one_hot == scores
    column = kst.evaluate_uncertainty(model, X, y[:, None], **OPTIONS)
    assert column == scores


@pytest.mark.parametrize("axis", [False, True])
def test_one_sigmoid(axis):
    model = model_ending_in(L.Dense(1, "sigmoid"))
    y = checks.rng(1).integers(0, 2, 300)
    scores = kst.evaluate_uncertainty(
        model, X, y[:, None] if axis else y, **OPTIONS
    )
    p = kst.predict_uncertainty(model, X, **OPTIONS).probabilities[:, 0]
    assert abs(scores["nll"] - metrics.log_loss(y, p)) < 1e-5
    assert abs(scores["brier"] - metrics.brier_score_loss(y, p)) < 1e-5
    assert scores["accuracy"] == metrics.accuracy_score(y, p > 0.5)


def test_datasets_and_several_inputs():
    a, b = keras.Input((4,)), keras.Input((1,))
    h = L.Dropout(0.3)(a)
    model = keras.Model([a, b], kst.heads.NormalHead(offset=True)([h, b]))
    x, y = (X, X[:, :1]), X[:, 1:2]
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(256)
    arrays = kst.evaluate_uncertainty(model, list(x), y, **OPTIONS)
    assert kst.evaluate_uncertainty(model, dataset, **OPTIONS) == arrays


def test_masked_steps_do_not_count():
    model = keras.Sequential(
        [
            keras.Input((5, 4)),
            L.Masking(),
            L.GRU(3, return_sequences=True, dropout=0.2),
            kst.heads.NormalHead(),
        ]
    )
    x = checks.rng().normal(size=(20, 5, 4)).astype("float32")
    x[:, 3:] = 0.0
    y = checks.rng(1).normal(size=(20, 5, 1))
    spoiled = y.copy()
    spoiled[:, 3:] = np.nan
    scores = kst.evaluate_uncertainty(model, x, y, **OPTIONS)
    assert kst.evaluate_uncertainty(model, x, spoiled, **OPTIONS) == scores
    assert np.isfinite(list(scores.values())).all()


def test_nan_in_x_is_nan_in_every_score():
    model = model_ending_in(kst.heads.NormalHead())
    x = X.copy()
    x[3] = np.nan
    scores = kst.evaluate_uncertainty(model, x, X[:, 0], **OPTIONS)
    assert np.isnan(list(scores.values())).all()


def test_impossible_targets_are_refused_before_any_work():
    class Counts(keras.callbacks.Callback):
        def on_predict_begin(self, logs=None):
            raise AssertionError("work began")

    with pytest.raises(ValueError, match=r"y\[3\] = -1"):
        kst.evaluate_uncertainty(
            model_ending_in(kst.heads.PoissonHead()),
            X[:5],
            np.array([0.0, 1, 2, -1, 0]),
            callbacks=[Counts()],
        )


def test_refusals():
    counts = model_ending_in(kst.heads.PoissonHead())
    batches = tf.data.Dataset.from_tensor_slices((X[:2], [[0.0], [-1.0]]))
    with pytest.raises(ValueError, match=r"y\[1, 0\] = -1"):
        kst.evaluate_uncertainty(counts, batches.batch(2), **OPTIONS)
    with pytest.raises(ValueError, match="no targets"):
        kst.evaluate_uncertainty(counts, X, **OPTIONS)
    weighted = tf.data.Dataset.from_tensor_slices((X, X[:, :1], X[:, 0]))
    with pytest.raises(ValueError, match="sample weights"):
        kst.evaluate_uncertainty(counts, weighted.batch(9), **OPTIONS)
    with pytest.raises(ValueError, match=r"targets of shape"):
        kst.evaluate_uncertainty(counts, X, np.zeros((300, 2)), **OPTIONS)
    with pytest.raises(ValueError, match=r"equal numbers of rows.*\[2, 300\]"):
        kst.evaluate_uncertainty(counts, X, np.zeros(2), **OPTIONS)
    with pytest.raises(ValueError, match="predicts points"):
        kst.evaluate_uncertainty(
            model_ending_in(L.Dense(1)), X, X[:, 0], **OPTIONS
        )
    classes = model_ending_in(L.Dense(3, "softmax"))
    with pytest.raises(ValueError, match="classes from 0 to 2"):
        kst.evaluate_uncertainty(classes, X, np.full(300, 3), **OPTIONS)
    with pytest.raises(ValueError, match="classes from 0 to 2"):
        kst.evaluate_uncertainty(classes, X, np.full(300, 0.5), **OPTIONS)
    with pytest.raises(ValueError, match="rows of zeros and a one"):
        kst.evaluate_uncertainty(classes, X, np.full((300, 3), 0.3), **OPTIONS)
