"""Sets of classes: published values, definitions in loops, coverage."""

import functools
import math
from fractions import Fraction

import checks
import keras
import numpy as np
import pytest

import keras_seqtools as kst
from keras_seqtools.calibration import APS
from keras_seqtools.calibration import LAC
from keras_seqtools.calibration import RAPS

raps = functools.partial(RAPS, penalty=0.2, regularize_from=2)
# By level and other arguments; what is not randomised takes no seed.
MAKES = {
    "LAC": lambda level=0.9, seed=None, **kwargs: LAC(level, **kwargs),
    "APS": lambda level=0.9, seed=None, **kwargs: APS(level, **kwargs),
    "APS randomised": functools.partial(APS, seed=3),
    "RAPS": lambda level=0.9, seed=None, **kwargs: raps(level, **kwargs),
    "RAPS randomised": functools.partial(raps, seed=3),
}
EVERY_KIND = pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)


def make_items(rng, shape, classes=6):
    """Labels drawn from probabilities flatter than those predicted."""
    truth = rng.dirichlet(np.ones(classes), shape)
    p = truth**1.5
    p /= p.sum(axis=-1, keepdims=True)
    u = rng.random((*shape, 1))
    y = np.minimum((truth.cumsum(axis=-1) < u).sum(axis=-1), classes - 1)
    return y, p


def test_lac_equals_published_values(published):
    inputs, values, rtol = published("lac_90")
    y, p = inputs["y"], inputs["probs"]
    sets = LAC(level=0.9).fit(y[:250], p[:250]).predict_set(p[250:])
    held = sets[np.arange(250), y[250:]]
    np.testing.assert_allclose(
        [sets.sum(axis=-1).mean(), held.mean()], values, rtol=rtol
    )


def score_of(kind, p, k):
    """The definitions of the papers, one class at a time."""
    if kind == "LAC":
        return 1 - p[k]
    order = sorted(range(len(p)), key=lambda j: -p[j])
    rank = order.index(k) + 1
    score = 1 - sum(p[j] for j in order[rank:])
    if kind.startswith("RAPS"):
        score += 0.2 * max(0, rank - 2)
    return score


@pytest.mark.parametrize("n", [9, 20, 31])
@pytest.mark.parametrize("level", [0.3, 0.7, 0.9])
@pytest.mark.parametrize("kind", ["LAC", "APS", "RAPS"])
def test_sets_hold_the_classes_of_large_conformal_p_value(n, level, kind):
    y, p = make_items(checks.rng(n), (n,))
    _, new = make_items(checks.rng(99), (40,))
    scores = [score_of(kind, row, k) for row, k in zip(p, y, strict=True)]
    sets = MAKES[kind](level).fit(y, p).predict_set(new)
    for item, k in np.ndindex(new.shape):
        score = score_of(kind, new[item], k)
        beyond = sum(other >= score for other in scores)
        p_value = Fraction(1 + beyond, n + 1)
        assert sets[item, k] == (p_value > 1 - Fraction(str(level)))


@pytest.mark.parametrize("kind", ["APS randomised", "RAPS randomised"])
def test_randomness_takes_a_uniform_share_off_the_class_itself(kind):
    # The quantile of a sure calibration row is its own score, p - u * p.
    y, p = make_items(checks.rng(1), (400,))
    u = []
    for row in range(400):
        one = MAKES[kind](0.5)
        one.seed = row
        one.fit(y[row : row + 1], p[row : row + 1])
        plain = score_of(kind, p[row], y[row])
        u.append((plain - one.quantile_) / p[row, y[row]])
    assert 0 <= min(u) < 0.02 < 0.98 < max(u) <= 1
    assert abs(np.mean(u) - 0.5) < 4 * math.sqrt(1 / 12 / 400)


@EVERY_KIND
def test_coverage_of_new_rows_is_exact(make):
    rates = []
    for repetition in range(200):
        rng = checks.rng(repetition)
        conformal = make(0.8, seed=repetition).fit(*make_items(rng, (52,)))
        y, p = make_items(rng, (60,))
        rates.append(conformal.predict_set(p)[np.arange(60), y].mean())
    error = np.std(rates, ddof=1) / math.sqrt(200)
    assert abs(np.mean(rates) - 43 / 53) < 3 * error  # ceil(53 * 0.8) = 43
    assert error < 0.01


@pytest.mark.parametrize("group", ["sequence", "horizon"])
@EVERY_KIND
def test_coverage_of_whole_sequences_and_of_each_step(make, group):
    rates = []
    for repetition in range(200):
        rng = checks.rng(repetition)
        conformal = make(0.8, seed=repetition, group=group)
        conformal.fit(*make_items(rng, (49, 3)))
        y, p = make_items(rng, (40, 3))
        held = np.take_along_axis(conformal.predict_set(p), y[..., None], -1)
        held = held[..., 0]
        rates.append(held.all(axis=-1) if group == "sequence" else held)
    rates = np.mean(rates, axis=1)
    error = rates.std(axis=0, ddof=1) / math.sqrt(200)
    assert (np.abs(rates.mean(axis=0) - 40 / 50) < 3 * error).all()
    assert (error < 0.01).all()


