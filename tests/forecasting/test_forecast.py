"""Paths of forecasts against loops of plain calls, step by step."""

import re

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

import keras_seqtools as kst
from keras_seqtools.forecasting import _rollout
from keras_seqtools.forecasting import forecast
from keras_seqtools.forecasting._carried import can_carry
from keras_seqtools.forecasting._draws import draws_of

L, K = keras.layers, kst.layers


def sequential(*layers, head=None, time=None, features=1):
    head = kst.heads.NormalHead(features) if head is None else head
    return keras.Sequential([keras.Input((time, features)), *layers, head])


def mixed():
    """Convolutions, recurrent layers, a sum, a choice, a nested model."""
    x = keras.Input((None, 1))
    convolved = L.Conv1D(4, 3, dilation_rate=2, padding="causal")(x)
    inner = keras.Sequential(
        [keras.Input((None, 4)), K.LayerNormGRU(4, return_sequences=True)]
    )
    h = L.Add()([convolved, inner(convolved)])
    h = L.LayerNormalization()(h) * 0.5 + x
    h = L.Concatenate()([K.Highway()(h), L.Conv1D(2, 1)(x)])
    head = kst.heads.NormalHead(offset=True)
    return keras.Model(x, head([L.LSTM(4, return_sequences=True)(h), x]))


CARRIED = {
    "simple rnn": lambda: sequential(L.SimpleRNN(4, return_sequences=True)),
    "gru": lambda: sequential(L.GRU(4, return_sequences=True)),
    "reset before": lambda: sequential(
        L.GRU(4, return_sequences=True, reset_after=False)
    ),
    "lstm": lambda: sequential(L.LSTM(4, return_sequences=True)),
    "last": lambda: sequential(K.LayerNormGRU(4)),
    "layer norm gru": lambda: sequential(
        K.LayerNormGRU(4, return_sequences=True)
    ),
    "layer norm gru of relu": lambda: sequential(
        K.LayerNormGRU(4, return_sequences=True, activation="relu")
    ),
    "large epsilon": lambda: sequential(
        K.LayerNormGRU(4, return_sequences=True, epsilon=0.5)
    ),
    "layer norm lstm": lambda: sequential(
        K.LayerNormLSTM(4, return_sequences=True)
    ),
    "student t": lambda: sequential(
        L.GRU(4, return_sequences=True), head=kst.heads.StudentTHead()
    ),
    "stacked": lambda: sequential(
        L.LSTM(4, return_sequences=True), L.GRU(3, return_sequences=True)
    ),
    "stacked cells": lambda: sequential(
        L.RNN([L.LSTMCell(3), K.LayerNormGRUCell(4)], return_sequences=True)
    ),
    "convolution": lambda: sequential(
        L.Conv1D(4, 3, dilation_rate=3, padding="causal", activation="tanh")
    ),
    "stack": lambda: sequential(K.CausalConvStack(4, 2, (1, 2))),
    "residual stack": lambda: sequential(
        K.CausalConvStack(4, 3, (1, 2), residual=True, activation="tanh")
    ),
    "two series of one": lambda: sequential(
        K.LayerNormGRU(4, return_sequences=True), features=2
    ),
    "batch norm": lambda: sequential(
        L.BatchNormalization(), L.GRU(4, return_sequences=True)
    ),
    "last step": lambda: last_step(),
    "mixed": mixed,
    "operations": lambda: operations(),
}


def operations():
    x = keras.Input((None, 1))
    inner = keras.Model([x], [L.GRU(2, return_sequences=True)(x)])
    y = keras.Input((None, 1))
    (h,) = inner([keras.ops.tanh(y / 3.0)])
    return keras.Model(y, kst.heads.NormalHead()(keras.ops.square(h)))


def last_step():
    x = keras.Input((None, 1))
    h = L.GRU(4, return_sequences=True)(x)
    return keras.Model(x, kst.heads.NormalHead()(h[:, -1]))


