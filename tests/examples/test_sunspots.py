"""The sunspots example beats both naive forecasts, and its bands hold."""

import types

import keras
import numpy as np
import pytest
import sunspots
from statsmodels.tsa.api import AutoReg

from keras_seqtools.forecasting import Forecast


def test_data_are_the_published_ones():
    spots = sunspots.load()
    assert len(spots) == 2008 - 1700 + 1
    year = dict(enumerate(spots, start=1700))
    # The highest of all, and the Dalton minimum.
    assert (year[1957], year[1810]) == (190, 0)
    np.testing.assert_array_equal(spots, np.rint(spots))


def test_feedback_makes_the_input_of_a_draw():
    spots = np.array([[[0.0], [49.0], [190.0]]])
    np.testing.assert_allclose(
        sunspots.feedback(spots, None), sunspots.scaled(spots), rtol=1e-6
    )


def test_the_model_is_fitted_to_the_next_year(monkeypatch):
    fitted = []
    monkeypatch.setattr(
        keras.Model, "fit", lambda model, x, y, **_: fitted.extend((x, y))
    )
    spots = sunspots.load()[:60]
    sunspots.fit_model(spots, epochs=1, seed=0)
    x, y = fitted
    np.testing.assert_allclose(x[:, 1:], np.sqrt(y[:, :-1]) / 10.0)
    np.testing.assert_array_equal(y[0, :, 0], spots[1 : sunspots.WINDOW + 1])
    np.testing.assert_array_equal(y[:, -1, 0], spots[sunspots.WINDOW :])


def test_the_model_starts_at_the_autoregression(monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: None)
    spots = sunspots.load()
    model = sunspots.fit_model(spots, epochs=1, seed=0)
    y_pred = model.predict(sunspots.scaled(spots)[None, :-1, None], verbose=0)
    mean = np.asarray(model.layers[-1].mean(y_pred))[0, :, 0]
    of_lags = AutoReg(sunspots.scaled(spots), sunspots.LAGS).fit()
    expected = np.square(2.5 * np.logaddexp(0.0, 4.0 * of_lags.fittedvalues))
    ratio = mean[sunspots.LAGS - 1 :] / expected
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)


def test_validation_forecasts_from_every_year_once(monkeypatch):
    fitted, origins = [], []
    monkeypatch.setattr(
        sunspots, "fit_model", lambda spots, *_: fitted.append(len(spots))
    )

    def backtest(model, spots, first, last, num_samples):
        assert first == sunspots.FIRST_YEAR + fitted[-1]  # nothing seen of it
        found = np.arange(first, last - sunspots.HORIZON + 2)
        origins.extend(found)
        pooled = {"model": {"crps": 1.0, "coverage": 0.8}}
        return types.SimpleNamespace(origin=found, pooled=pooled)

    monkeypatch.setattr(sunspots, "backtest", backtest)
    sunspots.validate(sunspots.load(), epochs=1, seed=0, num_samples=1)
    assert origins == [*range(1800, 1920 - sunspots.HORIZON + 2)]


def test_highest_year_of_each_path(capsys):
    samples = np.zeros((101, 1, 11, 1))
    samples[:, 0, 4, 0] = np.arange(101)  # whatever its other years
    run = Forecast(samples, samples, None, True, 0, {}, None)
    sunspots.print_highest(run, 2009)
    printed = " ".join(capsys.readouterr().out.split())
    assert ": 50 spots" in printed
    assert "80 % between 10 and 90" in printed


@pytest.mark.slow
def test_runs(tmp_path, capsys):
    path = tmp_path / "sunspots.png"
    sunspots.main(["--quick", "--picture", str(path)])
    assert path.stat().st_size > 10_000
    printed = capsys.readouterr().out
    assert "Trained to 1920, scored to 2008." in printed
    assert "The highest year of 2009 to 2019" in printed


@pytest.mark.slow
def test_beats_both_naive_forecasts():
    spots, (first, last) = sunspots.load(), sunspots.TEST
    past = sunspots.to(first - 1, spots)
    model = sunspots.fit_model(past, sunspots.EPOCHS, seed=0)
    found = sunspots.backtest(model, spots, first, last, num_samples=1000)
    assert len(found.origin) == 2008 - 1921 + 1 - sunspots.HORIZON + 1
    crps = {name: scores["crps"] for name, scores in found.pooled.items()}
    assert crps["model"] < min(crps["persistence"], crps["seasonal naive"])
    assert 0.7 <= found.pooled["model"]["coverage"] <= 0.9