@EVERY_KIND
def test_masked_items_do_not_count(make):
    y, p = make_items(checks.rng(1), (30, 4))
    mask = np.arange(4) < checks.rng(2).integers(1, 5, (30, 1))
    bad_y, bad_p = np.where(mask, y, -1), np.where(mask[..., None], p, np.nan)
    for group in ("sequence", "horizon"):
        clean = make(0.8, group=group).fit(y, p, mask=mask)
        conformal = make(0.8, group=group).fit(bad_y, bad_p, mask=mask)
        np.testing.assert_array_equal(conformal.quantile_, clean.quantile_)
        sets = conformal.predict_set(bad_p, mask=mask)
        np.testing.assert_array_equal(
            sets, clean.predict_set(p, mask=mask) & mask[..., None]
        )
        assert not sets[~mask].any()
    first = make(0.8).fit(y[mask[:, 3], 3], p[mask[:, 3], 3])
    masked = make(0.8).fit(bad_y[:, 3], bad_p[:, 3], mask=mask[:, 3])
    assert masked.quantile_ == first.quantile_


@EVERY_KIND
def test_labels_in_every_form(make):
    y, p = make_items(checks.rng(1), (30,))
    expected = make().fit(y, p).quantile_
    for labels in (y[:, None], np.eye(6)[y], y.astype("float32")):
        assert make().fit(labels, p).quantile_ == expected


@EVERY_KIND
@pytest.mark.parametrize(
    ("dtype", "rtol"),
    [("float32", 1e-6), ("float16", 1e-3), ("bfloat16", 1e-2)],
)
def test_probabilities_in_every_precision(make, dtype, rtol):
    y, p = make_items(checks.rng(1), (30,))
    rounded = keras.ops.convert_to_numpy(keras.ops.cast(p, dtype))
    conformal = make().fit(y, rounded)
    np.testing.assert_allclose(
        conformal.quantile_, make().fit(y, p).quantile_, rtol=rtol
    )
    assert conformal.predict_set(rounded).shape == p.shape


@EVERY_KIND
def test_a_sigmoid_is_the_second_of_two_classes(make):
    y, p = make_items(checks.rng(1), (40,), classes=2)
    expected = make().fit(y, p).predict_set(p)
    for sigmoid in (p[:, 1], p[:, 1:]):
        for labels in (y, y[:, None]):
            conformal = make().fit(labels, sigmoid)
            np.testing.assert_array_equal(
                conformal.predict_set(sigmoid), expected
            )


@EVERY_KIND
def test_too_few_rows_give_all_classes_and_a_warning(make):
    y, p = make_items(checks.rng(1), (30,))
    for n in (0, 1, 8):
        with pytest.warns(UserWarning, match=rf"Of {n} scores"):
            conformal = make().fit(y[:n], p[:n])
        assert conformal.predict_set(p).all()


@EVERY_KIND
def test_no_rows_have_no_sets(make):
    y, p = make_items(checks.rng(1), (30,))
    assert make().fit(y, p).predict_set(p[:0]).shape == (0, 6)


@pytest.mark.parametrize("kind", ["LAC", "APS", "RAPS"])
def test_the_order_of_rows_is_of_no_account(kind):
    y, p = make_items(checks.rng(1), (30,))
    order = checks.rng(2).permutation(30)
    sets = MAKES[kind]().fit(y, p).predict_set(p)
    again = MAKES[kind]().fit(y[order], p[order]).predict_set(p[order])
    np.testing.assert_array_equal(again, sets[order])


def test_classes_that_never_came_and_probabilities_of_0_and_1():
    y, p = np.zeros(19, int), np.tile([1.0, 0.0, 0.0], (19, 1))
    new = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.5, 0.25, 0.25]])
    expected = [[True, False, False], [False, False, True], [False] * 3]
    sets = LAC(0.9).fit(y, p).predict_set(new)
    np.testing.assert_array_equal(sets, expected)
    # All classes add up to 1, however they are rounded on the way.
    assert APS(0.9).fit(y, p).predict_set(new).all()


def test_the_last_score_is_1_and_not_nearly():
    p = checks.rng(1).dirichlet(np.ones(10), 200)
    last = p.argmin(axis=-1)
    conformal = APS(0.9).fit(last, p)
    assert conformal.quantile_ == 1.0
    assert conformal.predict_set(p).all()


def test_a_set_is_empty_where_nothing_is_likely_enough():
    y, p = make_items(checks.rng(1), (99,))
    flat, sure = np.full((1, 6), 1 / 6), np.eye(6)[:1]
    assert not LAC(0.3).fit(y, p).predict_set(flat).any()
    assert not APS(0.3).fit(y, p).predict_set(sure).any()


