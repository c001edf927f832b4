"""The series are the published ones, and so are the errors of the stacks."""

import causal_convolutions
import numpy as np
import pytest

from keras_seqtools.forecasting import forecast


@pytest.fixture(scope="module")
def parts():
    return causal_convolutions.make_series()


def test_series_are_the_published_ones(parts):
    learned, others = parts
    assert learned.seen.shape == (800, 128, 1)
    assert others.ahead.shape == (200, 10, 1)
    first = learned.seen[0, :3, 0]
    np.testing.assert_allclose(
        first, [0.16785168, -0.01491477, -0.28712816], atol=1e-8
    )
    floor = np.mean(np.square(others.ahead - others.signal[:, :10]))
    assert floor == pytest.approx(0.0091, abs=5e-5)
    nll = causal_convolutions.oracle_nll(others)[:, :10]
    assert nll.mean() == pytest.approx(-0.9263, abs=5e-5)


def test_least_squares_finds_how_sines_go_on(parts):
    signal = parts[1].signal
    found = causal_convolutions.least_squares(signal[:, :128])
    np.testing.assert_allclose(found[:, :-128], signal[:, 128:], atol=1e-9)


@pytest.mark.slow
def test_validation_mse(parts):
    learned, others = parts
    plain, dilated = (
        causal_convolutions.score(
            causal_convolutions.fit_points(name, learned), others
        )
        for name in ("conv", "conv, dilated")
    )
    assert plain == pytest.approx(0.0224, rel=0.05)
    assert dilated <= 0.0112


@pytest.mark.slow
def test_validation_nll(parts):
    learned, others = parts
    model = causal_convolutions.fit_normal(learned, next_step=False)
    nll = causal_convolutions.score(model, others)
    assert nll <= -0.80
    # What the model emits is forecast as it is.
    paths = forecast(model, others.seen, 10, num_samples=2)
    assert -paths.log_prob(others.ahead).mean() == pytest.approx(nll, abs=1e-4)


@pytest.mark.slow
def test_runs(tmp_path, capsys):
    path = tmp_path / "paths.png"
    causal_convolutions.main(
        ["--quick", "--seeds", "0", "--picture", str(path)]
    )
    assert path.stat().st_size > 10_000
    printed = capsys.readouterr().out
    assert "LayerNormGRU" in printed
    assert "nan" not in printed
