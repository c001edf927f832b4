"""What every test starts from: a seed, errors in full, published values."""

import keras
import numpy as np
import published_cases
import pytest


@pytest.fixture(autouse=True)
def fresh_start():
    keras.utils.set_random_seed(0)
    keras.config.disable_traceback_filtering()


@pytest.fixture
def published():
    """A function of a case's id: inputs, published value, its tolerance."""

    def find(case_id):
        (case,) = (
            case
            for case in published_cases.CASES["cases"]
            if case["id"] == case_id
        )
        inputs = published_cases.make_inputs(case["recipe"])
        return inputs, np.asarray(case["value"]), case["rtol"]

    return find
