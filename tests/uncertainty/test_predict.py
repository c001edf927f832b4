"""predict_uncertainty, asked as users ask it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

import keras_seqtools as kst

L = keras.layers
X = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
QUIET = {"verbose": 0, "num_samples": 8}


def model_ending_in(*layers, rate=0.3):
    return keras.Sequential(
        [keras.Input((4,)), L.Dense(8, "relu"), L.Dropout(rate), *layers]
    )


def test_head_gives_the_law_of_total_variance():
    model = model_ending_in(kst.heads.NormalHead())
    u = kst.predict_uncertainty(model, X, seed=1, return_samples=True, **QUIET)
    loc, scale = u.samples[..., :1], u.samples[..., 1:]
    close = {"rtol": 1e-4, "atol": 1e-6}
    np.testing.assert_allclose(u.mean, loc.mean(0), **close)
    np.testing.assert_allclose(u.epistemic_variance, loc.var(0), **close)
    np.testing.assert_allclose(u.aleatoric_std**2, (scale**2).mean(0), **close)
    np.testing.assert_allclose(
        u.std**2, loc.var(0) + (scale**2).mean(0), **close
    )
    np.testing.assert_allclose(u.mcse, loc.std(0) / np.sqrt(8), **close)


def test_passes_are_the_model_with_dropout():
    """Their law, by the moments that 2,000 calls of Keras itself give."""
    model, x = model_ending_in(L.Dense(1)), X[:1]
    calls = model(np.repeat(x, 2000, axis=0), training=True).numpy()
    u = kst.predict_uncertainty(
        model, x, num_samples=2000, seed=1, verbose=0, task="regression"
    )
    error = np.sqrt(2) * calls.std() / np.sqrt(2000)
    assert abs(u.mean[0, 0] - calls.mean()) < 5 * error
    assert abs(u.epistemic_std[0, 0] / calls.std() - 1) < 0.1


def test_classifier_streams_what_the_samples_say():
    model = model_ending_in(L.Dense(3, "softmax"))
    u = kst.predict_uncertainty(model, X, seed=1, return_samples=True, **QUIET)
    for name in (
        "p_max",
        "total_std",
        "predictive_entropy",
        "expected_entropy",
        "mutual_information",
        "vote_fraction",
        "variation_ratio",
    ):
        of_samples = getattr(kst.uncertainty, name)(u.samples)
        np.testing.assert_allclose(
            getattr(u, name), of_samples, rtol=1e-5, atol=1e-5
        )
    np.testing.assert_array_equal(
        u.predicted_class, u.samples.mean(0).argmax(-1)
    )
    np.testing.assert_array_equal(u.votes.sum(-1), 8)
    assert (u.score("p_max") == -u.p_max).all()


@pytest.mark.parametrize("units", [1, 3])
def test_sigmoids_keep_their_shape(units):
    model = model_ending_in(L.Dense(units, "sigmoid"))
    u = kst.predict_uncertainty(model, X, seed=1, return_samples=True, **QUIET)
    both = np.stack([1 - u.samples, u.samples], -1)
    np.testing.assert_allclose(u.probabilities, u.samples.mean(0), rtol=1e-5)
    for name in ("predictive_entropy", "total_std", "vote_fraction", "p_max"):
        assert getattr(u, name).shape == (40, units)
        np.testing.assert_allclose(
            getattr(u, name),
            getattr(kst.uncertainty, name)(both),
            rtol=1e-4,
            atol=1e-5,
        )
    np.testing.assert_array_equal(u.predicted_class, u.probabilities > 0.5)
    for array in (u.mcse, u.votes, u.deterministic):
        assert array.shape == (40, units)


def test_logits_become_probabilities_pass_by_pass():
    model = model_ending_in(L.Dense(3))
    u = kst.predict_uncertainty(
        model,
        X,
        task="classification",
        from_logits=True,
        return_samples=True,
        **QUIET,
    )
    np.testing.assert_allclose(u.samples.sum(-1), 1.0, rtol=1e-5)


def test_same_seed_same_answer_and_the_seed_is_told():
    model = model_ending_in(kst.heads.NormalHead())
    u = kst.predict_uncertainty(model, X, **QUIET)
    again = kst.predict_uncertainty(model, X, seed=u.seed, **QUIET)
    np.testing.assert_array_equal(u.mean, again.mean)
    assert (kst.predict_uncertainty(model, X, **QUIET).mean != u.mean).any()


def test_rows_and_batches_have_their_own_masks():
    model = model_ending_in(kst.heads.NormalHead())
    x = np.repeat(X[:1], 12, axis=0)
    u = kst.predict_uncertainty(model, x, batch_size=4, seed=1, **QUIET)
    assert len(np.unique(u.mean)) == 12


class Rows(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return X[16 * index : 16 * (index + 1)]


def test_takes_what_predict_takes():
    model = model_ending_in(kst.heads.NormalHead())
    options = {"seed": 1, **QUIET}
    expected = kst.predict_uncertainty(model, X, batch_size=16, **options).mean
    dataset = tf.data.Dataset.from_tensor_slices(X).batch(16)
    with_targets = tf.data.Dataset.from_tensor_slices((X, X)).batch(16)
    for x in (dataset, with_targets, Rows()):
        found = kst.predict_uncertainty(model, x, **options).mean
        np.testing.assert_array_equal(found, expected)
    some = kst.predict_uncertainty(model, dataset, steps=2, **options)
    np.testing.assert_array_equal(some.mean, expected[:32])


def test_callbacks_see_every_batch_and_may_stop():
    class Stop(keras.callbacks.Callback):
        def on_predict_batch_end(self, batch, logs=None):
            self.model.stop_predicting = batch == 1

    u = kst.predict_uncertainty(
        model_ending_in(kst.heads.NormalHead()),
        X,
        batch_size=10,
        callbacks=[Stop()],
        **QUIET,
    )
    assert len(u) == 20


def test_several_inputs():
    a, b = keras.Input((4,)), keras.Input((1,))
    h = L.Dropout(0.3)(a)
    model = keras.Model([a, b], kst.heads.NormalHead(offset=True)([h, b]))
    u = kst.predict_uncertainty(model, [X, X[:, :1]], **QUIET)
    assert u.mean.shape == (40, 1)


def test_mixed_precision_accumulates_in_float32():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = model_ending_in(L.Dense(3, "softmax"))
    finally:
        keras.config.set_dtype_policy("float32")
    u = kst.predict_uncertainty(model, X, return_samples=True, **QUIET)
    assert u.probabilities.dtype == "float32"
    np.testing.assert_allclose(
        u.class_variance, u.samples.var(0), rtol=1e-3, atol=1e-7
    )


def test_mask_of_a_sequence_is_kept():
    tokens = np.array([[1, 2, 3, 0], [4, 0, 0, 0]])
    model = keras.Sequential(
        [
            keras.Input((4,)),
            L.Embedding(5, 3, mask_zero=True),
            L.GRU(4, return_sequences=True, dropout=0.2),
            kst.heads.NormalHead(),
        ]
    )
    u = kst.predict_uncertainty(model, tokens, **QUIET)
    np.testing.assert_array_equal(u.mask, tokens != 0)
    assert u.mean.shape == (2, 4, 1)


@pytest.mark.parametrize("head", [kst.heads.NormalHead, kst.heads.PoissonHead])
def test_nothing_random_with_a_head_is_one_pass(head):
    model = keras.Sequential([keras.Input((4,)), head()])
    u = kst.predict_uncertainty(model, X, levels=(0.9,), verbose=0)
    y_pred = model.predict(X, verbose=0)
    assert u.num_samples == 1
    assert (u.epistemic_variance == 0).all()
    np.testing.assert_allclose(u.mean, model.layers[-1].mean(y_pred))
    np.testing.assert_allclose(
        u.interval(0.9), model.layers[-1].interval(y_pred, 0.9)
    )


def test_nothing_random_without_a_head_names_layers_and_ways_out():
    model = model_ending_in(L.Dense(1, name="last"), rate=0.0)
    ways_out = r"last.*Dropout.*NormalHead.*ensemble"
    with pytest.raises(ValueError, match=ways_out):
        kst.predict_uncertainty(model, X)


@pytest.mark.parametrize("compiled", [None, "custom"])
def test_outputs_that_may_mean_anything_are_refused(compiled):
    model = model_ending_in(L.Dense(12))
    if compiled:
        model.compile(loss=lambda y, p: keras.ops.mean((y - p) ** 2))
    arguments = r"task='regression'.*from_logits=True"
    with pytest.raises(ValueError, match=arguments):
        kst.predict_uncertainty(model, X)


@pytest.mark.parametrize(
    ("loss", "activation", "kind"),
    [
        ("mse", None, "Regression"),
        (keras.losses.Huber(name="mine"), None, "Regression"),
        ("categorical_crossentropy", "softmax", "Classification"),
        (
            keras.losses.SparseCategoricalCrossentropy(name="mine"),
            "softmax",
            "Classification",
        ),
        (keras.losses.binary_crossentropy, "sigmoid", "Classification"),
        (None, "softmax", "Classification"),
        (None, "sigmoid", "Classification"),
    ],
)
def test_what_the_output_means(loss, activation, kind):
    model = model_ending_in(L.Dense(3, activation), L.Reshape((1, 3)))
    if loss is not None:
        model.compile(loss=loss)
    u = kst.predict_uncertainty(model, X[:4], **QUIET)
    assert type(u).__name__ == f"{kind}Uncertainty"


def test_linear_single_output_is_a_number():
    u = kst.predict_uncertainty(model_ending_in(L.Dense(1)), X, **QUIET)
    assert (u.aleatoric_std == 0).all()
    assert (u.epistemic_std > 0).any()


def test_loss_from_logits_must_be_confirmed():
    model = model_ending_in(L.Dense(3))
    model.compile(loss=keras.losses.CategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match="from_logits=True"):
        kst.predict_uncertainty(model, X)
    u = kst.predict_uncertainty(model, X, from_logits=True, **QUIET)
    np.testing.assert_allclose(u.probabilities.sum(-1), 1.0, rtol=1e-5)


def test_probabilities_that_are_none_are_refused():
    model = model_ending_in(L.Dense(3))
    with pytest.raises(ValueError, match=r"not probabilities.*from_logits"):
        kst.predict_uncertainty(model, 9 * X, task="classification", **QUIET)


class TwoHeads(keras.Model):
    def __init__(self):
        super().__init__()
        self.first, self.last = kst.heads.NormalHead(), kst.heads.NormalHead()
        self.drop = L.Dropout(0.3)

    def call(self, x):
        return self.last(self.drop(self.first(x)))


def test_two_heads_without_a_graph_need_a_word():
    model = TwoHeads()
    model(X)
    with pytest.raises(ValueError, match=r"several heads.*`task`"):
        kst.predict_uncertainty(model, X)
    u = kst.predict_uncertainty(model, X, task=model.last, **QUIET)
    assert u.mean.shape == (40, 1)


def test_a_head_inside_a_subclassed_model_inside_another():
    class Inner(keras.Model):
        def __init__(self):
            super().__init__()
            self.head = kst.heads.NormalHead()

        def call(self, x):
            return self.head(x)

    x = keras.Input((4,))
    model = keras.Model(x, Inner()(L.Dropout(0.3)(x)))
    u = kst.predict_uncertainty(model, X, **QUIET)
    assert u.aleatoric_std.shape == (40, 1)


def test_only_the_head_that_makes_the_output_counts():
    x = keras.Input((4,))
    h = kst.heads.NormalHead()(L.Dropout(0.3)(x))
    model = keras.Model(x, L.Dense(2, "softmax")(h))
    u = kst.predict_uncertainty(model, X, **QUIET)
    assert isinstance(u, kst.uncertainty.ClassificationUncertainty)
    sliced = keras.Sequential(
        [
            keras.Input((6, 4)),
            L.Dropout(0.3),
            L.TimeDistributed(kst.heads.NormalHead()),
            kst.layers.CausalSlice(2),
        ]
    )
    u = kst.predict_uncertainty(sliced, np.ones((3, 6, 4)), **QUIET)
    assert u.aleatoric_std.shape == (3, 2, 1)


def test_one_sigmoid_is_a_classification_too():
    model = model_ending_in(L.Dense(1))
    u = kst.predict_uncertainty(
        model, X, task="classification", from_logits=True, seed=1, **QUIET
    )
    assert u.probabilities.shape == (40, 1)
    assert (u.probabilities < 1.0).all()
    with pytest.raises(ValueError, match="does not look like a classifier"):
        kst.predict_uncertainty(model, X, from_logits=True)


def test_nan_comes_out_as_nan():
    x = X.copy()
    x[3] = np.nan
    others = np.arange(40) != 3
    # Nothing but dropout before: some kernels make a 0 of relu(NaN).
    classifier = keras.Sequential(
        [keras.Input((4,)), L.Dropout(0.3), L.Dense(3, "softmax")]
    )
    u = kst.predict_uncertainty(classifier, x, **QUIET)
    for name in ("p_max", "mutual_information", "variation_ratio"):
        assert np.isnan(getattr(u, name)[3])
        assert np.isfinite(getattr(u, name)[others]).all()
    point = keras.Sequential([keras.Input((4,)), L.Dropout(0.3), L.Dense(1)])
    u = kst.predict_uncertainty(
        point, x, thresholds=0.0, quantiles=(0.1, 0.9), **QUIET
    )
    for q in (0.1, 0.9):
        assert np.isnan(u.quantile(q)[3, 0])
        assert np.isfinite(u.quantile(q)[others]).all()
    assert np.isnan(u.prob_below(0)[3, 0])
    assert np.isnan(u.prob_above(0)[3, 0])


@pytest.mark.parametrize("thresholds", [0.0, [0.0], np.array([0.0, 1.0])])
def test_thresholds_in_any_form(thresholds):
    model = model_ending_in(kst.heads.NormalHead())
    u = kst.predict_uncertainty(model, X, thresholds=thresholds, **QUIET)
    assert u.prob_below(0.0).shape == (40, 1)


def test_noise_that_cannot_be_followed_is_refused():
    class Compiled(keras.Model):
        def __init__(self):
            super().__init__()
            self.drop, self.head = L.Dropout(0.3), kst.heads.NormalHead()

        @tf.function
        def body(self, x):
            return self.drop(x)

        def call(self, x):
            return self.head(self.body(x))

    class Inherits(Compiled):
        pass

    class Noisy(keras.Model):
        def __init__(self):
            super().__init__()
            self.seeds = keras.random.SeedGenerator(1)
            self.head = kst.heads.NormalHead()

        def call(self, x, training=False):
            if training:
                x = keras.random.dropout(x, 0.3, seed=self.seeds)
            return self.head(x)

    for model, message in (
        (Compiled(), r"body` is a `tf\.function`"),
        (Inherits(), r"body` is a `tf\.function`"),
        (Noisy(), "draws noise itself"),
    ):
        model(X)
        with pytest.raises(ValueError, match=message):
            kst.predict_uncertainty(model, X)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_samples": 0}, "`num_samples`"),
        ({"batch_size": 0}, "`batch_size`"),
        ({"seed": -1}, "`seed`"),
        ({"seed": 1.5}, "`seed`"),
        ({"quantiles": (0.0,)}, "`quantiles`"),
        ({"levels": (90,)}, "`levels`"),
        ({"thresholds": (np.nan,)}, "`thresholds`"),
        ({"task": "guess"}, "`task`"),
        ({"noise_std": 0.0}, "`noise_std`"),
        ({"noise_std": 1.0}, "without a head"),
        ({"stochastic_layers": ["no such"]}, "`stochastic_layers`"),
        ({"calibrator": object()}, "classifiers"),
    ],
)
def test_bad_arguments(options, message):
    model = model_ending_in(kst.heads.NormalHead())
    with pytest.raises(ValueError, match=message):
        kst.predict_uncertainty(model, X, **options)


def test_bad_models():
    with pytest.raises(TypeError, match=r"keras\.Model"):
        kst.predict_uncertainty(L.Dense(3), X)
    with pytest.raises(ValueError, match="has no weights yet"):
        kst.predict_uncertainty(keras.Sequential([L.Dropout(0.1)]), X)
    with pytest.raises(ValueError, match="A classifier has no levels"):
        kst.predict_uncertainty(
            model_ending_in(L.Dense(3, "softmax")), X, levels=(0.9,)
        )


def test_results_slice_print_and_refuse():
    model = model_ending_in(kst.heads.NormalHead())
    u = kst.predict_uncertainty(
        model,
        X,
        levels=(0.9,),
        thresholds=(0.0,),
        return_samples=True,
        seed=7,
        **QUIET,
    )
    part = u[10:13]
    assert len(part) == 3
    np.testing.assert_array_equal(part.mean, u.mean[10:13])
    np.testing.assert_array_equal(part.samples, u.samples[:, 10:13])
    np.testing.assert_array_equal(
        part.interval(0.9)[0], u.interval(0.9)[0][10:13]
    )
    np.testing.assert_array_equal(u[3].mean, u.mean[[3]])
    assert "shape=(40, 1), num_samples=8, seed=7" in repr(u)
    assert len(repr(u)) < 200
    np.testing.assert_allclose(
        u.prob_below(0) + u.prob_above(0), 1.0, rtol=1e-5
    )
    with pytest.raises(ValueError, match=r"quantiles=\(0.3,\)"):
        u.quantile(0.3)
    with pytest.raises(ValueError, match=r"levels=\(0.5,\)"):
        u.interval(0.5)
    with pytest.raises(ValueError, match=r"thresholds=\(1.0,\)"):
        u.prob_below(1.0)
    with pytest.raises(AttributeError):
        u.mean = 0


def test_deterministic_is_predict_with_everything_off():
    model = model_ending_in(L.Dense(2))
    np.testing.assert_allclose(
        kst.predict_deterministic(model, X, verbose=0),
        model.predict(X, verbose=0),
        rtol=1e-6,
    )
    always = keras.Sequential(
        [
            keras.Input((5, 4)),
            kst.layers.LayerNormGRU(3, recurrent_dropout=0.5, mc_dropout=True),
            kst.layers.MCGaussianDropout(0.5),
        ]
    )
    x = np.ones((3, 5, 4), "float32")
    off = kst.predict_deterministic(always, x, verbose=0)
    np.testing.assert_array_equal(off[0], off[2])
    assert (always.predict(x, verbose=0) != off).any()


@pytest.mark.parametrize("noise_std", [0.5, (0.5, 2.0)])
def test_noise_around_points_is_a_normal_head(noise_std):
    model = model_ending_in(L.Dense(2))
    options = {"levels": (0.9,), "thresholds": (0.2,), "seed": 1, **QUIET}
    u = kst.predict_uncertainty(
        model,
        X,
        task="regression",
        noise_std=noise_std,
        return_samples=True,
        **options,
    )
    assert u.samples.shape == (8, 40, 2)
    np.testing.assert_allclose(
        u.aleatoric_std, np.zeros((40, 2)) + noise_std, rtol=1e-6
    )
    np.testing.assert_allclose(u.epistemic_std, u.samples.std(0), rtol=1e-4)
    scale = np.broadcast_to(noise_std, (2,))
    for end, level in zip(u.interval(0.9), (0.05, 0.95), strict=True):
        cdf = stats.norm.cdf(end, u.samples, scale).mean(0)
        np.testing.assert_allclose(cdf, level, atol=1e-5)
    below = stats.norm.cdf(0.2, u.samples, scale).mean(0)
    np.testing.assert_allclose(u.prob_below(0.2), below, rtol=1e-4)


class Sharpen:
    def transform(self, p):
        p = p**2
        return p / p.sum(-1, keepdims=True)


def test_calibrator_maps_the_mean_over_passes():
    model = model_ending_in(L.Dense(3, "softmax"))
    plain = kst.predict_uncertainty(model, X, seed=1, **QUIET)
    u = kst.predict_uncertainty(model, X, seed=1, calibrator=Sharpen(), **QUIET)
    expected = Sharpen().transform(plain.probabilities)
    np.testing.assert_array_equal(u.probabilities, expected)
    np.testing.assert_allclose(u.p_max, expected.max(-1))
    # What the passes dispute is theirs.
    for name in ("mutual_information", "vote_fraction", "total_std"):
        np.testing.assert_array_equal(getattr(u, name), getattr(plain, name))
    sigmoid = kst.predict_uncertainty(
        model_ending_in(L.Dense(1, "sigmoid")),
        X,
        calibrator=Halve(),
        **QUIET,
    )
    assert (sigmoid.probabilities < 0.5).all()
    with pytest.raises(TypeError, match="`transform`"):
        kst.predict_uncertainty(model, X, calibrator=np.log)


class Halve:
    def transform(self, p):
        return p / 2


def test_consistent_masks_are_one_function_for_all_rows():
    model = model_ending_in(L.Dense(1))
    x = np.repeat(X[:1], 30, axis=0)
    options = {"consistent_masks": True, "seed": 1, "return_samples": True}
    u = kst.predict_uncertainty(model, x, batch_size=7, **options, **QUIET)
    np.testing.assert_allclose(u.samples, u.samples[:, :1] + 0 * u.samples)
    assert len(np.unique(u.samples[:, 0])) > 1
    # A row alone has the law that it has otherwise.
    many = {"num_samples": 3000, "seed": 1, "verbose": 0}
    tied = kst.predict_uncertainty(model, x[:1], consistent_masks=True, **many)
    free = kst.predict_uncertainty(model, x[:1], **many)
    error = 5 * np.hypot(tied.mcse, free.mcse)
    assert (np.abs(tied.mean - free.mean) < error).all()
    np.testing.assert_allclose(tied.epistemic_std, free.epistemic_std, rtol=0.1)


class Hidden(L.Layer):
    """Noise that owns no seed generator, and so cannot be found."""

    def call(self, x, training=False):
        return keras.random.dropout(x, 0.5) if training else x


@pytest.mark.parametrize("by", ["layer", "name", "class"])
def test_layers_that_cannot_be_found_can_be_named(by):
    hidden = Hidden(name="hidden")
    model = keras.Sequential([keras.Input((4,)), hidden, L.Dense(1)])
    with pytest.raises(ValueError, match="`stochastic_layers`"):
        kst.predict_uncertainty(model, X)
    name = {"layer": hidden, "name": "hidden", "class": Hidden}[by]
    options = {"seed": 1, "stochastic_layers": [name], **QUIET}
    u = kst.predict_uncertainty(model, X, **options)
    assert (u.epistemic_std > 0).all()
    again = kst.predict_uncertainty(model, X, **options)
    np.testing.assert_array_equal(u.mean, again.mean)
    assert [path.split("/")[-1] for path in u.stochastic_layers] == ["hidden"]


def test_all_scores_by_name():
    for end in (kst.heads.NormalHead(), L.Dense(3, "softmax")):
        u = kst.predict_uncertainty(model_ending_in(end), X, **QUIET)
        scores = u.scores()
        assert {array.shape[0] for array in scores.values()} == {40}
        for name, array in scores.items():
            np.testing.assert_array_equal(array, u.score(name))
        with pytest.raises(ValueError, match="one of"):
            u.score("luck")
