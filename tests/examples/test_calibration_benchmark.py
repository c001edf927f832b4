"""What the benchmark times computes what it is named after."""

import re

import keras
import numpy as np
import pytest
from benchmarks import calibration as bench

import keras_seqtools as kst

# The peers are written for other versions than these.
pytestmark = pytest.mark.filterwarnings("ignore")

PEERS = [
    ("ece", "netcal"),
    ("ece", "torchmetrics"),
    ("crps", "properscoring"),
    ("temperature", "scikit-learn"),
]


def found_by(contest, name):
    (rival,) = [each for each in contest.rivals if each.name == name]
    try:
        return rival.load()()
    except ImportError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(("name", "peer"), PEERS)
def test_a_peer_finds_the_same_number(name, peer):
    contest = bench.CONTESTS[name](bench.QUICK)
    ours, theirs = contest.ours(), found_by(contest, peer)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_a_step_is_an_update():
    y, p = bench.predictions(50, bench.CLASSES)
    ece = kst.metrics.ExpectedCalibrationError()
    accuracy = keras.metrics.SparseCategoricalAccuracy()
    for metric in (ece, accuracy):
        bench.updates(metric, y, p)()
    expected = kst.metrics.expected_calibration_error(y, p)
    np.testing.assert_allclose(ece.result(), expected)
    hits = p.argmax(axis=-1) == y
    np.testing.assert_allclose(accuracy.result(), hits.mean(), rtol=1e-6)


def test_the_sorts_are_of_what_is_scored():
    contest = bench.CONTESTS["crps"](bench.QUICK)
    first, last = (found_by(contest, f"np.sort, axis {i}") for i in (0, 1))
    np.testing.assert_array_equal(first, last.T)
    _, samples = contest.ours.args
    np.testing.assert_array_equal(first, np.sort(samples, axis=0))
    for name in ("adaptive", "auroc", "aurc"):
        contest = bench.CONTESTS[name](bench.QUICK)
        _, score = contest.ours.args
        order = found_by(contest, "np.argsort")
        assert (np.diff(score[order]) >= 0.0).all()


def test_the_exact_temperature_is_known_for_two_probabilities():
    z = np.log(np.array([[0.8, 0.2], [0.8, 0.2], [0.2, 0.8]]))
    found = bench.exact_temperature(np.array([0, 1, 1]), z)
    np.testing.assert_allclose(found, 2.0, rtol=1e-12)


def test_prints_a_row_for_every_rival(monkeypatch, capsys):
    monkeypatch.setattr(bench, "limit_threads", lambda: None)
    bench.main(["--quick"])
    head, rows, temperature = capsys.readouterr().out.split("\n\n")
    assert head.startswith("Threads: 1")
    contests = [make(bench.QUICK) for make in bench.CONTESTS.values()]
    expected = [
        (contest.label, rival.name)
        for contest in contests
        for rival in contest.rivals
    ]
    rows = rows.splitlines()[1:]
    assert len(rows) == len(expected)
    for label, name in expected:
        (row,) = [row for row in rows if row.startswith(label) and name in row]
        assert re.search(r"\d to \d|not against", row)
    passes, error = re.findall(r": (\S+), goal", temperature)
    assert 2 < int(passes) <= 10
    assert float(error) < 1e-6


def test_a_peer_that_is_not_installed_is_left_out(capsys):
    def load():
        raise ImportError("No module named 'peer'")

    rivals = [
        bench.Rival("peer", load, 1.0),
        bench.Rival("other", lambda: lambda: None, 1.0),
    ]
    bench.show(bench.Contest("this", lambda: None, rivals), 1, 0.0)
    first, second = capsys.readouterr().out.splitlines()
    assert "not against peer: No module" in first
    assert "other" in second


def test_memory_of_a_call_is_what_it_raises_the_peak_by(monkeypatch):
    def make(sizes):
        def call():
            # More than anything before it in this process.
            free = bench.resident("VmHWM") - bench.resident("VmRSS")
            np.ones(int(free + 64) * 2**17 if sizes.scores > 1000 else 1)

        return bench.Contest("this", call, [])

    monkeypatch.setitem(bench.CONTESTS, "this", make)
    free = bench.resident("VmHWM") - bench.resident("VmRSS")
    extra = bench.extra_memory("this", "ours", bench.FULL)
    np.testing.assert_allclose(extra, free + 64, atol=16)


def test_memory_is_measured_in_new_processes(monkeypatch, capsys):
    asked = []

    def check_output(command):
        asked.append(command[2:])
        return b"1.5\n"

    monkeypatch.setattr(bench, "limit_threads", lambda: None)
    monkeypatch.setattr(bench.subprocess, "check_output", check_output)
    bench.main(["--quick", "--memory"])
    assert asked == [
        ["--memory", name, which, str(times), "--quick"]
        for name, which, times in bench.MEMORY
    ]
    _, *rows = capsys.readouterr().out.splitlines()
    assert [row.split()[::3] for row in rows] == [
        [name, "1.5"] for name, *_ in bench.MEMORY
    ]
