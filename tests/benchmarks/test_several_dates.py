import json

import pytest


@pytest.mark.slow
def test_two_clouded_images_score_above_the_worse_of_them(command):
    result = command(
        "benchmarks.several_dates", "--engine", "runtime/example/engine", "--scenes", "1", "--json"
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    scores = {name: row["score"] for name, row in found["scores"].items()}
    assert set(scores) == {"no clouds", "first", "second", "both"}
    assert 0.02 < found["clouded"] < 0.6
    assert scores["both"] > min(scores["first"], scores["second"])
