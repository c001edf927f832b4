"""The loss of sequences against plain loops, and what must not change it."""

import checks
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seqtools.losses import SequenceCrossentropy

CLASSES = 3


def predictions(shape, from_logits=False, seed=1):
    logits = checks.rng(seed).normal(size=(*shape, CLASSES))
    if not from_logits:
        logits = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    return logits.astype("float32")


def labels(shape, seed=2, lowest=0):
    return checks.rng(seed).integers(lowest, CLASSES, shape)


def reference(y, probabilities, weight=None):
    """`-sum w log p` of each sequence, in float64, term by term."""
    totals = []
    for m, sequence in enumerate(y):
        total = 0.0
        for s, label in enumerate(sequence):
            for k in range(probabilities.shape[-1]):
                w = 1.0 if weight is None else weight[m, s]
                if k == label and w:
                    total -= w * np.log(float(probabilities[m, s, k]))
        totals.append(total)
    return np.array(totals)


@pytest.mark.parametrize("lowest", [0, -1])
@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize(
    ("reduction", "reduce"),
    [
        ("sum_over_batch_size", lambda losses: 1 / 8 * losses.sum()),
        ("mean", np.mean),
        ("mean_with_sample_weight", np.mean),
        ("sum", np.sum),
        ("none", np.asarray),
        (None, np.asarray),
    ],
)
def test_sum_over_time_mean_over_sequences(lowest, axes, reduction, reduce):
    p, y = predictions((8, 5)), labels((8, 5), lowest=lowest)
    assert y.min() == lowest
    loss = SequenceCrossentropy(reduction=reduction)
    np.testing.assert_allclose(
        loss(y if axes == 2 else y[..., None], p),
        reduce(reference(y, p)),
        rtol=1e-5,
    )


@pytest.mark.parametrize("from_logits", [False, True])
def test_is_the_mean_over_time_of_keras_times_the_steps(from_logits):
    y_pred, y = predictions((8, 5), from_logits), labels((8, 5))
    y_pred[0, 0] = [1.0, 0.0, 0.0]  # clipped as Keras does
    keras_loss = keras.losses.SparseCategoricalCrossentropy(from_logits)
    np.testing.assert_allclose(
        SequenceCrossentropy(from_logits)(y, y_pred),
        5 * keras_loss(y, y_pred),
        rtol=1e-6,
    )


def test_logits_have_no_limit():
    y_pred = np.array([[[0.0, 200.0]]], "float32")
    assert SequenceCrossentropy(True)(np.array([[0]]), y_pred) == 200.0


@pytest.mark.parametrize("label", [-1, 3, 1.5, np.nan, np.inf, 1e30])
def test_labels_that_are_no_class_show(label):
    y, p = labels((4, 5)).astype("float32"), predictions((4, 5))
    y[2, 3] = label
    losses = SequenceCrossentropy(ignore_class=None, reduction=None)(y, p)
    np.testing.assert_array_equal(np.isnan(losses), [0, 0, 1, 0])
    losses = SequenceCrossentropy(reduction=None)(y, p)
    assert np.isnan(losses).any() == (label != -1)


def test_ignores_a_class_that_is_one():
    p, y = predictions((8, 5)), labels((8, 5))
    np.testing.assert_allclose(
        SequenceCrossentropy(ignore_class=0)(y, p),
        reference(y, p, weight=y != 0).mean(),
        rtol=1e-5,
    )


def test_unsigned_labels_are_not_the_missing_one():
    y = np.array([[255, 0]], "uint8")
    p = predictions((1, 2))
    assert np.isnan(SequenceCrossentropy()(y, p))
    np.testing.assert_allclose(
        SequenceCrossentropy(ignore_class=255)(y, p), -np.log(p[0, 1, 0])
    )


# As many sequences as steps, so that only care tells them apart.
@pytest.mark.parametrize("time", [4, 7])
@pytest.mark.parametrize(
    "reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"]
)
@pytest.mark.parametrize("shape", ["row", "row, 1", "step", "step, 1"])
@pytest.mark.parametrize("masked", [False, True])
def test_weights_and_masks(time, reduction, shape, masked):
    p, y = predictions((4, time)), labels((4, time), lowest=-1)
    weight = checks.rng(6).random((4, time if "step" in shape else 1))
    full = np.broadcast_to(weight, (4, time))
    mask = checks.rng(7).random((4, time)) < 0.7
    total = reference(y, p, full * mask if masked else full).sum()
    divisor = {
        "sum": 1.0,
        "sum_over_batch_size": 4,
        "mean_with_sample_weight": full.sum() / time,
    }[reduction]
    if shape == "row":
        weight = weight[:, 0]
    if shape == "step, 1":
        weight = weight[..., None]
    p = tf.constant(p)
    if masked:
        p._keras_mask = tf.constant(mask)
    loss = SequenceCrossentropy(reduction=reduction)
    np.testing.assert_allclose(
        loss(y, p, sample_weight=weight), total / divisor, rtol=1e-5
    )