def context_for(model, series=3, time=7):
    rng = np.random.default_rng(0)
    features = model.inputs[0].shape[-1]
    return rng.normal(size=(series, time, features)).astype("float32")


def emitted_along(model, context, f):
    """What plain calls emit when they are given each path up to a step."""
    steps = f.samples.shape[2]
    found = []
    for path in f.samples:
        history = np.concatenate([context, path], axis=1)
        outputs = []
        for step in range(steps):
            known = history[:, : context.shape[1] + step]
            output = model.predict_on_batch(known)
            outputs.append(output if output.ndim == 2 else output[:, -1])
        found.append(np.stack(outputs, axis=1))
    return np.stack(found)


@pytest.mark.parametrize("name", CARRIED)
def test_a_carried_state_is_that_of_the_whole_history(name):
    model = CARRIED[name]()
    assert can_carry(model)
    context = context_for(model)
    f = forecast(model, context, 5, num_samples=2, seed=3)
    expected = emitted_along(model, context, f)
    np.testing.assert_allclose(f.y_pred, expected, rtol=1e-5, atol=1e-5)
    assert f.joint
    assert f.window is None
    assert repr(f).endswith("joint=True, seed=3, window=None)")


@pytest.mark.parametrize(
    "name", ["gru", "layer norm gru", "student t", "lstm", "stack", "mixed"]
)
def test_paths_equal_a_loop_with_the_same_noise(name):
    model, seed = CARRIED[name](), 2**40 + 5
    head, context = model.layers[-1], context_for(model)
    f = forecast(model, context, 6, num_samples=2, seed=seed)
    history = np.tile(context, (2, 1, 1))
    draw = draws_of(
        head,
        tf.constant(seed, tf.int64),
        tf.constant(6),
        model.predict_on_batch(history)[:, -1:],
    )
    for step in range(6):
        y_pred = model.predict_on_batch(history)[:, -1:]
        history = np.concatenate([history, draw(step, y_pred)], axis=1)
    paths = history[:, 7:].reshape(2, 3, 6, 1)
    np.testing.assert_allclose(f.samples, paths, rtol=1e-5, atol=1e-5)


def test_a_carried_state_in_half_precision():
    stack = K.CausalConvStack(1, 2, residual=True, dtype="mixed_bfloat16")
    model = sequential(stack, K.LayerNormGRU(3, dtype="mixed_bfloat16"))
    assert can_carry(model)
    context = context_for(model)
    f = forecast(model, context, 3, num_samples=2, seed=3)
    expected = emitted_along(model, context, f)
    np.testing.assert_allclose(f.y_pred, expected, atol=0.03)


class OneMore(K.LayerNormGRU):
    """A layer of a user, who changed how its steps are run."""

    def inner_loop(self, *args, **kwargs):
        last, outputs, states = super().inner_loop(*args, **kwargs)
        return last + 1.0, outputs + 1.0, states


WINDOWS = {
    "own loop": lambda: sequential(OneMore(4, return_sequences=True)),
    "fixed length": lambda: sequential(L.GRU(4), time=7),
    "longer context": lambda: sequential(L.GRU(4), time=5),
    "both ways": lambda: sequential(L.Bidirectional(L.GRU(3))),
    "backwards": lambda: sequential(L.GRU(3, go_backwards=True)),
    "pooled": lambda: sequential(L.GlobalAveragePooling1D(), L.Dense(3)),
    "lambda": lambda: sequential(
        L.Lambda(lambda x: keras.ops.cumsum(x, axis=1))
    ),
    "masked": lambda: sequential(L.Masking(), L.GRU(3)),
    "attention": lambda: attention(),
    "minus the last": lambda: functional(minus_last),
    "minus the last step": lambda: functional(lambda x: x - x[:, -1, None]),
    "sum with a state": lambda: functional(
        lambda x: L.Add()([L.Dense(4)(x), L.GRU(4)(x)])
    ),
    "gated by the last": lambda: functional(gated),
    "activation along time": lambda: sequential(
        L.Dense(4, activation=lambda v: keras.ops.cumsum(v, axis=1)), L.GRU(3)
    ),
    "stateful": lambda: stateful_window(),
}


