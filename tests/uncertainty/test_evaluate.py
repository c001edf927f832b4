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
from keras_seqtools.uncertainty._regression_scores import pit_distance

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


@pytest.mark.parametrize(
    "head",
    [
        kst.heads.NormalHead,
        kst.heads.PoissonHead,
        kst.heads.NegativeBinomialHead,
    ],
)
def test_nan_in_x_is_nan_in_every_score(head):
    model = model_ending_in(head())
    x, y = X.copy(), np.ones(300)
    x[3] = np.nan
    scores = kst.evaluate_uncertainty(model, x, y, **OPTIONS)
    assert np.isnan(list(scores.values())).all()
    x[3] = 1e30  # from where TFP's sampler of counts would not come back
    rows = kst.evaluate_uncertainty(model, x, y, per_row=True, **OPTIONS)
    assert np.isfinite(np.delete(rows["crps"], 3)).all()


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
    weight = np.ones(300)
    with pytest.raises(ValueError, match="given, but no `y`"):
        kst.evaluate_uncertainty(counts, X, None, weight, **OPTIONS)
    y = np.zeros(300)
    for wrong in (-weight, weight + np.nan, weight[:9], np.ones((300, 2))):
        with pytest.raises(ValueError, match="sample_weight"):
            kst.evaluate_uncertainty(counts, X, y, wrong, **OPTIONS)
    with pytest.raises(ValueError, match=r"targets of shape"):
        kst.evaluate_uncertainty(counts, X, np.zeros((300, 2)), **OPTIONS)
    with pytest.raises(ValueError, match="same number of samples"):
        kst.evaluate_uncertainty(counts, X, np.zeros(2), **OPTIONS)
    with pytest.raises(ValueError, match=r"predicts points.*`noise_std`"):
        kst.evaluate_uncertainty(
            model_ending_in(L.Dense(1)), X, X[:, 0], **OPTIONS
        )
    classes = model_ending_in(L.Dense(3, "softmax"))
    with pytest.raises(ValueError, match="as targets of shape"):
        kst.evaluate_uncertainty(classes, X, np.zeros((300, 2)), **OPTIONS)
    with pytest.raises(ValueError, match="classes from 0 to 2"):
        kst.evaluate_uncertainty(classes, X, np.full(300, 3), **OPTIONS)
    with pytest.raises(ValueError, match="classes from 0 to 2"):
        kst.evaluate_uncertainty(classes, X, np.full(300, 0.5), **OPTIONS)
    with pytest.raises(ValueError, match="rows of zeros and a one"):
        kst.evaluate_uncertainty(classes, X, np.full((300, 3), 0.3), **OPTIONS)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_no_data_at_all():
    model = model_ending_in(kst.heads.NormalHead())
    batches = tf.data.Dataset.from_tensor_slices((X, X[:, :1])).batch(2)
    with pytest.raises(ValueError, match="no batch"):
        kst.evaluate_uncertainty(model, batches.take(0), **OPTIONS)


def mixture_nll(loc, scale, y):
    """Of normals on the first axis, item by item, summed over units."""
    log_density = stats.norm(loc, scale).logpdf(y).sum(-1)
    return np.log(len(loc)) - special.logsumexp(log_density, axis=0)