def test_a_penalty_makes_the_longest_sets_shorter():
    y, p = make_items(checks.rng(1), (300,))
    lengths = [
        RAPS(0.9, penalty, 2).fit(y, p).predict_set(p).sum(axis=-1).max()
        for penalty in (0.0, 1.0)
    ]
    assert lengths[0] > lengths[1]
    np.testing.assert_array_equal(
        RAPS(0.9, 0.0).fit(y, p).predict_set(p),
        APS(0.9).fit(y, p).predict_set(p),
    )


def test_the_seed_decides():
    y, p = make_items(checks.rng(1), (100,))
    sets = [APS(0.8, seed).fit(y, p).predict_set(p) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(sets[0], sets[1])
    assert (sets[0] != sets[2]).any()


def test_rows_asked_one_by_one_draw_apart():
    y, p = make_items(checks.rng(1), (100,))
    conformal = APS(0.8, seed=1).fit(y, p)
    at_once = conformal.predict_set(p)
    conformal.fit(y, p)
    by_row = [conformal.predict_set(row[None])[0] for row in p]
    np.testing.assert_array_equal(by_row, at_once)


def test_what_is_fitted_and_what_is_predicted_draw_apart():
    y, p = make_items(checks.rng(1), (1,))
    held = [
        APS(0.5, seed).fit(y, p).predict_set(p)[0, y[0]] for seed in range(100)
    ]
    assert 30 < sum(held) < 70  # the same share twice would hold it always


def make_series_model(activation, units):
    inputs = keras.Input((5,))
    x = keras.layers.Embedding(6, 4, mask_zero=True)(inputs)
    x = kst.layers.MCDropout(0.3)(x)
    outputs = keras.layers.Dense(units, activation=activation)(x)
    return keras.Model(inputs, outputs)


@pytest.mark.parametrize(
    ("activation", "units"), [("softmax", 3), ("sigmoid", 1)]
)
def test_results_bring_their_probabilities_and_mask(activation, units):
    tokens = checks.rng(1).integers(1, 6, (30, 5))
    tokens[:, 3:] *= checks.rng(2).integers(0, 2, (30, 1))
    model = make_series_model(activation, units)
    result = kst.predict_uncertainty(model, tokens, num_samples=5, verbose=0)
    assert not result.mask.all()
    y = checks.rng(3).integers(0, 2, (30, 5))
    few = np.arange(30) < 25
    mask = result.mask & few[:, None]
    for group in ("sequence", "horizon"):
        bad = np.where(result.mask, y, -1)
        conformal = APS(0.8, group=group).fit(bad, result, mask=few)
        p = np.asarray(result.probabilities)
        expected = APS(0.8, group=group).fit(y, p, mask=mask)
        np.testing.assert_array_equal(
            conformal.predict_set(result[:4]),
            expected.predict_set(p[:4], mask=result.mask[:4]),
        )


def test_refuses_labels_that_are_not_one_choice_of_several():
    inputs = keras.Input((2,))
    x = kst.layers.MCDropout(0.3)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="sigmoid")(x))
    result = kst.predict_uncertainty(
        model, np.ones((20, 2)), task="multilabel", num_samples=5, verbose=0
    )
    with pytest.raises(ValueError, match="add up to 1"):
        LAC(0.8).fit(np.zeros(20, int), result)


@EVERY_KIND
def test_refuses_bad_probabilities_and_labels(make):
    y, p = make_items(checks.rng(1), (30,))
    conformal = make().fit(y, p)
    for value in (np.nan, -0.5, 3.0):
        bad = p.copy()
        bad[4, 2] = value
        with pytest.raises(ValueError, match="must be probabilities"):
            make().fit(y, bad)
        with pytest.raises(ValueError, match="must be probabilities"):
            conformal.predict_set(bad)
    with pytest.raises(ValueError, match="add up to 1"):
        make().fit(y, p / 2)
    for label in (-1, 6):
        with pytest.raises(ValueError, match="must be classes"):
            make().fit(np.where(np.arange(30) == 7, label, y), p)
    with pytest.raises(ValueError, match="one label, or one one-hot row"):
        make().fit(y[:29], p)
    with pytest.raises(ValueError, match="6 classes, as in `fit`"):
        conformal.predict_set(p[:, :5])
    with pytest.raises(ValueError, match="is not fitted"):
        make().predict_set(p)


@EVERY_KIND
def test_refuses_steps_without_a_group_and_rows_of_another_shape(make):
    y, p = make_items(checks.rng(1), (30, 4))
    with pytest.raises(ValueError, match=r"several values.*group=None"):
        make().fit(y, p)
    conformal = make(group="horizon").fit(y, p)
    with pytest.raises(ValueError, match=r"fitted, \(4,\).*\(3,\)"):
        conformal.predict_set(p[:, :3])


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("level", {"level": 1.0}),
        ("group", {"group": "step"}),
        ("seed", {"seed": -1}),
        ("seed", {"seed": 0.5}),
        ("penalty", {"penalty": -0.1}),
        ("penalty", {"penalty": np.nan}),
        ("regularize_from", {"regularize_from": 0}),
    ],
)
def test_refuses_bad_arguments(name, kwargs):
    with pytest.raises(ValueError, match=rf"`{name}`.*Received: {name}="):
        RAPS(**kwargs)