def minus_last(x):
    return L.Subtract()([x, x[:, -1]])


def gated(x):
    h = L.GRU(4, return_sequences=True)(x)
    return L.Multiply()([h, L.Dense(4, "sigmoid")(h[:, -1])])


def functional(make):
    x = keras.Input((None, 1))
    return keras.Model(x, kst.heads.NormalHead()(L.GRU(4)(make(x))))


class CellWithDropout(L.GRUCell):
    def __init__(self, units, **kwargs):
        super().__init__(units, **kwargs)
        self.drop = L.Dropout(0.5)

    def call(self, inputs, states, training=False):
        return super().call(self.drop(inputs, training=training), states)


def attention():
    x = keras.Input((None, 1))
    h = L.MultiHeadAttention(1, 2)(x, x, use_causal_mask=True)
    return keras.Model(x, kst.heads.NormalHead()(h))


def stateful_window():
    model = keras.Sequential(
        [
            keras.Input((7, 1), batch_size=3),
            L.GRU(4, stateful=True),
            kst.heads.NormalHead(),
        ]
    )
    model.layers[0].states[0].assign(np.ones((3, 4)))
    return model


@pytest.mark.parametrize("name", WINDOWS)
def test_other_models_see_a_window(name):
    model = WINDOWS[name]()
    assert not can_carry(model)
    context = context_for(model)
    f = forecast(model, context, 4, num_samples=2, seed=3)
    window = model.inputs[0].shape[1] or 7
    assert f[0].window == window
    for number, path in enumerate(f.samples):
        history = np.concatenate([context, path], axis=1)
        for step in range(4):
            seen = history[:, : 7 + step][:, -window:]
            if name == "stateful":
                model.layers[0].reset_state()
            output = model.predict_on_batch(seen)
            last = output if output.ndim == 2 else output[:, -1]
            np.testing.assert_allclose(
                f.y_pred[number, :, step], last, rtol=1e-5, atol=1e-5
            )


RANDOM = {
    "dropout": lambda: sequential(
        K.MCDropout(0.3),
        L.GRU(4, return_sequences=True, dropout=0.3, recurrent_dropout=0.3),
        L.Dropout(0.3),
    ),
    "gaussian": lambda: sequential(
        L.GaussianNoise(0.3), L.LSTM(4, return_sequences=True, dropout=0.3)
    ),
    "gates": lambda: sequential(
        L.GRU(
            4,
            return_sequences=True,
            recurrent_dropout=0.3,
            dropout=0.3,
            implementation=1,
        )
    ),
    "layer norm": lambda: sequential(
        K.LayerNormGRU(
            4, return_sequences=True, dropout=0.3, recurrent_dropout=0.3
        ),
        K.LayerNormLSTM(
            4, return_sequences=True, recurrent_dropout=0.3, mc_dropout=True
        ),
    ),
    "stack": lambda: sequential(
        L.AlphaDropout(0.2), K.CausalConvStack(4, 2, (1, 2), dropout=0.3)
    ),
}


@pytest.mark.parametrize("name", RANDOM)
def test_a_carried_state_keeps_the_noise_of_its_path(name, monkeypatch):
    model = RANDOM[name]()
    model.compile(run_eagerly=True)
    assert can_carry(model)
    context = context_for(model)
    f = forecast(model, context, 4, num_samples=3, seed=3)
    # The same noise, over a history that grows.
    monkeypatch.setattr(_rollout, "can_carry", lambda model: False)
    monkeypatch.setattr(
        _rollout, "_slide", lambda past, new: tf.concat([past, new], axis=1)
    )
    monkeypatch.setattr(_rollout, "_as_before", lambda old, new: new)
    again = forecast(model, context, 4, num_samples=3, seed=3)
    np.testing.assert_allclose(f.y_pred, again.y_pred, rtol=1e-5, atol=1e-5)
    # Its noise is its own.
    assert not np.allclose(f.y_pred[0, :, 0], f.y_pred[1, :, 0])


