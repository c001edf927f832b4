"""What epistemic uncertainty of dropout is not: a measure of how much data."""

import keras
import numpy as np
import pytest

import keras_seqtools as kst

L = keras.layers
STEPS, BATCH_SIZE = 1000, 64


def noisy_sine(rows, seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-3, 3, (rows, 1))
    return x, np.sin(x) + 0.3 * rng.normal(size=x.shape)


def epistemic_share(rows, rate):
    """Of the predictive variance, after the same number of steps."""
    keras.utils.set_random_seed(0)
    x, y = noisy_sine(rows, seed=1)
    head = kst.heads.NormalHead()
    model = keras.Sequential(
        [
            keras.Input((1,)),
            L.Dense(64, "relu"),
            L.Dense(64, "relu"),
            L.Dropout(rate),
            head,
        ]
    )
    model.compile(
        keras.optimizers.Adam(3e-3), kst.losses.NegativeLogLikelihood(head)
    )
    epochs = STEPS * BATCH_SIZE // rows
    model.fit(x, y, batch_size=BATCH_SIZE, epochs=epochs, verbose=0)
    x, _ = noisy_sine(1000, seed=2)
    u = kst.predict_uncertainty(model, x, seed=1, verbose=0)
    return np.mean(u.epistemic_std**2) / np.mean(u.std**2)


@pytest.mark.slow
def test_epistemic_follows_the_rate_and_not_the_data():
    few = epistemic_share(rows=64, rate=0.1)
    many = epistemic_share(rows=8000, rate=0.1)
    high = epistemic_share(rows=8000, rate=0.4)
    # The variance of a posterior would be 125 times smaller.
    assert many > few / 4
    assert high > 2.5 * many
