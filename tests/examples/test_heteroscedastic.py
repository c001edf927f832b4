"""The data are the published ones, and the heads reach their likelihoods."""

import heteroscedastic
import numpy as np
import pytest


def test_data_are_the_published_ones():
    parts = heteroscedastic.split(heteroscedastic.make_data())
    assert [len(rows.x) for rows in parts] == [293, 74, 123]
    fit = heteroscedastic.least_squares(parts[0])
    assert fit.predict(parts[1])[:, 1] == pytest.approx(8.578, abs=1e-3)
    assert [fit.nll(rows) for rows in parts] == pytest.approx(
        [3.565, 3.534, 3.790], abs=1e-3
    )
    true_nll = heteroscedastic.truth().nll(parts[1])
    assert true_nll == pytest.approx(3.085, abs=1e-3)


def test_interval_of_the_truth_covers_its_share():
    rows = heteroscedastic.make_data()
    lower, upper = heteroscedastic.truth().interval(rows)
    np.testing.assert_allclose((upper - lower) / rows.sd, 3.2897, rtol=1e-3)
    assert abs(((lower <= rows.y) & (rows.y <= upper)).mean() - 0.9) < 0.05


@pytest.mark.slow
def test_runs(tmp_path, capsys):
    path = tmp_path / "bands.png"
    heteroscedastic.main(["--quick", "--picture", str(path)])
    assert path.stat().st_size > 10_000
    printed = capsys.readouterr().out
    assert "spline flow" in printed
    assert "nan" not in printed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "bound"), [("constant sigma", 3.54), ("flexible sigma", 3.20)]
)
def test_likelihood_of_the_validation_rows(name, bound):
    train, validation, _ = heteroscedastic.split(heteroscedastic.make_data())
    fit = heteroscedastic.fit_model(name, train, validation)
    assert fit.nll(validation) <= bound