@pytest.mark.parametrize(
    "layer",
    [
        L.Dropout(0.5),
        L.SpatialDropout1D(0.5),
        L.GaussianDropout(0.5),
        L.GaussianNoise(0.5),
        L.AlphaDropout(0.5),
        K.MCDropout(0.5),
        K.MCGaussianDropout(0.5),
    ],
    ids=lambda layer: type(layer).__name__,
)
@pytest.mark.parametrize("time", [None, 7])
def test_noise_stays_as_it_is_along_a_path(layer, time):
    layer = type(layer).from_config(layer.get_config())
    constant = {"kernel_initializer": "zeros", "bias_initializer": "ones"}
    total = L.Dense(1, kernel_initializer="ones")
    model = sequential(L.Dense(16, **constant), layer, head=total, time=time)
    f = forecast(model, context_for(model), 5, num_samples=4, seed=3)
    first = np.broadcast_to(f.samples[:, :, :1], f.samples.shape)
    np.testing.assert_array_equal(f.samples, first)
    assert len(np.unique(f.samples[:, :, 0])) > 3


def test_noise_inside_a_cell_stays_as_it_is_along_a_path():
    model = sequential(
        L.RNN(CellWithDropout(4), return_sequences=True), head=L.Dense(1)
    )
    model.compile(loss="mse", run_eagerly=False)
    assert not can_carry(model)
    model.layers[0].cell.set_weights(
        [np.zeros_like(w) for w in model.layers[0].cell.get_weights()]
    )
    assert forecast(model, context_for(model), 3, num_samples=4).std.max() == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: L.Dropout(0.5, noise_shape=(1, None, 4)),
        lambda: NoisyWeights(),
    ],
    ids=["shared", "weights"],
)
def test_noise_that_paths_would_share_is_refused(make):
    model = sequential(L.GRU(4, return_sequences=True), make())
    with pytest.raises(ValueError, match="all rows of a batch share"):
        forecast(model, context_for(model), 3)


class NoisyWeights(L.Dense):
    def __init__(self, **kwargs):
        super().__init__(4, **kwargs)
        self.seeds = keras.random.SeedGenerator(1)

    def call(self, inputs, training=False):
        noise = keras.random.normal((4, 4), seed=self.seeds)
        return inputs @ (self.kernel + noise)


def test_one_step_equals_predict_uncertainty():
    wide = kst.heads.NormalHead(
        kernel_initializer=keras.initializers.RandomNormal(stddev=4.0)
    )
    model = sequential(L.GRU(8), L.Dropout(0.4), head=wide)
    context = context_for(model, series=1)
    f = forecast(model, context, 1, num_samples=2000, seed=3)
    u = kst.predict_uncertainty(
        model, context, num_samples=2000, seed=4, return_samples=True, verbose=0
    )
    loc, scale = u.samples[:, 0].T.astype("float64")

    def cdf(y):
        return scipy.stats.norm.cdf(y[:, None], loc, scale).mean(1)

    found = scipy.stats.kstest(f.samples[:, 0, 0, 0], cdf)
    assert found.pvalue > 0.01
    # The noise of the layers is not too little to be seen.
    plain = model.predict_on_batch(context)[0]
    without = scipy.stats.norm(plain[0], plain[1]).cdf
    assert scipy.stats.kstest(f.samples[:, 0, 0, 0], without).pvalue < 1e-4


def test_draws_follow_what_the_model_emitted():
    model = CARRIED["layer norm gru"]()
    f = forecast(model, context_for(model), 50, num_samples=100, seed=3)
    loc, scale = np.moveaxis(f.y_pred.astype("float64"), -1, 0)
    z = (f.samples[..., 0] - loc) / scale
    assert scipy.stats.kstest(z.ravel(), "norm").pvalue > 0.01
    # Neither from step to step nor from path to path is there a connexion.
    for first, second in ((z[:, :, 1:], z[:, :, :-1]), (z[1:], z[:-1])):
        r = np.corrcoef(first.ravel(), second.ravel())[0, 1]
        assert abs(r) < 4 / np.sqrt(first.size)


