"""MeanMetric is Keras' own metric, of the mean and nothing else."""

import checks
import keras
import numpy as np
import pytest

from keras_seqtools.heads import NormalHead
from keras_seqtools.heads import PoissonHead
from keras_seqtools.losses import NegativeLogLikelihood
from keras_seqtools.metrics import MeanMetric


@pytest.mark.parametrize(
    "metric", ["mae", keras.metrics.RootMeanSquaredError()]
)
def test_equals_the_metric_of_the_mean(metric):
    y, log_rate = (
        checks.rng().poisson(3.0, (50, 1)),
        checks.rng(1).random((50, 1)),
    )
    weight = checks.rng(2).random(50)
    ours = MeanMetric(PoissonHead(), metric)
    reference = keras.metrics.get(metric)
    assert ours.name == reference.name
    ours.update_state(y, log_rate.astype("float32"), weight)
    found = float(ours.result())
    reference.reset_state()
    reference.update_state(y, np.exp(log_rate), weight)
    np.testing.assert_allclose(found, reference.result(), rtol=1e-6)
    ours.reset_state()
    assert float(ours.result()) == 0.0


def test_in_a_saved_model_with_masks(tmp_path):
    model = keras.Sequential(
        [keras.Input((5, 3)), keras.layers.Masking(), NormalHead()]
    )
    head = model.layers[-1]
    model.compile(
        "sgd",
        loss=NegativeLogLikelihood(head),
        metrics=[MeanMetric(head, "mae")],
    )
    x = checks.rng().normal(size=(8, 5, 3)).astype("float32")
    x[:, 3:] = 0.0
    y = checks.rng(1).normal(size=(8, 5, 1))
    model.fit(x, y, verbose=0)
    loaded = checks.save_and_load(model, tmp_path)
    error = np.abs(loaded.predict(x, verbose=0)[..., :1] - y)[:, :3].mean()
    scores = loaded.evaluate(x, y, return_dict=True, verbose=0)
    np.testing.assert_allclose(scores["mean_absolute_error"], error, rtol=1e-5)


def test_config_and_refusals():
    again = checks.check_config(MeanMetric(NormalHead(units=2), "mae"))
    assert again.head.units == 2
    with pytest.raises(TypeError, match=r"`head`"):
        MeanMetric("normal", "mae")
    with pytest.raises(ValueError, match="targets of shape"):
        MeanMetric(NormalHead(), "mae").update_state(
            np.zeros((4, 2)), np.ones((4, 2), "float32")
        )
