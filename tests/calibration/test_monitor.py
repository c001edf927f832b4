"""CalibrationMonitor: right scores, for other callbacks, at no cost to them."""

import checks
import keras
import numpy as np
import pytest
from sklearn.metrics import log_loss

from keras_seqtools.calibration import CalibrationMonitor
from keras_seqtools.heads import NormalHead
from keras_seqtools.heads import PoissonHead
from keras_seqtools.layers import MCDropout
from keras_seqtools.losses import NegativeLogLikelihood
from keras_seqtools.metrics import brier_score
from keras_seqtools.metrics import expected_calibration_error
from keras_seqtools.metrics import score_distribution

NAMES = ("val_ece", "val_brier", "val_nll")


def make_data(rows=40, seed=1):
    x = checks.rng(seed).normal(size=(rows, 4)).astype("float32")
    return x, (x.sum(-1) > 0).astype(int)


def make_model(*layers, classes=3, activation="softmax"):
    model = keras.Sequential(
        [
            keras.Input((4,)),
            *layers,
            keras.layers.Dense(classes, activation),
        ]
    )
    model.compile(
        keras.optimizers.SGD(0.3),
        keras.losses.SparseCategoricalCrossentropy(
            from_logits=activation is None
        ),
    )
    return model


class Recorder(keras.callbacks.Callback):
    """What others see in the logs, and what the model predicts by then."""

    def __init__(self, x):
        super().__init__()
        self.x, self.logs, self.predictions = x, [], []

    def on_epoch_end(self, epoch, logs=None):
        self.logs.append(dict(logs))
        self.predictions.append(self.model.predict(self.x, verbose=0))


def fit(model, monitor, *others, epochs=3, **kwargs):
    x, y = make_data()
    callbacks = [] if monitor is None else [monitor]
    history = model.fit(
        x,
        y,
        epochs=epochs,
        batch_size=10,
        verbose=0,
        callbacks=[*callbacks, *others],
        **kwargs,
    )
    return history.history


@pytest.mark.parametrize("activation", ["softmax", None])
def test_scores_of_what_the_model_predicts(activation):
    x, y = make_data(30, seed=2)
    logits = activation is None
    recorder, model = Recorder(x), make_model(activation=activation)
    monitor = CalibrationMonitor(x, y, from_logits=logits)
    history = fit(model, monitor, recorder)
    assert sorted(history) == ["loss", *sorted(NAMES)]
    for epoch, p in enumerate(recorder.predictions):
        expected = {
            "val_ece": expected_calibration_error(y, p, from_logits=logits),
            "val_brier": brier_score(y, p, from_logits=logits),
            "val_nll": log_loss(
                y,
                keras.ops.softmax(p.astype("float64")) if logits else p,
                labels=[0, 1, 2],
            ),
        }
        for name in NAMES:
            assert recorder.logs[epoch][name] == history[name][epoch]
            np.testing.assert_allclose(
                history[name][epoch], expected[name], rtol=1e-6
            )
    assert len(set(history["val_nll"])) == 3


def test_other_callbacks_find_the_scores(tmp_path):
    x, y = make_data(30, seed=2)
    path = tmp_path / "best.keras"
    log = tmp_path / "log.csv"
    history = fit(
        make_model(),
        # The labels of noise: to learn those of the data makes it worse.
        CalibrationMonitor(x, 1 - y),
        keras.callbacks.EarlyStopping("val_nll", patience=3, mode="min"),
        keras.callbacks.ReduceLROnPlateau(
            "val_brier", patience=1, factor=0.5, mode="min"
        ),
        keras.callbacks.ModelCheckpoint(
            path, "val_nll", save_best_only=True, mode="min"
        ),
        keras.callbacks.CSVLogger(log),
        epochs=30,
    )
    nll = history["val_nll"]
    assert 3 < len(nll) < 30
    assert np.argmin(nll) == len(nll) - 4
    assert history["learning_rate"][-1] < 0.3
    best = keras.models.load_model(path).predict(x, verbose=0)
    expected = log_loss(1 - y, best, labels=[0, 1, 2])
    np.testing.assert_allclose(min(nll), expected, rtol=1e-6)
    header = log.read_text().splitlines()[0]
    assert set(NAMES) < set(header.split(","))


class Noise(keras.layers.Layer):
    """Noise of a layer that names no seed, in training and out of it."""

    def call(self, inputs):
        return inputs + 0.1 * keras.random.normal(keras.ops.shape(inputs))