def test_several_steps_at_a_time():
    model = sequential(
        K.CausalConvStack(4, 2, (1, 2)), K.CausalSlice(3), features=1
    )
    context = context_for(model)
    direct = forecast(model, context, 3, num_samples=4, seed=3)
    expected = np.broadcast_to(model.predict_on_batch(context), (4, 3, 3, 2))
    np.testing.assert_allclose(direct.y_pred, expected, rtol=1e-5, atol=1e-6)
    assert not direct.joint
    with pytest.raises(ValueError, match="not joint"):
        direct.sum()
    assert forecast(model, context, 1, num_samples=4).joint
    rolled = forecast(model, context, 8, num_samples=2, seed=3)
    assert rolled.samples.shape == (2, 3, 8, 1)
    for number, path in enumerate(rolled.samples):
        history = np.concatenate([context, path], axis=1)
        for start in (0, 3, 6):
            seen = history[:, start : start + 7]
            output = model.predict_on_batch(seen)[:, : 8 - start]
            found = rolled.y_pred[number, :, start : start + 3]
            np.testing.assert_allclose(found, output, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sliced", [True, False])
def test_one_output_needs_no_feedback(sliced):
    layers = [K.CausalConvStack(4, 2), *[K.CausalSlice(3)] * sliced]
    model = sequential(*layers, head=L.Dense(2), features=5)
    steps = 3 if sliced else 1
    context = context_for(model)
    f = forecast(model, context, steps)
    expected = model.predict_on_batch(context)[:, -steps:]
    np.testing.assert_allclose(f.samples[0], expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="`feedback` makes inputs"):
        forecast(model, context, steps + 1)


class Sliced(keras.Model):
    """A model without a graph."""

    def __init__(self):
        super().__init__()
        self.stack = [L.GRU(4, return_sequences=True), kst.heads.NormalHead()]

    def call(self, x):
        for layer in self.stack:
            x = layer(x)
        return x[:, -3:]


def sliced_graph():
    model = sequential(L.GRU(4, return_sequences=True))
    return keras.Model(model.inputs[0], model.outputs[0][:, -3:])


@pytest.mark.parametrize("make", [Sliced, sliced_graph])
def test_several_steps_are_known_without_causal_slice(make):
    model = make()
    context = np.random.default_rng(0).normal(size=(2, 7, 1))
    expected = model.predict_on_batch(context)
    f = forecast(model, context, 3, num_samples=2)
    assert not f.joint
    np.testing.assert_allclose(f.y_pred[0], expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="emits 3 steps"):
        forecast(model, context[:, :2], 3)


def test_a_valid_convolution_forecasts_the_next_value():
    model = sequential(L.Conv1D(4, 3))
    context = context_for(model)
    f = forecast(model, context, 2, num_samples=2)
    assert f.joint
    expected = model.predict_on_batch(context)[:, -1]
    np.testing.assert_allclose(f.y_pred[0, :, 0], expected, rtol=1e-5)


def test_points_without_noise_are_one_path():
    model = sequential(L.GRU(4), head=L.Dense(1))
    context = context_for(model)
    f = forecast(model, context, 3)
    assert f.num_samples == 1
    for step in range(3):
        seen = np.concatenate([context, f.samples[0, :, :step]], axis=1)
        output = model.predict_on_batch(seen)
        np.testing.assert_allclose(f.samples[0, :, step], output, rtol=1e-5)
    np.testing.assert_allclose(f.sum()[0], f.samples[0].sum(1), rtol=1e-6)


@pytest.mark.parametrize("time", [None, 7])
def test_feedback_makes_inputs_of_draws_and_the_past(time):
    # Inputs are levels and their logs; draws are changes of the level.
    x = keras.Input((time, 2))
    h = L.GRU(4, return_sequences=True)(x)
    model = keras.Model(x, kst.heads.NormalHead()(h))

    def feedback(y, context):
        level = context[:, -1:, :1] + y
        return keras.ops.concatenate([level, keras.ops.abs(level)], axis=-1)

    context = context_for(model)
    f = forecast(model, context, 5, num_samples=2, seed=3, feedback=feedback)
    for number, path in enumerate(f.samples):
        history = context
        for step in range(5):
            seen = history if time is None else history[:, -time:]
            output = model.predict_on_batch(seen)[:, -1]
            np.testing.assert_allclose(
                f.y_pred[number, :, step], output, rtol=1e-4, atol=1e-5
            )
            level = history[:, -1:, :1] + path[:, step : step + 1]
            new = np.concatenate([level, np.abs(level)], axis=-1)
            history = np.concatenate([history, new], axis=1)


@pytest.mark.parametrize("time", [None, 7])
def test_covariates_stand_beside_the_series(time):
    model = sequential(
        L.GRU(4), head=kst.heads.NormalHead(), time=time, features=3
    )
    everything = context_for(model, time=12)
    context, past, future = (
        everything[:, :7, :1],
        everything[:, :7, 1:],
        everything[:, 7:, 1:],
    )
    f = forecast(
        model,
        context,
        5,
        num_samples=2,
        seed=3,
        past_covariates=past,
        future_covariates=future,
    )
    for number, path in enumerate(f.samples):
        for step in range(5):
            seen = np.concatenate(
                [
                    np.concatenate([context, path[:, :step]], axis=1),
                    everything[:, : 7 + step, 1:],
                ],
                axis=-1,
            )
            output = model.predict_on_batch(seen[:, -(time or 0) :])
            np.testing.assert_allclose(
                f.y_pred[number, :, step], output, rtol=1e-5, atol=1e-5
            )


@pytest.mark.parametrize(
    "head",
    [kst.heads.PoissonHead(), kst.heads.NegativeBinomialHead()],
    ids=lambda head: type(head).__name__,
)
def test_counts_stay_integers(head):
    model = sequential(L.GRU(4), head=head)
    f = forecast(model, context_for(model), 6, num_samples=20, seed=3)
    for values in (f.samples, f.quantile(0.3), *f.interval(0.5)):
        np.testing.assert_array_equal(values, np.round(values))
    assert f.samples.max() > 0


def test_what_overflows_is_nan_and_ends():
    doubled = keras.initializers.Constant(50.0)
    head = kst.heads.PoissonHead(kernel_initializer=doubled)
    model = keras.Sequential([keras.Input((None, 1)), head])
    f = forecast(model, np.ones((1, 2, 1)), 20, num_samples=3, seed=3)
    assert np.isnan(f.samples[:, 0, -1]).all()
    assert np.isnan(f.quantile(0.5)[0, -1])
    assert np.isnan(f.prob_above(1.0)[0, -1])


def test_nothing_of_the_model_changes():
    model = keras.Sequential(
        [
            keras.Input((None, 1), batch_size=2),
            K.LayerNormGRU(4, return_sequences=True, stateful=True),
            L.BatchNormalization(),
            L.Dropout(0.5),
            kst.heads.NormalHead(),
        ]
    )
    context = context_for(model, series=2)
    model.predict_on_batch(context)
    before = [np.array(variable) for variable in model.variables]
    attributes = [dict(vars(layer)) for layer in model.layers]
    forecast(model, context, 3, num_samples=2, seed=1)
    for old, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, np.array(variable))
    for old, layer in zip(attributes, model.layers, strict=True):
        assert old.keys() == vars(layer).keys()
        assert all(vars(layer)[name] is value for name, value in old.items())


