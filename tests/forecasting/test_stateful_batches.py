"""StatefulBatches: every step once, each row going on where it stopped."""

import itertools

import checks
import keras
import numpy as np
import pytest
import tensorflow as tf
from long_series import coded
from long_series import random_stamps

from keras_seqtools.forecasting import StatefulBatches


def check_batches(batches, series, gaps):
    """Follows each row through all batches, step by step."""
    pieces = [
        one[part]
        for one, breaks in zip(series, gaps, strict=True)
        for part in np.split(np.arange(len(one)), breaks)
    ]
    follows = {a: b for piece in pieces for a, b in itertools.pairwise(piece)}
    seen, total = [], 0.0
    for row in range(batches.batch_size):
        last, full = None, True
        for number, (x, y, weight) in enumerate(batches):
            x, y, weight = x[row], y[row], weight[row]
            assert x.shape == (batches.steps, 1)
            np.testing.assert_array_equal(x, -y)
            count = np.count_nonzero(weight)
            assert (weight[:count] > 0).all()
            assert (x[count:] == x[count - 1]).all()
            steps = x[:count, 0]
            seen.extend(steps)
            total += weight.sum()
            if count and not batches.fresh[number, row]:
                assert full
                assert follows[last] == steps[0]
            assert all(follows[a] == b for a, b in itertools.pairwise(steps))
            last, full = x[-1, 0], count == batches.steps
    assert sorted(seen) == sorted(np.concatenate(series))
    np.testing.assert_allclose(
        total, len(batches) * batches.batch_size * batches.steps, rtol=1e-5
    )


@pytest.mark.parametrize(
    "lengths",
    [[100], [103], [7], [1], [50, 50, 50], [300, 5, 9, 30, 2], [20] * 11],
    ids=str,
)
@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("with_gaps", [False, True])
def test_no_step_is_lost_and_no_row_mixes_series(
    lengths, batch_size, with_gaps
):
    series, rng = coded(lengths), checks.rng()
    stamped = [random_stamps(length, rng) for length in lengths]
    batches = StatefulBatches(
        series,
        [-one for one in series],
        batch_size,
        steps=6,
        timestamps=[stamps for stamps, _ in stamped] if with_gaps else None,
    )
    gaps = [gaps if with_gaps else [] for _, gaps in stamped]
    check_batches(batches, series, gaps)


def test_one_series_is_cut_into_equal_rows_that_follow_each_other():
    batches = StatefulBatches(np.arange(120), np.arange(120), 4, steps=10)
    assert len(batches) == 3
    for number, (x, y, weight) in enumerate(batches):
        expected = 30 * np.arange(4)[:, None] + 10 * number + np.arange(10)
        np.testing.assert_array_equal(x[..., 0], expected)
        np.testing.assert_array_equal(y[..., 0], expected)
        assert (weight == 1.0).all()
    assert batches.fresh.tolist() == [[True] * 4, [False] * 4, [False] * 4]


def test_a_long_series_takes_most_rows_and_short_ones_share_the_others():
    series = coded([1000] + [30] * 10)
    batches = StatefulBatches(series, series, 8, steps=10)
    # 100 batches and 30: of 8 rows the long one takes 6, of 17 or 16 batches.
    # The others hold five short ones each, of 3 batches.
    assert len(batches) == 17
    assert batches.fresh.sum(0).tolist() == [1, 1, 1, 1, 1, 1, 5, 5]


def make_model(batch_size=2):
    model = keras.Sequential(
        [
            keras.Input((None, 1), batch_size=batch_size),
            keras.layers.GRU(3, return_sequences=True, stateful=True),
            keras.layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize("built_before", [False, True])
def test_fit_must_not_shuffle(built_before):
    series = np.arange(60.0) / 60
    batches, model = StatefulBatches(series, series, 2, 5), make_model()
    if built_before:
        model.fit(batches, epochs=3, shuffle=False, verbose=0)
        model.evaluate(batches, verbose=0)
        model.predict(batches, verbose=0)
    with pytest.raises(tf.errors.InvalidArgumentError, match="shuffle=False"):
        model.fit(batches, epochs=3, verbose=0)
    model.fit(batches, validation_data=batches, shuffle=False, verbose=0)


def test_an_epoch_is_read_in_order_and_else_anything():
    batches = StatefulBatches(np.arange(60), np.arange(60), 2, 5)
    batches[3]
    batches.on_epoch_begin()
    for index in (0, 1, 0, 1, 2):  # Keras may start again
        batches[index]
    with pytest.raises(ValueError, match=r"batch 3\. Received: batch 5"):
        batches[5]
    batches[3]
    batches.on_epoch_end()
    batches[1]


@pytest.mark.parametrize("name", ["batch_size", "steps"])
def test_refuses_sizes_below_one(name):
    arguments = {"batch_size": 2, "steps": 5, name: 0}
    with pytest.raises(ValueError, match=name):
        StatefulBatches(np.arange(9), np.arange(9), **arguments)


def test_refuses_targets_of_another_length():
    with pytest.raises(ValueError, match="as long as `series`"):
        StatefulBatches(np.arange(9), np.arange(8), 2, 3)
