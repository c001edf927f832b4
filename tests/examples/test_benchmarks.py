"""The benchmark leaves out no head. How long a step takes is no test."""

import itertools

import keras
import numpy as np
import pytest
from benchmarks import heads

import keras_seqtools as kst


def test_every_head_has_its_row_and_possible_targets():
    every = {name for name in kst.heads.__all__ if name.endswith("Head")}
    assert set(heads.HEADS) == every - {"DistributionHead"}
    for name in heads.HEADS:
        head = getattr(kst.heads, name)(**heads.ARGUMENTS.get(name, {}))
        head.validate(heads.targets(head))


@pytest.mark.slow
def test_compares_steps_that_train():
    clock = itertools.count().__next__
    tf_keras = pytest.importorskip("tf_keras")
    step, base = heads.with_head("NormalHead"), heads.with_tfp(tf_keras)
    spent = heads.compare(step, base, 2, clock)
    np.testing.assert_allclose(spent, np.ones((2, 2)))
    assert np.isfinite(step()["loss"])
    assert np.isfinite(heads.plain(keras)()["loss"])