def test_stateful_layers_start_from_zeros():
    layers = [K.LayerNormGRU(4, return_sequences=True), kst.heads.NormalHead()]
    plain = keras.Sequential([keras.Input((None, 1)), *layers])
    config = {**layers[0].get_config(), "stateful": True}
    stateful = keras.Sequential(
        [
            keras.Input((None, 1), batch_size=3),
            K.LayerNormGRU.from_config(config),
            kst.heads.NormalHead(),
        ]
    )
    for own, other in zip(
        stateful.trainable_variables, plain.trainable_variables, strict=True
    ):
        own.assign(other)
    context = context_for(plain)
    stateful.predict_on_batch(context)
    expected = forecast(plain, context, 3, num_samples=2, seed=3)
    found = forecast(stateful, context, 3, num_samples=2, seed=3)
    np.testing.assert_allclose(found.samples, expected.samples, rtol=1e-5)


def test_the_loop_is_compiled_once():
    model, traces = CARRIED["gru"](), []

    def feedback(y, context):
        traces.append(1)
        return y

    for steps, series, num_samples in ((3, 2, 5), (9, 2, 7), (3, 4, 5)):
        forecast(
            model,
            context_for(model, series),
            steps,
            num_samples=num_samples,
            feedback=feedback,
        )
    assert len(traces) == 1


