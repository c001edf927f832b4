"""What every test starts from: a seed, and errors in full."""

import keras
import pytest


@pytest.fixture(autouse=True)
def fresh_start():
    keras.utils.set_random_seed(0)
    keras.config.disable_traceback_filtering()
