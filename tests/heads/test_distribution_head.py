"""The layer: offsets, adapting, and what it refuses."""

import checks
import keras
import numpy as np
import pytest
from scipy import stats

from keras_seqtools.heads import BetaHead
from keras_seqtools.heads import DistributionHead
from keras_seqtools.heads import GammaHead
from keras_seqtools.heads import NormalHead
from keras_seqtools.heads import PoissonHead
from keras_seqtools.heads import StudentTHead
from keras_seqtools.heads import links


def test_parameters_are_blocks_of_units_in_their_order():
    y_pred = np.arange(6.0, dtype="float32").reshape(1, 6)
    parts = StudentTHead(units=2).split(y_pred)
    assert list(parts) == ["df", "loc", "scale"]
    np.testing.assert_array_equal(parts["loc"], [[2.0, 3.0]])


@pytest.mark.parametrize("shape", [(7, 3), (7, 4, 3)])
def test_offset_shifts_the_location_and_nothing_else(shape):
    x = checks.rng().normal(size=shape).astype("float32")
    offset = 100.0 * checks.rng(1).normal(size=(*shape[:-1], 2))
    offset = offset.astype("float32")
    head = StudentTHead(units=2, offset=True)
    with_offset = head.split(head([x, offset]))
    without = head.split(head([x, np.zeros_like(offset)]))
    np.testing.assert_allclose(
        with_offset["loc"], without["loc"] + offset, rtol=1e-5
    )
    for name in ("df", "scale"):
        np.testing.assert_array_equal(with_offset[name], without[name])


def test_offset_saves_and_keeps_the_mask_of_the_features(tmp_path):
    tokens, last = keras.Input((5,)), keras.Input((5, 1))
    h = keras.layers.Embedding(9, 3, mask_zero=True)(tokens)
    model = keras.Model([tokens, last], NormalHead(offset=True)([h, last]))
    x = [np.array([[1, 2, 3, 0, 0]]), np.ones((1, 5, 1))]
    np.testing.assert_array_equal(model(x)._keras_mask, x[0] != 0)
    loaded = checks.save_and_load(model, tmp_path)
    np.testing.assert_array_equal(model(x), loaded(x))


def test_adapt_speaks_of_the_change_where_there_is_an_offset():
    rng = checks.rng()
    last = rng.normal(150.0, 40.0, (2000, 1))
    y = last + rng.normal(3.0, 10.0, (2000, 1))
    head = NormalHead(offset=True)
    head.build([(None, 3), (None, 1)])
    head.adapt(y, offset=last)
    zeros = np.zeros((1, 3), "float32")
    y_pred = head([zeros, np.full((1, 1), 80.0, "float32")])
    change = y - last
    assert abs(float(head.mean(y_pred)[0, 0]) - 80 - change.mean()) < 1e-2
    assert abs(float(head.stddev(y_pred)[0, 0]) / change.std() - 1) < 1e-3


def test_adapted_weights_are_saved_but_not_trained(tmp_path):
    model = keras.Sequential([keras.Input((3,)), NormalHead()])
    model.layers[-1].adapt(np.array([100.0, 120.0, 150.0]))
    assert [w.name for w in model.trainable_weights] == ["kernel", "bias"]
    loaded = checks.save_and_load(model, tmp_path)
    for old, new in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(old.numpy(), new.numpy())


def test_targets_outside_the_support_have_no_likelihood():
    y_pred = np.zeros((4, 1), "float32")
    y = np.array([-1.0, 1.5, np.nan, np.inf])
    assert np.isnan(PoissonHead().log_prob(y, y_pred)).all()


@pytest.mark.parametrize(
    ("y", "where"),
    [
        ([0.0, 2.0, -1.0], r"y\[2\] = -1"),
        ([[0.0], [2.5]], r"y\[1, 0\] = 2.5"),
        ([0.0, np.nan], r"y\[1\] = nan"),
        ([np.inf], r"y\[0\] = inf"),
    ],
)
def test_validate_names_the_first_bad_count(y, where):
    with pytest.raises(ValueError, match=rf"finite integers.*{where}"):
        PoissonHead().validate(y)


@pytest.mark.parametrize(
    ("head", "y", "message"),
    [
        (BetaHead(), [0.5, 1 - 1e-12], r"between 0 and 1.*y\[1\]"),
        (NormalHead(), [1e300], r"y\[0\] = 1e\+300"),
        (GammaHead(), [1.0, 1e-40], r"between 0 and inf.*y\[1\]"),
        (NormalHead(), ["a"], "expects numbers.*dtype <U1"),
        (NormalHead(), [None], "expects numbers.*dtype object"),
    ],
)
def test_validate_sees_what_the_loss_will_see(head, y, message):
    with pytest.raises(ValueError, match=message):
        head.validate(y)