def make_sensitive():
    keras.utils.set_random_seed(3)
    keras.backend.clear_session()
    return make_model(
        keras.layers.Dense(6, "relu"),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.3),
        MCDropout(0.3),
        Noise(),
    )


def test_training_goes_on_as_if_nobody_had_looked():
    x, y = make_data(33, seed=2)
    model = make_sensitive()
    alone = fit(model, None)
    for kwargs in ({}, {"every": 2, "batch_size": 7}):
        watched = make_sensitive()
        history = fit(watched, CalibrationMonitor(x, y, **kwargs))
        assert history["loss"] == alone["loss"]
        for a, b in zip(model.variables, watched.variables, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_stateful_model_keeps_its_states():
    def run(callbacks):
        keras.utils.set_random_seed(3)
        model = keras.Sequential(
            [
                keras.Input(batch_shape=(2, 5, 1)),
                keras.layers.GRU(3, stateful=True),
                keras.layers.Dense(2, "softmax"),
            ]
        )
        model.compile("sgd", "sparse_categorical_crossentropy")
        x = checks.rng(1).normal(size=(6, 5, 1)).astype("float32")
        history = model.fit(
            x,
            np.arange(6) % 2,
            batch_size=2,
            shuffle=False,
            epochs=3,
            verbose=0,
            callbacks=callbacks(x[:4]),
        )
        return history.history["loss"], model.layers[0].states[0].numpy()

    loss, states = run(lambda x: [])
    watched, their_states = run(
        lambda x: [CalibrationMonitor(x, [0, 1, 1, 1], batch_size=2)]
    )
    assert watched == loss
    np.testing.assert_array_equal(their_states, states)
    assert (states != 0.0).all()


@pytest.mark.parametrize(
    ("every", "fresh"), [(1, [0, 1, 2, 3, 4]), (2, [0, 1, 3]), (9, [0])]
)
def test_epochs_between_repeat_the_scores(every, fresh):
    x, y = make_data(30, seed=2)
    recorder = Recorder(x)
    monitor = CalibrationMonitor(x, y, every=every, prefix="held_out_")
    nll = fit(make_model(), monitor, recorder, epochs=5)["held_out_nll"]
    for epoch in range(5):
        last = max(e for e in fresh if e <= epoch)
        p = recorder.predictions[last]
        expected = log_loss(y, p, labels=[0, 1, 2])
        np.testing.assert_allclose(nll[epoch], expected, rtol=1e-6)


def test_another_fit_starts_anew():
    x, y = make_data(30, seed=2)
    monitor, model = CalibrationMonitor(x, y, every=4), make_model()
    first = fit(model, monitor, epochs=1)
    second = fit(model, monitor, epochs=2, initial_epoch=1)
    assert second["val_nll"] != first["val_nll"]


def test_masks_and_weights_choose_the_steps():
    x = checks.rng(1).normal(size=(8, 5, 2)).astype("float32")
    y = checks.rng(2).integers(0, 3, (8, 5))
    mask = np.arange(5) < checks.rng(3).integers(1, 6, 8)[:, None]
    weight = checks.rng(4).random(8)
    y[~mask] = -1
    model = keras.Sequential(
        [keras.Input((5, 2)), keras.layers.Dense(3, "softmax")]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    monitor = CalibrationMonitor(x, y, mask=mask, sample_weight=weight)
    history = model.fit(
        x, np.maximum(y, 0), callbacks=[monitor], verbose=0
    ).history
    p = model.predict(x, verbose=0)
    steps = np.repeat(weight[:, None], 5, axis=1)[mask]
    for name, expected in (
        ("val_nll", log_loss(y[mask], p[mask], sample_weight=steps)),
        ("val_brier", brier_score(y[mask], p[mask], sample_weight=steps)),
    ):
        np.testing.assert_allclose(history[name], [expected], rtol=1e-6)


def test_one_sigmoid():
    x, y = make_data(30, seed=2)
    model = make_model(classes=1, activation="sigmoid")
    model.compile("sgd", "binary_crossentropy")
    history = fit(model, CalibrationMonitor(x, y), epochs=1)
    p = model.predict(x, verbose=0)[:, 0]
    np.testing.assert_allclose(history["val_nll"], log_loss(y, p), rtol=1e-6)
    np.testing.assert_allclose(
        history["val_brier"], np.mean((y - p) ** 2), rtol=1e-6
    )


@pytest.mark.parametrize("head", [NormalHead(), PoissonHead(2)])
def test_scores_of_a_head(head):
    x, _ = make_data(30, seed=2)
    y = checks.rng(3).poisson(2.0, (30, head.units)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), head])
    model.compile(keras.optimizers.SGD(0.1), NegativeLogLikelihood(head))
    recorder = Recorder(x)
    weight = checks.rng(4).integers(0, 3, 30)
    monitor = CalibrationMonitor(x, y, head=head, sample_weight=weight)
    model.fit(x, y, epochs=2, callbacks=[monitor, recorder], verbose=0)
    for logs, y_pred in zip(recorder.logs, recorder.predictions, strict=True):
        nll = -np.asarray(head.log_likelihood(y, y_pred), "float64")
        np.testing.assert_allclose(
            logs["val_nll"], np.average(nll, weights=weight), rtol=1e-5
        )
        expected = score_distribution(y, y_pred, head, sample_weight=weight)
        for name, value in expected.items():
            np.testing.assert_allclose(logs[f"val_{name}"], value, rtol=1e-6)
    assert {"val_crps", "val_pit_distance", "val_coverage_90"} < set(logs)


