"""A head with no layer before it is the regression of the textbooks.

Fitted by Keras to convergence, it must find what statsmodels' maximum
likelihood finds: its likelihood, and every coefficient.
"""

import functools

import keras
import numpy as np
import pytest
import statsmodels.api as sm
import tensorflow as tf

from keras_seqtools.heads import NegativeBinomialHead
from keras_seqtools.heads import PoissonHead
from keras_seqtools.heads import ZeroInflatedNegativeBinomialHead
from keras_seqtools.heads import ZeroInflatedPoissonHead
from keras_seqtools.losses import NegativeLogLikelihood


@functools.cache
def doctor_visits():
    """All 20,190 rows: standardised regressors, and visits to a doctor."""
    table = sm.datasets.randhie.load_pandas()
    x, y = table.exog.to_numpy("float64"), table.endog.to_numpy("float64")
    return (x - x.mean(0)) / x.std(0), y


def maximum_likelihood(model):
    result = model.fit(method="bfgs", gtol=1e-6, maxiter=1000, disp=False)
    # A tenth of a standard error means something only if the reference itself
    # stands still: this is its distance from the optimum, in standard errors.
    assert np.abs(model.score(result.params) * result.bse).max() < 0.01
    return result


def fit(model, inputs, y, steps):
    """Full batches, and a learning rate that falls to zero."""
    head = model.layers[-1]
    rate = keras.optimizers.schedules.CosineDecay(0.1, steps)
    model.compile(keras.optimizers.Adam(rate), loss=NegativeLogLikelihood(head))
    batch = tf.data.Dataset.from_tensors((inputs, y)).cache()
    model.fit(batch.repeat(steps), shuffle=False, verbose=0)
    return model.evaluate(batch, verbose=0)


def coefficients(head, at_zero):
    """As statsmodels lays them out: of each parameter constant and weights.

    `at_zero` is what the model predicts where all regressors are zero.
    """
    constants = {name: v.numpy()[0] for name, v in head.split(at_zero).items()}
    dispersion = constants.pop("dispersion", [])
    columns = zip(constants.values(), head.kernel.numpy().T, strict=True)
    return np.concatenate([*map(np.concatenate, columns), dispersion])


def check_is(result, head, nll, at_zero):
    found = coefficients(head, at_zero)
    assert abs(nll + result.llf / result.nobs) < 0.002
    assert np.abs((found - result.params) / result.bse).max() < 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head_class", "reference", "steps"),
    [
        (PoissonHead, sm.Poisson, 300),
        (NegativeBinomialHead, sm.NegativeBinomial, 300),
        (ZeroInflatedPoissonHead, sm.ZeroInflatedPoisson, 600),
        (
            ZeroInflatedNegativeBinomialHead,
            sm.ZeroInflatedNegativeBinomialP,
            2000,
        ),
    ],
)
def test_equals_statsmodels(head_class, reference, steps):
    x, y = doctor_visits()
    design = sm.add_constant(x)
    inflation = (
        {"exog_infl": design} if "zero_logit" in head_class.parameters else {}
    )
    result = maximum_likelihood(reference(y, design, **inflation))
    head = head_class(
        dispersion="constant" if head_class.dispersions else "input"
    )
    model = keras.Sequential([keras.Input(x.shape[1:]), head])
    head.adapt(y)
    nll = fit(model, x.astype("float32"), y, steps)
    at_zero = model.predict(np.zeros((1, x.shape[1])), verbose=0)
    check_is(result, head, nll, at_zero)


def test_exposure_equals_statsmodels():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 3))
    exposure = rng.uniform(0.1, 20.0, (2000, 1))
    rate = np.exp(0.3 + x @ [0.4, -0.2, 0.0])
    y = rng.poisson(exposure[:, 0] * rate).astype(float)
    result = maximum_likelihood(
        sm.Poisson(y, sm.add_constant(x), exposure=exposure[:, 0])
    )
    features, time = keras.Input((3,)), keras.Input((1,))
    head = PoissonHead(exposure=True)
    model = keras.Model([features, time], head([features, time]))
    head.adapt(y, exposure)
    nll = fit(model, (x.astype("float32"), exposure), y, steps=300)
    at_zero = model.predict([np.zeros((1, 3)), np.ones((1, 1))], verbose=0)
    check_is(result, head, nll, at_zero)
