"""The doctor visits example runs, and its scores mean what they say."""

import doctor_visits
import keras
import numpy as np
import pytest
import statsmodels.api as sm
from doctor_visits import Part
from scipy import stats

from keras_seqtools.heads import PoissonHead
from keras_seqtools.heads import ZeroInflatedPoissonHead


def poisson_part(rows, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 2))
    y = rng.poisson(np.exp(1.0 + x @ [0.3, -0.2])).astype(float)
    return Part(x, y, np.arange(rows))


def model_of(head, bias):
    """Whatever the two regressors, it predicts `bias`."""
    model = keras.Sequential([keras.Input((2,)), head])
    head.kernel.assign(np.zeros(head.kernel.shape))
    head.bias.assign(bias)
    return model


@pytest.mark.slow
def test_runs(tmp_path, capsys):
    doctor_visits.main(["--quick", "--picture", str(tmp_path / "visits.png")])
    assert (tmp_path / "visits.png").stat().st_size > 10_000
    out = capsys.readouterr().out
    assert all(out.count(f"\n{law}") == 3 for law in doctor_visits.LAWS)


def test_parts_share_no_person_and_lose_no_row():
    parts = doctor_visits.load()
    rows = [{tuple(x) for x in part.x} for part in parts]
    assert len(set().union(*rows)) == sum(map(len, rows))
    assert sum(len(part.y) for part in parts) == 20_190
    np.testing.assert_allclose(parts[0].x.mean(0), 0.0, atol=1e-12)
    np.testing.assert_allclose(parts[0].x.std(0), 1.0)


def test_people():
    x = np.array([[1.0, 2.0], [1.0, 3.0], [1.0, 2.0], [0.0, 3.0]])
    a, b, c, d = doctor_visits.people(x)
    assert a == c
    assert len({a, b, d}) == 3


def test_scores():
    part = poisson_part(2000, seed=1)
    model = model_of(PoissonHead(), [np.log(3.0)])
    scores = doctor_visits.scores(model, part)
    expected = stats.poisson(3.0)
    assert scores["weights"] == 3
    assert scores["zeros"] == pytest.approx(np.exp(-3.0), rel=1e-5)
    assert scores["pearson"] == pytest.approx(
        np.square(part.y - 3.0).mean() / 3.0, rel=1e-5
    )
    nll = -expected.logpmf(part.y)
    assert scores["nll"] == pytest.approx(nll.mean(), rel=1e-5)
    np.testing.assert_allclose(doctor_visits.nll(model, part), nll, rtol=1e-4)
    low, high = expected.interval(0.9)
    inside = (low <= part.y) & (part.y <= high)
    assert scores["coverage_90"] == pytest.approx(inside.mean())


def test_expected_frequencies():
    zero_logit, rates = np.array([-1.0, 2.0]), np.array([0.5, 8.0])
    y_pred = np.stack([zero_logit, np.log(rates)], axis=1).astype("float32")
    inflation = 1.0 / (1.0 + np.exp(-zero_logit))
    k = np.arange(doctor_visits.COUNTS)
    pmf = stats.poisson(rates[:, None]).pmf(k) * (1.0 - inflation)[:, None]
    pmf[:, 0] += inflation
    np.testing.assert_allclose(
        doctor_visits.expected_frequencies(ZeroInflatedPoissonHead(), y_pred),
        pmf.mean(0),
        rtol=1e-4,
    )


def test_standard_error_of_rows_of_one_person():
    rng = np.random.default_rng(0)
    values = rng.normal(size=1000)
    alone = doctor_visits.standard_error(values, np.arange(1000))
    assert alone == pytest.approx(values.std() / np.sqrt(1000))
    # Three equal rows of each say no more than one.
    thrice = doctor_visits.standard_error(
        np.repeat(values, 3), np.repeat(np.arange(1000), 3)
    )
    assert thrice == pytest.approx(alone)


def test_maximum_likelihood():
    train, test = poisson_part(2000, seed=3), poisson_part(500, seed=4)
    fit = sm.Poisson(train.y, sm.add_constant(train.x)).fit(disp=False)
    rate = np.exp(sm.add_constant(test.x) @ fit.params)
    expected = -stats.poisson(rate).logpmf(test.y).mean()
    found = doctor_visits.maximum_likelihood("Poisson", train, test)
    assert found == pytest.approx(expected, abs=1e-6)


def test_fit_finds_the_rate():
    train, validation = poisson_part(5000, seed=5), poisson_part(500, seed=6)
    model = doctor_visits.fit_model("Poisson", False, train, validation, 10)
    (head,) = model.layers
    intercept = head.bias + head.target_shift
    np.testing.assert_allclose(
        np.append(head.kernel[:, 0], intercept), [0.3, -0.2, 1.0], atol=0.04
    )
