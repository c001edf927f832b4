"""What mixtures promise beyond the table of families."""

import checks
import numpy as np
import pytest
import references
from scipy import stats

from keras_seqtools.heads import DiscretizedLogisticMixtureHead
from keras_seqtools.heads import NormalMixtureHead


def test_one_component_is_its_family():
    y_pred = np.array([[7.0, 3.0, 2.0]], "float32")  # the logit says nothing
    head, y = NormalMixtureHead(components=1), np.array([[4.0]])
    law = stats.norm(3.0, 2.0)
    np.testing.assert_allclose(head.log_prob(y, y_pred), law.logpdf(y), 1e-5)
    # Float32 tells no two densities apart that close to a flat top.
    np.testing.assert_allclose(head.mode(y_pred), [[3.0]], atol=1e-3 * 2.0)
    np.testing.assert_allclose(
        head.quantile(y_pred, 0.1), [[[law.ppf(0.1)]]], rtol=1e-5
    )


def test_every_unit_has_a_mixture_of_its_own():
    rng = checks.rng()
    logits, loc = rng.normal(size=(2, 5, 2, 3))
    scale = rng.uniform(0.5, 2.0, (5, 2, 3))
    parts = [values.reshape(5, 6) for values in (logits, loc, scale)]
    y_pred = np.concatenate(parts, axis=-1).astype("float32")
    head, y = NormalMixtureHead(units=2, components=3), rng.normal(size=(5, 2))
    law = references.Mixture(logits, stats.norm(loc, scale))
    np.testing.assert_allclose(head.mean(y_pred), law.mean(), rtol=1e-4)
    np.testing.assert_allclose(
        head.log_prob(y, y_pred), law.logpdf(y), rtol=1e-4
    )


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-7, 3), (0, 255)])
def test_probabilities_of_a_range_add_up(low, high):
    head = DiscretizedLogisticMixtureHead(low, high, components=2)
    # Wide and narrow, inside the range and far outside on either side.
    logits, scale = np.zeros((4, 2)), np.array([[0.01, 3.0]] * 4)
    loc = np.array([[0.0, 1.0], [low, high], [-1e3, 1e3], [0.5, 0.5]])
    y_pred = np.hstack([logits, loc, scale]).astype("float32")
    integers = np.arange(low, high + 1.0)
    y = np.repeat(integers[:, None, None], 4, axis=1)
    log_prob = head.log_prob(y, np.repeat(y_pred[None], len(y), axis=0))
    assert not np.isnan(log_prob).any()
    np.testing.assert_allclose(np.exp(log_prob).sum(0), 1.0, rtol=1e-5)
    for y in (low - 1.0, high + 1.0, low + 0.5):
        y = np.full((4, 1), y)
        assert np.isnan(head.log_prob(y, y_pred)).all()
    np.testing.assert_array_equal(head.cdf(np.full((4, 1), high), y_pred), 1.0)
    np.testing.assert_array_equal(
        head.cdf(np.full((4, 1), low - 1.0), y_pred), 0.0
    )


def test_a_range_must_be_one():
    for low, high in ((3, 3), (4, 3), (0.5, 3)):
        with pytest.raises(ValueError, match="low < high"):
            DiscretizedLogisticMixtureHead(low, high)
    with pytest.raises(ValueError, match=r"`components`"):
        NormalMixtureHead(components=0)
