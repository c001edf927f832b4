"""Vector, matrix, Platt and beta maps against what others compute."""

import numpy as np
import pytest
from recalibrators import draw
from recalibrators import nll
from recalibrators import probabilities
from scipy.optimize import minimize
from scipy.special import log_expit
from scipy.special import log_softmax
from sklearn.calibration import _SigmoidCalibration
from sklearn.linear_model import LogisticRegression

from keras_seqtools.calibration import BetaCalibration
from keras_seqtools.calibration import MatrixScaling
from keras_seqtools.calibration import PlattScaling
from keras_seqtools.calibration import VectorScaling
from keras_seqtools.calibration import _likelihood

weights = pytest.mark.parametrize("weighted", [False, True])


def draw_weights(weighted, size):
    rng = np.random.default_rng(8)
    return 0.5 + rng.random(size) if weighted else np.ones(size)


def cross_entropy(y, logits, weight):
    scores = log_softmax(logits, axis=-1)[np.arange(len(y)), y]
    return -np.average(scores, weights=weight)


@pytest.mark.parametrize("l2", [0.0, 0.3])
@weights
def test_vector_finds_the_minimum(l2, weighted):
    y, logits = draw(4, (150,))
    weight = draw_weights(weighted, len(y))
    scaling = VectorScaling(l2).fit(
        y, logits, from_logits=True, sample_weight=weight
    )

    def objective(theta):
        scale, shift = theta.reshape(2, 4)
        penalty = ((scale - 1.0) ** 2).mean() + (shift**2).mean()
        return cross_entropy(y, logits * scale + shift, weight) + l2 * penalty

    found = minimize(objective, np.repeat([1.0, 0.0], 4), tol=1e-9)
    theta = np.concatenate([scaling.scale_, scaling.shift_])
    # The search, by finite differences, is the less exact of the two.
    assert objective(theta) <= found.fun + 1e-8
    np.testing.assert_allclose(
        scaling.transform(logits),
        np.exp(log_softmax(logits * found.x[:4] + found.x[4:], axis=-1)),
        atol=1e-4,
    )
    np.testing.assert_allclose(scaling.shift_.sum(), 0.0, atol=1e-6)


@weights
def test_matrix_without_penalty_is_logistic_regression(weighted):
    y, logits = draw(4, (400,))
    weight = draw_weights(weighted, len(y))
    scaling = MatrixScaling(odir=0.0).fit(
        y, logits, from_logits=True, sample_weight=weight
    )
    peer = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000)
    peer.fit(logits.astype("float64"), y, sample_weight=weight)
    np.testing.assert_allclose(
        scaling.transform(logits), peer.predict_proba(logits), atol=1e-5
    )


def test_matrix_finds_the_minimum_of_dirichlet_calibration_with_odir():
    y, logits = draw(3, (120,))
    p = probabilities(logits.astype("float64"))
    odir = 0.2
    scaling = MatrixScaling(odir).fit(y, p)

    def objective(theta):
        kernel, bias = theta[:9].reshape(3, 3), theta[9:]
        off = kernel[~np.eye(3, dtype=bool)]
        penalty = (off**2).mean() + (bias**2).mean()
        scores = np.log(p) @ kernel + bias
        return cross_entropy(y, scores, np.ones(len(y))) + odir * penalty

    start = np.append(np.eye(3).ravel(), np.zeros(3))
    found = minimize(objective, start, tol=1e-9)
    theta = np.append(scaling.kernel_.ravel(), scaling.bias_)
    assert objective(theta) <= found.fun + 1e-8
    np.testing.assert_allclose(theta, found.x, atol=1e-3)


def test_a_penalty_without_end_is_the_identity():
    y, logits = draw(3)
    p = probabilities(logits)
    np.testing.assert_allclose(
        VectorScaling(1e9).fit(y, p).transform(p), p, atol=1e-6
    )
    kernel = MatrixScaling(1e9).fit(y, p).kernel_
    np.testing.assert_allclose(kernel, np.diag(np.diag(kernel)), atol=1e-6)


@pytest.mark.parametrize("make", [VectorScaling, MatrixScaling])
def test_a_class_that_never_came_is_made_unlikely(make):
    y, logits = draw(4, (200,))
    keep = y != 2
    y, p = y[keep], probabilities(logits[keep])
    calibrated = make().fit(y, p).transform(p)
    assert calibrated[:, 2].mean() < 0.2 * p[:, 2].mean()


def test_cox_recalibration_is_published(published):
    inputs, value, rtol = published("logistic_recal_unsmoothed")
    scaling = PlattScaling(smoothing=False)
    scaling.fit(inputs["y"], inputs["logits"], from_logits=True)
    found = [scaling.slope_, scaling.intercept_]
    np.testing.assert_allclose(found, value, rtol=rtol)
    scaling.fit(inputs["y"], inputs["p"])
    found = [scaling.slope_, scaling.intercept_]
    np.testing.assert_allclose(found, value, rtol=rtol)


