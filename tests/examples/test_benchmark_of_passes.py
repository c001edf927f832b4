"""Every way to sample that the benchmark compares does what it says."""

import numpy as np
import pytest
from benchmarks import predict_uncertainty as bench


@pytest.mark.slow
@pytest.mark.parametrize("name", bench.ROWS)
def test_every_way_runs(name, capsys):
    (effort,) = bench.QUICK
    ways = bench.all_ways(name, effort)
    spent = bench.compare(ways, effort)
    assert spent.shape == (2, len(ways), 2)
    assert (spent[..., 1] > 0).all()
    bench.show(list(ways), spent)
    assert "predict_uncertainty, XLA" in capsys.readouterr().out
    samples = {way: run(number) for way, (run, number) in ways.items()}
    shape = samples["predict of copies"].shape
    assert samples[bench.PREDICT].shape == shape
    assert samples["expert's loop"][0].shape == shape[1:]
    assert np.isfinite(samples["expert's loop"][1]).all()


def test_the_expert_and_we_find_the_same():
    """Mean and spread of M1, by 400 passes each."""
    model = bench.build("M1")
    x = np.random.default_rng(0).normal(size=(20, 64)).astype("float32")
    found = bench.ours(model, x, 400)
    mean, std, *_ = bench.by_expert(model, x, 20, jit_compile=False)(400)
    error = np.sqrt(2 / 400) * std
    z = (found.probabilities - mean) / error
    assert np.sqrt(np.mean(z**2)) < 1.3
    spread = np.sqrt(found.class_variance)
    np.testing.assert_allclose(spread.mean(), std.mean(), rtol=0.05)
