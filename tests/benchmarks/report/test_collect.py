import json

import pytest

from benchmarks.latency.figures import END_TO_END, ENGINE
from benchmarks.report.collect import collect
from runtime.errors import ConfigError


def test_every_file_finds_its_engine(engines, figures):
    found = collect(engines, figures)
    fp32, int8, unrun = found.engines
    assert fp32 is found.reference
    for each in (fp32, int8):
        assert each.accuracy.details["tiles"]
        assert each.robustness["engine"]["name"] == each.name
        assert {ENGINE, END_TO_END} <= set(each.latency)
    assert not unrun.was_run
    assert unrun.accuracy is unrun.robustness is None
    assert found.agreement["reference"]["name"] == "cpu-fp32"
    assert found.peers is found.pareto is None


def test_the_smallest_batch_stands_for_an_engine(engines, measured, tmp_path):
    record = json.loads(measured["latency"].read_text())
    several = json.loads(json.dumps(record["benchmarks"]))
    for each in several:
        each["extra_info"]["batch"] = 8
    record["benchmarks"] += several
    path = tmp_path / "latency.json"
    path.write_text(json.dumps(record))
    (engine,) = collect(engines[:1], [path]).engines
    assert {each.batch for each in engine.latency.values()} == {1}
    assert {each.batch for each in engine.timed} >= {1, 8}


def test_figures_of_an_earlier_build_are_refused(make_engine, measured, tmp_path):
    rebuilt = make_engine(tmp_path / "cpu-fp32", created="2027")
    with pytest.raises(ConfigError, match=r"another build of cpu-fp32"):
        collect([rebuilt], measured["accuracy"][:1])


def test_an_agreement_of_an_earlier_build_is_refused(make_engine, figures, tmp_path):
    rebuilt = make_engine(tmp_path / "cpu-int8", precision="int8", created="2027")
    agreement = next(path for path in figures if path.name == "agreement.json")
    with pytest.raises(ConfigError, match=r"agreement: of another build of cpu-int8"):
        collect([rebuilt], [agreement])


def test_figures_of_an_engine_that_is_not_asked_for_are_refused(engines, measured):
    with pytest.raises(ConfigError, match="cpu-int8, which --engine does not name"):
        collect(engines[:1], measured["accuracy"])


def test_two_files_on_one_thing_are_refused(engines, measured, figures):
    accuracy = measured["accuracy"][0]
    with pytest.raises(ConfigError, match="cpu-fp32 has accuracy figures already"):
        collect(engines, [accuracy, accuracy])
    agreement = next(path for path in figures if path.name == "agreement.json")
    with pytest.raises(ConfigError, match="kind agreement was given already"):
        collect(engines, [agreement, agreement])


def test_two_folders_of_one_name_are_refused(engines):
    with pytest.raises(ConfigError, match="two folders are named cpu-fp32"):
        collect([engines[0], engines[0]])


def test_figures_on_other_tiles_do_not_compare(engines, measured, changed):
    other = changed(lambda record: record["data"].update(fingerprint="00"))
    with pytest.raises(ConfigError, match="different tiles"):
        collect(engines, [measured["accuracy"][0], other])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not JSON"),
        ("[]", "holds no figures"),
        ('{"kind": "weather"}', "holds no figures"),
        ('{"benchmarks": [{"stats": {}}]}', "not a latency file"),
        ('{"kind": "accuracy"}', "lacks 'engine'"),
    ],
)
def test_a_file_of_something_else_is_one_line(engines, tmp_path, content, said):
    path = tmp_path / "figures.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=said):
        collect(engines, [path])
