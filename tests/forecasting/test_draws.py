"""Draws of forecasts: one after another, each by its own parameters."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

import keras_seqtools as kst
from keras_seqtools.forecasting._draws import draws_of

STEPS, ROWS = 3, 4000
SEED = tf.constant(2**40 + 5, tf.int64)


class LaplaceInDisguise(kst.heads.NormalHead):
    """A head of a user, who took another for its parameters."""

    def make_distribution(self, loc, scale):
        from tensorflow_probability import distributions as tfd

        return tfd.Laplace(loc, scale)


class Rounded(kst.heads.NormalHead):
    """A normal head of a user, with draws of its own."""

    def sample(self, y_pred, n, seed=None):
        return keras.ops.round(super().sample(y_pred, n, seed))


def drawn_of(head, parameters):
    y_pred = tf.tile(tf.constant([[parameters]]), [ROWS, 1, 1])
    draw = draws_of(head, SEED, tf.constant(STEPS), y_pred)
    return np.concatenate([draw(step, y_pred) for step in range(STEPS)], axis=1)


LAWS = {
    "normal": (kst.heads.NormalHead(), [2.0, 3.0], stats.norm(2.0, 3.0)),
    "own": (LaplaceInDisguise(), [2.0, 3.0], stats.laplace(2.0, 3.0)),
    "student t": (
        kst.heads.StudentTHead(),
        [4.0, 2.0, 3.0],
        stats.t(4.0, 2.0, 3.0),
    ),
}


@pytest.mark.parametrize("name", LAWS)
def test_draws_follow_the_law_of_the_head(name):
    head, parameters, law = LAWS[name]
    drawn = drawn_of(head, parameters)[..., 0]
    for of_step in drawn.T:
        assert stats.kstest(of_step, law.cdf).pvalue > 1e-3
    ranks = law.cdf(drawn)
    r = np.corrcoef(ranks[:, 0], ranks[:, 1])[0, 1]
    assert abs(r) < 4 / np.sqrt(ROWS)


def test_a_head_may_have_draws_of_its_own():
    drawn = drawn_of(Rounded(), [2.0, 3.0])
    np.testing.assert_array_equal(drawn, np.round(drawn))


@pytest.mark.parametrize("name", LAWS)
def test_all_of_the_seed_counts(name):
    head, parameters, _ = LAWS[name]
    y_pred = tf.constant([[parameters]])
    # The last are pairs that were one seed while 32 bits were all that counted.
    seeds = (0, 1, 2**32, 2**32 + 1, 111_249, 194_612, 33_043, 148_116)
    drawn = set()
    for seed in seeds:
        seed = tf.constant(seed, tf.int64)
        draw = draws_of(head, seed, tf.constant(1), y_pred)
        drawn.add(draw(0, y_pred).numpy().item())
    assert len(drawn) == len(seeds)


class NextSeed(kst.heads.NormalHead):
    """A head of a user that reckons with the seed."""

    def sample(self, y_pred, n, seed=None):
        return super().sample(y_pred, n, seed + 1)


def test_a_head_of_a_user_gets_a_tensor_as_seed():
    assert np.isfinite(drawn_of(NextSeed(), [2.0, 3.0])).all()


def test_units_have_draws_of_their_own():
    drawn = drawn_of(kst.heads.NormalHead(2), [0.0, 5.0, 1.0, 2.0])
    assert drawn.shape == (ROWS, STEPS, 2)
    assert stats.kstest(drawn[:, 0, 1], stats.norm(5.0, 2.0).cdf).pvalue > 1e-3
    r = np.corrcoef(drawn[:, 0].T)[0, 1]
    assert abs(r) < 4 / np.sqrt(ROWS)


def test_what_is_not_known_is_nan():
    assert np.isnan(drawn_of(kst.heads.NormalHead(), [np.nan, 1.0])).all()