def test_an_ensemble_is_one_mixture():
    models = [model_ending_in(kst.heads.NormalHead()) for _ in range(3)]
    y = checks.rng(1).normal(size=(300, 1))
    rows = kst.evaluate_uncertainty(models, X, y, per_row=True, **OPTIONS)
    u = kst.predict_uncertainty(models, X, return_samples=True, **OPTIONS)
    loc, scale = np.split(u.samples.astype("float64"), 2, axis=-1)
    assert len(loc) == 36
    close = {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(rows["nll"], mixture_nll(loc, scale, y), **close)
    pit = stats.norm(loc, scale).cdf(y).mean(0)[:, 0]
    np.testing.assert_allclose(rows["pit"], pit, **close)
    error = np.square(y - loc.mean(0))[:, 0]
    np.testing.assert_allclose(rows["squared_error"], error, rtol=1e-4)
    draws = checks.rng(2).normal(loc, scale, (4_000, *loc.shape))
    draws = draws.reshape(-1, *y.shape)[:, :5]
    crps = kst.metrics.crps_samples(y[:5], draws)[:, 0]
    # The noise of the 1,000 draws of each item.
    np.testing.assert_allclose(rows["crps"][:5], crps, rtol=0.2)


@pytest.mark.parametrize("noise_std", [0.7, (0.5, 2.0)])
def test_points_with_noise(noise_std):
    model = model_ending_in(L.Dense(2))
    options = {"task": "regression", "noise_std": noise_std, **OPTIONS}
    y = checks.rng(1).normal(size=(300, 2))
    scores = kst.evaluate_uncertainty(model, X, y, **options)
    u = kst.predict_uncertainty(
        model, X, return_samples=True, levels=(0.9,), **options
    )
    loc, scale = u.samples.astype("float64"), np.asarray(noise_std)
    nll = mixture_nll(loc, scale, y)
    np.testing.assert_allclose(scores["nll"], nll.mean(), rtol=1e-5)
    rmse = metrics.root_mean_squared_error(y.ravel(), u.mean.ravel())
    np.testing.assert_allclose(scores["rmse"], rmse, rtol=1e-5)
    lower, upper = u.interval(0.9)
    assert scores["coverage_90"] == ((lower <= y) & (y <= upper)).mean()
    rows = kst.evaluate_uncertainty(model, X, y, per_row=True, **options)
    pit = stats.norm(loc, scale).cdf(y).mean(0)
    np.testing.assert_allclose(rows["pit"], pit, atol=1e-5)
    distance = stats.kstest(pit.ravel(), "uniform").statistic
    np.testing.assert_allclose(scores["pit_distance"], distance, atol=1e-5)


def brute_distance(below, at_most, weight, u):
    """By the definition of Czado, Gneiting & Held (2009), on a grid."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.clip((u[:, None] - below) / (at_most - below), 0.0, 1.0)
    share = np.where(at_most == below, u[:, None] >= at_most, share)
    return np.abs(share @ weight / weight.sum() - u).max()


@pytest.mark.parametrize("seed", range(5))
def test_distance_of_pits_from_uniform_ones(seed):
    rng = checks.rng(seed)
    below = np.sort(rng.beta(2.0, 1.0, 40))
    at_most = np.minimum(below + rng.choice([0.0, 1e-5, 0.3], 40), 1.0)
    weight = rng.integers(1, 4, 40).astype(float)
    places = np.concatenate([below, at_most, np.linspace(0.0, 1.0, 999)])
    places = np.concatenate([places, np.nextafter(places, 0.0)])
    found = pit_distance(below, at_most, weight)
    brute = brute_distance(below, at_most, weight, places)
    np.testing.assert_allclose(found, brute, atol=1e-8)
    # Weights are so many items; a jump is what Kolmogorov and Smirnov knew.
    twice = (np.repeat(x, weight.astype(int)) for x in (below, at_most))
    np.testing.assert_allclose(found, pit_distance(*twice, np.ones(1)))
    steps = np.repeat(at_most, weight.astype(int))
    np.testing.assert_allclose(
        pit_distance(at_most, at_most, weight),
        stats.kstest(steps, "uniform").statistic,
    )


def test_pits_of_counts():
    model = model_ending_in(kst.heads.PoissonHead())
    y = checks.rng(1).poisson(1.5, 300)
    weight = checks.rng(2).integers(0, 3, 300)
    scores = kst.evaluate_uncertainty(model, X, y, weight, **OPTIONS)
    u = kst.predict_uncertainty(model, X, return_samples=True, **OPTIONS)
    law = stats.poisson(np.exp(u.samples[..., 0].astype("float64")))
    below, at_most = law.cdf(y - 1).mean(0), law.cdf(y).mean(0)
    places = np.concatenate([below, at_most])
    brute = brute_distance(below, at_most, weight, places)
    np.testing.assert_allclose(scores["pit_distance"], brute, atol=1e-5)
    rows = kst.evaluate_uncertainty(model, X, y, per_row=True, **OPTIONS)
    pit = (below + at_most) / 2
    np.testing.assert_allclose(rows["pit"], pit, atol=1e-5)


def test_pits_of_the_truth_are_almost_uniform():
    model = keras.Sequential([keras.Input((1,)), kst.heads.PoissonHead()])
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    y, x = checks.rng().poisson(1.0, 4_000), np.zeros((4_000, 1))
    options = {"seed": 1, "verbose": 0}
    good = kst.evaluate_uncertainty(model, x, y, **options)
    bad = kst.evaluate_uncertainty(model, x, y + 1, **options)
    assert good["pit_distance"] < 1.6 / np.sqrt(4_000)
    assert bad["pit_distance"] > 0.2


CASES = {
    "normal": ([kst.heads.NormalHead], lambda rng: rng.normal(size=(20, 1))),
    "units": (
        [lambda: kst.heads.NormalHead(units=3)],
        lambda rng: rng.normal(size=(20, 3)),
    ),
    "counts": ([kst.heads.PoissonHead], lambda rng: rng.poisson(2.0, 20)),
    "classes": (
        [lambda: L.Dense(3, "softmax")] * 2,
        lambda rng: rng.integers(0, 3, 20),
    ),
    "sigmoid": (
        [lambda: L.Dense(1, "sigmoid")] * 2,
        lambda rng: rng.integers(0, 2, (20, 1)),
    ),
    "labels": (
        [lambda: L.Dense(4, "sigmoid")] * 2,
        lambda rng: rng.integers(0, 2, (20, 4)),
    ),
}
EVERY_KIND = pytest.mark.parametrize("kind", CASES)


def case_of(kind):
    """Models without noise, for rows to be alike wherever they stand."""
    layers, targets = CASES[kind]
    models = [keras.Sequential([keras.Input((4,)), make()]) for make in layers]
    return models, X[:20], targets(checks.rng(1))


@EVERY_KIND
def test_weights_are_so_many_rows(kind):
    models, x, y = case_of(kind)
    weight = checks.rng(2).integers(0, 4, 20)
    scores = kst.evaluate_uncertainty(models, x, y, weight, **OPTIONS)
    repeated = kst.evaluate_uncertainty(
        models, np.repeat(x, weight, 0), np.repeat(y, weight, 0), **OPTIONS
    )
    assert list(scores) == list(repeated)
    for name, score in scores.items():
        rtol = 0.05 if name == "crps" else 1e-5
        np.testing.assert_allclose(score, repeated[name], rtol=rtol)
    plain = kst.evaluate_uncertainty(models, x, y, **OPTIONS)
    assert all(plain[name] != score for name, score in scores.items())


@EVERY_KIND
def test_what_weighs_nothing_may_be_anything(kind):
    models, x, y = case_of(kind)
    weight = (np.arange(20) % 3).astype(float)
    scores = kst.evaluate_uncertainty(models, x, y, weight, **OPTIONS)
    for nonsense in (np.nan, 1e30, -1e30, np.inf):
        x, y = x.copy(), y.astype(float)
        x[weight == 0] = np.nan if nonsense == np.inf else nonsense
        y[weight == 0] = nonsense
        again = kst.evaluate_uncertainty(models, x, y, weight, **OPTIONS)
        assert again == scores
    y[weight == 2] = np.nan
    with pytest.raises(ValueError, match="targets"):
        kst.evaluate_uncertainty(models, x, y, weight, **OPTIONS)
    nothing = kst.evaluate_uncertainty(models, x, y, 0 * weight, **OPTIONS)
    assert np.isnan(list(nothing.values())).all()


@EVERY_KIND
def test_scores_are_means_of_rows(kind):
    models, x, y = case_of(kind)
    weight = checks.rng(2).random(20)
    rows = kst.evaluate_uncertainty(
        models, x, y, weight, per_row=True, **OPTIONS
    )
    scores = kst.evaluate_uncertainty(models, x, y, weight, **OPTIONS)
    is_class = kind in ("classes", "sigmoid", "labels")
    several = {"units": (20, 3), "labels": (20, 4)}.get(kind, (20,))
    assert rows["nll"].shape == ((20,) if kind == "units" else several)
    names = {"correct": "accuracy", "squared_error": "rmse"}
    names |= {"covered_50": "coverage_50", "covered_90": "coverage_90"}
    assert set(rows) == (
        {"nll", "correct", "brier"}
        if is_class
        else {"nll", "crps", "pit", *names} - {"correct"}
    )
    for name in set(rows) - {"pit"}:
        shape = rows[name].shape
        assert shape == (rows["nll"].shape if name == "nll" else several)
        flat = rows[name].reshape(20, -1).mean(-1)
        mean = np.average(flat, weights=weight.astype("float32"))
        mean = np.sqrt(mean) if name == "squared_error" else mean
        score = scores[names.get(name, name)]
        np.testing.assert_allclose(score, mean, rtol=1e-6)