def test_nothing_counted_is_0():
    p, y = predictions((2, 4)), np.full((2, 4), -1)
    assert SequenceCrossentropy()(y, p) == 0.0
    loss = SequenceCrossentropy(reduction="mean_with_sample_weight")
    assert loss(labels((2, 4)), p, sample_weight=np.zeros(2)) == 0.0


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("garbage", [1e30, -1e30, np.nan, np.inf])
def test_what_is_hidden_changes_no_bit_of_loss_or_gradient(
    from_logits, garbage
):
    y = labels((4, 5)).astype("float32")
    y_pred = predictions((4, 5), from_logits)
    mask = np.ones((4, 5), bool)
    mask[0, 3:] = False
    weight = np.ones((4, 5), "float32")
    weight[1, 2] = 0.0
    y[2, :2] = -1.0
    hidden = ~mask | (weight == 0.0) | (y == -1.0)
    spoiled_y = np.where(hidden & (y != -1.0), garbage, y)
    spoiled = np.where(hidden[..., None], garbage, y_pred).astype("float32")

    def loss_and_gradient(y, y_pred):
        y_pred = tf.constant(y_pred)
        loss = SequenceCrossentropy(from_logits)
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            y_pred._keras_mask = tf.constant(mask)
            value = loss(y, y_pred, sample_weight=weight)
        return value, tape.gradient(value, y_pred)

    clean = loss_and_gradient(y, y_pred)
    for a, b in zip(clean, loss_and_gradient(spoiled_y, spoiled), strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.isfinite(a).all()
    assert not clean[1].numpy()[hidden].any()
    assert clean[1].numpy()[~hidden].any(-1).all()


def tagger(time=None, softmax=True, **layers):
    """A class for each step of a sequence of words, of which 0 is none."""
    return keras.Sequential(
        [
            keras.Input((time,), dtype="int32"),
            keras.layers.Embedding(9, 4, mask_zero=True, **layers),
            keras.layers.GRU(5, return_sequences=True, **layers),
            keras.layers.Dense(
                CLASSES, "softmax" if softmax else None, **layers
            ),
        ]
    )


def words(rows, time):
    """Words, padded at the end, and for each its class."""
    x = checks.rng(3).integers(1, 9, (rows, time))
    x[np.arange(time) >= checks.rng(4).integers(2, time, (rows, 1))] = 0
    return x, x % CLASSES


def test_padding_has_no_influence_in_fit_and_evaluate():
    x, y = words(12, 7)
    spoiled = np.where(x == 0, 99, y)
    longer = [np.pad(array, ((0, 0), (0, 3))) for array in (x, spoiled)]

    def evaluate_fit_evaluate(x, y):
        keras.utils.set_random_seed(3)
        model = tagger()
        model.compile("adam", loss=SequenceCrossentropy())
        before = model.evaluate(x, y, batch_size=4, verbose=0)
        expected = reference(y, model.predict(x, verbose=0), x > 0).mean()
        np.testing.assert_allclose(before, expected, rtol=1e-5)
        model.fit(x, y, batch_size=4, epochs=2, verbose=0, shuffle=False)
        after = model.evaluate(x, y, batch_size=4, verbose=0)
        assert after < before
        return [before, after, *model.get_weights()]

    clean = evaluate_fit_evaluate(x, y)
    for a, b in zip(clean, evaluate_fit_evaluate(x, spoiled), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(clean, evaluate_fit_evaluate(*longer), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", [(7,), (7, 7)])
def test_weights_of_each_shape_in_fit(shape):
    x, y = words(7, 7)
    weight = checks.rng(5).random(shape).astype("float32")
    full = np.reshape(weight, (7, -1)) * (x > 0)
    model = tagger()
    model.compile("adam", loss=SequenceCrossentropy())
    expected = reference(y, model.predict(x, verbose=0), full).mean()
    # One batch: the loss of the first epoch is that before the first step.
    history = model.fit(x, y, sample_weight=weight, epochs=4, verbose=0).history
    np.testing.assert_allclose(history["loss"][0], expected, rtol=1e-5)
    assert history["loss"][-1] < history["loss"][0]
    np.testing.assert_allclose(
        model.evaluate(x, y, sample_weight=weight, verbose=0),
        reference(y, model.predict(x, verbose=0), full).mean(),
        rtol=1e-5,
    )


def test_sequences_of_several_lengths_and_targets_of_both_ranks():
    model = tagger(softmax=False)
    loss = SequenceCrossentropy(from_logits=True)
    model.compile("sgd", loss=loss)
    for rows, time in ((3, 4), (5, 6), (2, 9)):
        x, y = words(rows, time)
        value = model.evaluate(x, y, verbose=0)
        assert model.evaluate(x, y[..., None], verbose=0) == value
        assert np.isfinite(model.train_on_batch(x, y))


def test_unknown_sizes():
    loss = SequenceCrossentropy()
    compiled = tf.function(
        loss,
        input_signature=[
            tf.TensorSpec((None, None), "int32"),
            tf.TensorSpec((None, None, None)),
            tf.TensorSpec((None, None)),
        ],
    )
    for shape in ((2, 3), (4, 4)):
        y, p = labels(shape).astype("int32"), predictions(shape)
        weight = np.ones(shape, "float32")
        np.testing.assert_allclose(
            compiled(y, p, weight), loss(y, p), rtol=1e-6
        )


def test_jit_compile():
    x, y = words(6, 5)
    results = []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(1)
        model = tagger(5)
        model.compile(
            "sgd", loss=SequenceCrossentropy(), jit_compile=jit_compile
        )
        model.fit(x, y, epochs=2, batch_size=6, verbose=0)
        results.append(model.evaluate(x, y, verbose=0))
    np.testing.assert_allclose(*results, rtol=1e-5)


def test_float32_under_any_policy():
    x, y = words(6, 5)
    model = tagger(dtype="mixed_float16")
    loss = SequenceCrossentropy()
    y_pred = model(x)
    assert (y_pred.dtype, loss(y, y_pred).dtype) == ("float16", "float32")
    model.compile("sgd", loss=loss)
    assert np.isfinite(model.fit(x, y, verbose=0).history["loss"]).all()


@pytest.mark.parametrize("shape", [(4,), (4, 1), (1, 5), (5, 4), (4, 5, 3)])
def test_refuses_targets_that_would_broadcast(shape):
    with pytest.raises(ValueError, match=r"targets of shape \(4, 5\)"):
        SequenceCrossentropy()(np.zeros(shape), predictions((4, 5)))


@pytest.mark.parametrize("shape", [(5,), (4, 3), (1, 5), (4, 5, 3)])
def test_refuses_weights_that_would_broadcast(shape):
    loss = SequenceCrossentropy()
    with pytest.raises(ValueError, match=r"`sample_weight`.*\(4, 5\)"):
        loss(labels((4, 5)), predictions((4, 5)), np.ones(shape))


@pytest.mark.parametrize("shape", [(4,), (2, 4, 5)])
def test_refuses_predictions_that_are_no_sequences(shape):
    with pytest.raises(ValueError, match=r"shape \(batch, time, classes\)"):
        SequenceCrossentropy()(labels(shape), predictions(shape))


@pytest.mark.parametrize("ignore_class", [1.5, "none", True])
def test_refuses_what_is_no_class(ignore_class):
    with pytest.raises(ValueError, match="`ignore_class`"):
        SequenceCrossentropy(ignore_class=ignore_class)


def test_save_load_fit_save(tmp_path):
    for ignore_class in (-1, None):
        checks.check_config(SequenceCrossentropy(True, ignore_class, "sum"))
    x, y = words(8, 5)
    model = tagger(softmax=False)
    model.compile("adam", loss=SequenceCrossentropy(True, ignore_class=2))
    model.fit(x, y, verbose=0)
    for _ in range(2):
        loaded = checks.save_and_load(model, tmp_path)
        assert loaded.loss.get_config() == model.loss.get_config()
        assert loaded.evaluate(x, y, verbose=0) == model.evaluate(
            x, y, verbose=0
        )
        loaded.fit(x, y, verbose=0)
        model = loaded