@pytest.mark.parametrize(
    "make", [RANDOM["dropout"], CARRIED["gru"], CARRIED["student t"]]
)
def test_the_same_seed_gives_the_same_paths(make):
    model = make()
    context = context_for(model)
    first, again, other = (
        forecast(model, context, 4, num_samples=3, seed=seed)
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first.samples, again.samples)
    assert not np.allclose(first.samples, other.samples)


BAD = {
    "`(series, time, features)`": {"context": np.ones((5, 1))},
    "numbers": {"context": np.array([[["a"]]])},
    "takes 1 features": {"context": np.ones((1, 5, 2))},
    "one step or more": {"context": np.ones((1, 0, 1))},
    "`steps`": {"steps": 0},
    "`num_samples`": {"num_samples": 0},
    "`seed`": {"seed": -1},
    "`feedback`": {"feedback": 3},
    "both or neither": {"past_covariates": np.ones((1, 5, 1))},
    "`past_covariates` of shape": {
        "past_covariates": np.ones((1, 4, 1)),
        "future_covariates": np.ones((1, 3, 1)),
    },
    "`future_covariates` of shape": {
        "past_covariates": np.ones((1, 5, 1)),
        "future_covariates": np.ones((1, 4, 1)),
    },
    "a function or a method": {"feedback": np.add},
    "next inputs of shape": {"feedback": lambda y, context: context},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_arguments_are_named(message):
    model = sequential(K.LayerNormGRU(2))
    arguments = {"context": np.ones((1, 5, 1)), "steps": 3, **BAD[message]}
    with pytest.raises(ValueError, match=re.escape(message)):
        forecast(model, **arguments)


def two_outputs():
    x = keras.Input((None, 1))
    return keras.Model(x, [kst.heads.NormalHead()(x), L.Dense(1)(x)])


def two_inputs():
    inputs = [keras.Input((None, 1)), keras.Input((None, 1))]
    return keras.Model(inputs, kst.heads.NormalHead()(L.Add()(inputs)))


BAD_MODELS = {
    "one output": two_outputs,
    "one input": two_inputs,
    "classifier": lambda: sequential(head=L.Dense(3, activation="softmax")),
    "takes 8 time steps": lambda: sequential(L.GRU(2), time=8),
    "from draws": lambda: sequential(head=kst.heads.NormalHead(2)),
    "inputs `(batch, time, features)`": lambda: keras.Sequential(
        [keras.Input((3,)), kst.heads.NormalHead()]
    ),
}


@pytest.mark.parametrize("message", BAD_MODELS)
def test_models_that_cannot_be_fed_are_refused(message):
    with pytest.raises(ValueError, match=re.escape(message)):
        forecast(BAD_MODELS[message](), np.ones((2, 5, 1)), 3)
