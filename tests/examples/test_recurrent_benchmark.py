"""What the benchmark times computes what it is named after."""

import numpy as np
import pytest
from benchmarks import recurrent as bench
from resident_memory import resident

import keras_seqtools as kst

# PyTorch for GPUs says so when it finds none.
pytestmark = pytest.mark.filterwarnings("ignore:CUDA initialization")

SHAPE = bench.Shape(3, 7, 2, 4)
NAMES = [*bench.LAYERS, *bench.TORCH]


def layer_with_weights():
    """A `LayerNormGRU` whose weights are all different."""
    layer = kst.layers.LayerNormGRU(SHAPE.units)
    layer.build((None, SHAPE.steps, SHAPE.features))
    rng = np.random.default_rng(1)
    layer.set_weights(
        [w + 0.3 * rng.normal(size=w.shape) for w in layer.get_weights()]
    )
    return layer


def output_and_gradients(network):
    x = network.tensor(bench.inputs(SHAPE))
    return [each.numpy() for each in (network.forward(x), *network.train(x))]


def check_same(network, layer):
    expected = output_and_gradients(bench.in_keras(layer, SHAPE))
    found = output_and_gradients(network)
    for theirs, ours in zip(found, expected, strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_naive_layer_is_the_same(jit_compile):
    layer = layer_with_weights()
    naive = bench.LAYERS["naive"](SHAPE.units)
    network = bench.in_keras(naive, SHAPE, jit_compile)
    naive.set_weights(layer.get_weights())
    check_same(network, layer)


def test_the_layer_in_torch_is_the_same():
    pytest.importorskip("torch")
    layer = layer_with_weights()
    check_same(bench.torch_layer_norm_gru(layer.get_weights()), layer)


@pytest.mark.parametrize("name", NAMES)
def test_every_network_trains_all_its_weights(name):
    output, *gradients = output_and_gradients(bench.build(name, SHAPE))
    assert output.shape == (SHAPE.batch, SHAPE.units)
    assert len(gradients) == {"GRU": 3, "torch GRU": 4}.get(name, 5)
    assert all(gradient.any() for gradient in gradients)


def test_a_round_has_as_many_calls_of_each():
    called, now = [], iter(range(100))
    calls = [lambda name=name: called.append(name) for name in "ab"]
    spent = bench.compare(2, 3.0, lambda: next(now), calls)
    assert "".join(called) == "ab" * 3 + "a" + "aaabbb" * 2
    np.testing.assert_allclose(spent, np.full((2, 2), 1 / 3))


def test_prints_a_ratio_for_every_network(capsys):
    bench.main(["--quick", "--threads", "0"])
    head, *rows = capsys.readouterr().out.splitlines()[3:]
    assert all(name in head for name in NAMES)
    assert [row.split()[:2] for row in rows] == [
        ["2,6,3,4", "forward"],
        ["2,6,3,4", "train"],
    ]


@pytest.mark.slow
def test_prints_a_table_of_xla(capsys):
    bench.main(["--threads", "0", "--xla", "--rounds=1", "--shape", "2,6,3,4"])
    _, table = capsys.readouterr().out.split("XLA\n")
    assert len(table.splitlines()) == 3


def test_resident_memory_is_that_of_a_block_written_to():
    before = resident("VmRSS")
    block = np.ones(2**25)  # 256 MiB
    now = resident("VmRSS")
    del block
    np.testing.assert_allclose(now - before, 256, atol=16)
    assert resident("VmRSS") < now - 200
    # Linux counts by thread and adds up late.
    assert resident("VmHWM") > now - 8


def test_memory_of_a_step_is_what_it_raises_the_peak_by(monkeypatch):
    class Network:
        tensor = staticmethod(np.asarray)

        def train(self, x):
            # More than anything before it in this process.
            free = resident("VmHWM") - resident("VmRSS")
            np.ones(int(free + 64) * 2**17 if len(x) > 1 else 1)

    monkeypatch.setattr(bench, "build", lambda name, shape: Network())
    free = resident("VmHWM") - resident("VmRSS")
    extra = bench.extra_memory("GRU", SHAPE)
    np.testing.assert_allclose(extra, free + 64, atol=16)


def test_memory_is_measured_in_new_processes_for_all(monkeypatch, capsys):
    asked = []

    def check_output(command):
        asked.append(command[2:])
        return b"1.5\n"

    monkeypatch.setattr(bench.subprocess, "check_output", check_output)
    bench.main(["--threads", "0", "--memory"])
    same = ["--threads", "0"]
    expected = [["--memory", name, *same] for name in NAMES for _ in range(3)]
    assert asked == expected
    rows = capsys.readouterr().out.splitlines()[3:]
    assert [row[:9].strip() for row in rows] == NAMES