def test_a_head_that_diverged_has_scores_of_nan():
    x, _ = make_data(30, seed=2)
    head = NormalHead()
    model = keras.Sequential([keras.Input((4,)), head])
    model.compile(keras.optimizers.SGD(1e30), NegativeLogLikelihood(head))
    monitor = CalibrationMonitor(x, x[:, :1], head=head)
    history = model.fit(
        x, x[:, :1], epochs=4, callbacks=[monitor], verbose=0
    ).history
    assert np.isnan(history["loss"][-1])
    assert np.isnan(history["val_nll"][-1])
    assert np.isnan(history["val_crps"][-1])


def test_a_model_that_diverged_has_scores_of_nan():
    x, y = make_data(30, seed=2)
    model = make_model()
    monitor = CalibrationMonitor(x, y)

    class Break(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.layers[0].bias.assign([np.nan] * 3)

    history = fit(model, monitor, Break(), epochs=2)
    for name in NAMES:
        assert np.isnan(history[name]).all()


def test_an_inputs_nan_that_does_not_count_is_harmless():
    x, y = make_data(30, seed=2)
    x[3], mask = np.nan, np.arange(30) != 3
    history = fit(make_model(), CalibrationMonitor(x, y, mask=mask), epochs=1)
    weighted = CalibrationMonitor(x, y, sample_weight=mask)
    assert np.isfinite([history[name] for name in NAMES]).all()
    history = fit(make_model(), weighted, epochs=1)
    assert np.isfinite([history[name] for name in NAMES]).all()


@pytest.mark.parametrize("every", [0, -1, 1.5, None])
def test_refuses_a_period_that_is_none(every):
    with pytest.raises(ValueError, match=r"`every`.*Received: every="):
        CalibrationMonitor(*make_data(), every=every)


def test_refuses_labels_that_do_not_fit_before_any_training():
    x, y = make_data(30, seed=2)
    model = make_model()
    before = model.get_weights()
    with pytest.raises(ValueError, match="`y_true`"):
        fit(model, CalibrationMonitor(x, y[:-1]))
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_others_have_in_the_logs_is_not_overwritten():
    x, y = make_data(30, seed=2)
    model = make_model()
    model.compile(
        "sgd",
        "sparse_categorical_crossentropy",
        metrics=[keras.metrics.SparseCategoricalCrossentropy("nll")],
    )
    data = {"validation_data": (x, y)}
    with pytest.raises(ValueError, match=r"\['val_nll'\].*prefix='val_'"):
        fit(model, CalibrationMonitor(x, y), **data)
    history = fit(model, CalibrationMonitor(x, y, prefix="held_out_"), **data)
    np.testing.assert_allclose(
        history["held_out_nll"], history["val_nll"], rtol=1e-5
    )
    monitors = [CalibrationMonitor(x, y), CalibrationMonitor(x, y)]
    with pytest.raises(ValueError, match="another monitor"):
        fit(make_model(), *monitors)


def test_refuses_several_outputs():
    x, y = make_data()
    inputs = keras.Input((4,))
    outputs = [keras.layers.Dense(2, "softmax")(inputs) for _ in range(2)]
    model = keras.Model(inputs, outputs)
    model.compile("sgd", ["sparse_categorical_crossentropy"] * 2)
    with pytest.raises(ValueError, match=r"one output. Received: 2"):
        model.fit(x, [y, y], callbacks=[CalibrationMonitor(x, y)], verbose=0)