@weights
def test_platt_smooths_as_scikit_learn_does(weighted):
    y, logits = draw(1, (300,))
    z = logits[:, 0].astype("float64")
    weight = draw_weights(weighted, len(y))
    scaling = PlattScaling()
    scaling.fit(y, z, from_logits=True, sample_weight=weight)
    peer = _SigmoidCalibration().fit(z, y, sample_weight=weight)
    np.testing.assert_allclose(
        scaling.transform(z), peer.predict(z), rtol=0.0, atol=1e-5
    )


def test_platt_stays_finite_where_classes_are_separate():
    z = np.array([-2.0, -1.0, 1.0, 2.0])
    p = PlattScaling().fit(z > 0, z, from_logits=True).transform(z)
    assert 0.1 < p.min() < 0.3
    assert 0.7 < p.max() < 0.9


def test_beta_is_published(published):
    inputs, value, rtol = published("beta_abm")
    scaling = BetaCalibration().fit(inputs["y"], inputs["p"])
    found = scaling.transform(np.linspace(0.05, 0.95, 10))
    np.testing.assert_allclose(found, value, rtol=rtol)
    logits = np.log(inputs["p"] / (1.0 - inputs["p"]))
    again = BetaCalibration().fit(inputs["y"], logits, from_logits=True)
    np.testing.assert_allclose(
        again.transform(logits), scaling.transform(inputs["p"]), rtol=1e-6
    )


@pytest.mark.parametrize("seed", range(6))
def test_beta_never_falls_and_is_the_best_that_does_not(seed):
    """Of data on which the free curve falls, at either end or both."""
    rng = np.random.default_rng(seed)
    p = rng.random(80)
    shape = (p, 1.0 - p, 4.0 * (p - 0.5) ** 2, 1.0 - 4.0 * (p - 0.5) ** 2)
    y = (rng.random(80) < shape[seed % 4]).astype(int)
    scaling = BetaCalibration().fit(y, p)
    assert scaling.a_ >= 0.0
    assert scaling.b_ >= 0.0
    grid = np.linspace(0.01, 0.99, 99)
    assert (np.diff(scaling.transform(grid)) >= -1e-12).all()

    def objective(theta):
        z = theta[0] * np.log(p) - theta[1] * np.log1p(-p) + theta[2]
        return -np.where(y == 1, log_expit(z), log_expit(-z)).mean()

    found = minimize(
        objective,
        [1.0, 1.0, 0.0],
        method="L-BFGS-B",
        bounds=[(0, None), (0, None), (None, None)],
        tol=1e-12,
    )
    theta = scaling.a_, scaling.b_, scaling.c_
    np.testing.assert_allclose(objective(theta), found.fun, atol=1e-6)


@pytest.mark.parametrize("make", [PlattScaling, BetaCalibration])
def test_keep_the_digits_of_tiny_probabilities(make):
    y, logits = draw(1, (200,))
    scaling = make().fit(y, logits, from_logits=True)
    far = np.array([[-60.0], [-61.0], [-62.0]])
    p = scaling.transform(far)[:, 0]
    assert (p > 0.0).all()
    ratios = p[:-1] / p[1:]
    np.testing.assert_allclose(ratios[0], ratios[1], rtol=1e-6)
    assert ratios[0] > 1.1


@pytest.mark.parametrize(
    "make", [VectorScaling, MatrixScaling, PlattScaling, BetaCalibration]
)
def test_says_that_it_has_not_converged(make, monkeypatch):
    monkeypatch.setattr(_likelihood, "_MAX_STEPS", 1)
    y, logits = draw(1 if make in (PlattScaling, BetaCalibration) else 3)
    with pytest.raises(RuntimeError, match="not converged after 1 steps"):
        make().fit(y, logits, from_logits=True)


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf, "much"])
def test_refuses_a_penalty_that_is_none(value):
    with pytest.raises(ValueError, match="`l2`"):
        VectorScaling(l2=value)
    with pytest.raises(ValueError, match="`odir`"):
        MatrixScaling(odir=value)


def test_probabilities_0_and_1_of_many_classes():
    """Features that depend on each other, for which the Hessian is formed."""
    rng = np.random.default_rng(0)
    p = np.eye(6)[rng.integers(0, 6, 80)]
    y = (p.argmax(1) + (rng.random(80) < 0.4)) % 6
    scaling = MatrixScaling().fit(y, p)
    # Each of the six rows is mapped to nearly what came of it.
    for row in np.eye(6):
        here = (p == row).all(axis=1)
        came = np.bincount(y[here], minlength=6) / here.sum()
        np.testing.assert_allclose(
            scaling.transform(row[None])[0], came, atol=0.01
        )
    assert nll(y, scaling.transform(p)) < 0.8
