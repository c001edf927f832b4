"""The digits example runs, and its scores mean what they say."""

import novel_digits
import numpy as np
import pytest


@pytest.mark.slow
def test_runs(tmp_path, capsys):
    novel_digits.main(["--quick", "--picture", str(tmp_path / "digits.png")])
    assert (tmp_path / "digits.png").stat().st_size > 10_000
    assert "better than plain" in capsys.readouterr().out


def test_auroc_of_a_score_that_knows():
    is_novel = np.array([False, False, True])
    scores = {"is_novel": is_novel, "knows": is_novel, "inverts": ~is_novel}
    assert novel_digits.auroc(scores, "knows") == 1.0
    assert novel_digits.auroc(scores, "inverts") == 0.0