def test_small_probabilities_of_much_keep_their_digits():
    y_pred = np.array([[0.0, 1.0]], "float32")
    np.testing.assert_allclose(
        NormalHead().prob_above(y_pred, 10.0), stats.norm.sf(10.0), rtol=1e-6
    )


def test_validate_knows_units():
    NormalHead(units=2).validate(np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"shape \(\.\.\., 2\)"):
        NormalHead(units=2).validate(np.zeros(3))


@pytest.mark.parametrize("shape", [(5,), (4, 1, 1), (1, 1), (4, 2), (1, 4), ()])
def test_nothing_broadcasts(shape):
    y_pred = np.ones((4, 2), "float32")
    with pytest.raises(ValueError, match=r"targets of shape \(4, 1\)"):
        NormalHead().log_prob(np.zeros(shape), y_pred)


def test_last_axis_of_one_unit_may_be_missing():
    y_pred, y = np.ones((4, 2), "float32"), np.arange(4.0)
    np.testing.assert_array_equal(
        NormalHead().log_prob(y, y_pred),
        NormalHead().log_prob(y[:, None], y_pred),
    )


class Empty(DistributionHead):
    pass


class Unfinished(DistributionHead):
    parameters = {"loc": links.identity}


def test_refusals():
    with pytest.raises(ValueError, match="no location"):
        BetaHead(offset=True)
    with pytest.raises(ValueError, match="no offset but `exposure=True`"):
        PoissonHead(offset=True)
    with pytest.raises(ValueError, match="no scale"):
        PoissonHead(min_scale=0.1)
    with pytest.raises(ValueError, match=r"`min_scale`.*positive"):
        NormalHead(min_scale=0.0)
    with pytest.raises(ValueError, match="no dispersion"):
        PoissonHead(dispersion="constant")
    with pytest.raises(ValueError, match=r"'input' or 'constant'"):
        NormalHead(dispersion="none")
    with pytest.raises(ValueError, match=r"`units`"):
        NormalHead(units=0)
    with pytest.raises(ValueError, match=r"`dtype`.*float16"):
        NormalHead(dtype="float16")
    with pytest.raises(ValueError, match="cannot stand in a Sequential"):
        keras.Sequential([keras.Input((3,)), NormalHead(offset=True)])
    with pytest.raises(ValueError, match=r"offset of shape \(None, 2\)"):
        NormalHead(units=2, offset=True)([keras.Input((3,)), keras.Input((1,))])
    with pytest.raises(ValueError, match=r"emits 2 numbers.*\(4, 3\)"):
        NormalHead().mean(np.ones((4, 3), "float32"))
    with pytest.raises(TypeError, match="make_distribution"):
        Unfinished().distribution(np.ones((4, 1), "float32"))
    with pytest.raises(TypeError, match="must define `parameters`"):
        Empty()
    with pytest.raises(ValueError, match="takes one input, unless"):
        PoissonHead()([np.ones((4, 3)), np.ones((4, 1))])
    with pytest.raises(TypeError):
        NormalHead().prob_below(np.ones((4, 2), "float32"), [1.0, 2.0])
    with pytest.raises(ValueError, match=r"`q`"):
        NormalHead().quantile(np.ones((4, 2), "float32"), 1.0)


def test_adapt_refuses():
    head = NormalHead()
    with pytest.raises(ValueError, match="needs a built head"):
        head.adapt([1.0, 2.0])
    head.build((None, 3))
    with pytest.raises(ValueError, match="with an offset"):
        head.adapt([1.0, 2.0], offset=[1.0, 2.0])
    for y in ([1.0, 1.0], [1.0], []):
        with pytest.raises(ValueError, match="targets that vary"):
            head.adapt(y)
    with pytest.raises(ValueError, match=r"y\[1\] = nan"):
        head.adapt([1.0, np.nan])
    head = NormalHead(offset=True)
    head.build([(None, 3), (None, 1)])
    with pytest.raises(ValueError, match="without an offset"):
        head.adapt([1.0, 2.0])
    with pytest.raises(
        ValueError, match=r"one offset per target.*3 for 2 targets"
    ):
        head.adapt([1.0, 2.0], offset=[1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="finite offset"):
        head.adapt([1.0, 2.0], offset=[1.0, np.nan])
    with pytest.raises(ValueError, match="vary beside the offset"):
        head.adapt([1.0, 2.0], offset=[1.0, 2.0])
