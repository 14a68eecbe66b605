from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.catalog import Catalog
from common.entry import start
from common.errors import BadDefinition, BadInput
from seter.bench import compare as comparing
from seter.bench.compare import (
    Measured,
    compare,
    jain,
    measured_of,
    strangers,
    superiority,
)
from seter.bench.definition import bench_of, chosen, profile_of, variant
from seter.bench.picture import draw
from seter.bench.run import Terms, in_order
from seter.edit import with_values
from seter.survey import Request
from tests.conftest import ROOT

FIXTURE = Path(__file__).parent / "fixtures" / "drive.json"
SYSTEM = """system "s3-lb" {
  group "g" {
    role "a" {}
    role "b" { x = 1 }
    role "c" {
      # why
      x = 1 # old
      y = [
        2,
      ]
    }
  }
}
"""


def of(
    strategy: str, number: int, p99: float, *, condition: str = "calm", failed: int = 0, cross: float = 0.1
) -> Measured:
    return Measured(strategy, condition, number, 60.0, p99 / 2, p99, p99 * 2, failed, 600, 1.0, cross)


def test_the_system_s_strategies_are_read_and_each_is_a_whole_definition(tmp_path: Path) -> None:
    catalog = Catalog.open(ROOT / "systems")
    system, target = catalog.definition("s3-lb", "container")
    bench = bench_of(system)
    assert len(bench.strategies) == 7
    assert {each.name for each in bench.conditions} == {"calm", "uneven", "one-cold", "one-slow"}
    assert json.loads(profile_of(system, bench))["operations"]["GET"] == 70
    for strategy in bench.strategies:
        folder = variant(catalog, system, target.name, strategy, tmp_path)
        changed, _ = Catalog.open(folder).definition("s3-lb", "container")
        (use,) = [use for group in changed.groups for use in group.roles if use.role.name == strategy.roles[0].name]
        given_here = dict(use.parameters)
        assert dict(strategy.roles[0].parameters).items() <= given_here.items()
        assert given_here.keys() > dict(strategy.roles[0].parameters).keys()  # what was there before stays


def test_a_strategy_that_is_no_definition_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    catalog = Catalog.open(ROOT / "systems")
    system, target = catalog.definition("s3-lb", "container")
    good = bench_of(system).strategies[0]
    wrong = replace(good, name="wrong", roles=(replace(good.roles[0], parameters=(("strategy", "best"),)),))
    with pytest.raises(BadDefinition, match="strategy"):
        variant(catalog, system, target.name, wrong, tmp_path)
    strange = replace(good, name="strange", roles=(replace(good.roles[0], name="haproxy"),))
    with pytest.raises(BadInput, match="no role 'haproxy'"):
        variant(catalog, system, target.name, strange, tmp_path)


def test_all_that_is_wrong_with_a_bench_is_told(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(ROOT / "systems" / "s3-lb", tmp_path / "s3-lb"))
    system, _ = Catalog.open(ROOT / "systems").definition("s3-lb", "container")
    system = replace(system, folder=folder)
    (folder / "bench.hcl").write_text(
        'bench "s3-lb" {\n rate = 0\n strategy "a" {}\n condition "c" { percent = 100 }\n}\n'
    )
    with pytest.raises(BadDefinition) as refused:
        bench_of(system)
    for words in ("summary", "role", "percent"):
        assert words in str(refused.value.problems)
    (folder / "bench.hcl").unlink()
    with pytest.raises(BadInput, match=r"no bench\.hcl"):
        bench_of(system)


def test_every_second_round_goes_backwards() -> None:
    strategies = bench_of(Catalog.open(ROOT / "systems").system("s3-lb")).strategies[:3]
    order = [(number, each.name) for number, each in in_order(strategies, 3)]
    names = [each.name for each in strategies]
    assert order == [(n, name) for n in (1, 2, 3) for name in (names if n != 2 else names[::-1])]


def test_a_strategy_that_is_not_there_is_told_with_the_one_that_was_meant() -> None:
    bench = bench_of(Catalog.open(ROOT / "systems").system("s3-lb"))
    assert [each.name for each in chosen(bench, ["even", "local"])] == ["even", "local"]
    with pytest.raises(BadInput, match="no strategy 'evn'") as refused:
        chosen(bench, ["evn"])
    assert "Did you mean even?" in refused.value.resolution


@pytest.mark.parametrize(("line", "expected"), [
    (3, ['    role "a" {', "      x = 5", "    }"]),
    (4, ['    role "b" {', "      x = 5", "    }"]),
])  # fmt: skip
def test_values_are_written_into_short_blocks(line: int, expected: list[str]) -> None:
    found = with_values(SYSTEM, line, {"x": "5"}).splitlines()
    assert found[line - 1 : line + 2] == expected


def test_values_are_written_in_place_of_what_a_block_said_and_the_rest_stays() -> None:
    found = with_values(SYSTEM, 5, {"x": '"new"', "z": "true"}).splitlines()
    assert found[4:13] == [
        '    role "c" {', "      # why", "      y = [", "        2,", "      ]", '      x = "new"', "      z = true",
        "    }", "  }",
    ]  # fmt: skip


def drive(ways: Mapping[str, Mapping[str, int]]) -> dict[str, object]:
    found: dict[str, object] = json.loads(FIXTURE.read_text())
    return {**found, "ways": ways}


GATEWAYS = {"10.0.0.1": "gw1", "10.0.0.2": "gw2"}


def test_cross_traffic_is_what_another_node_than_the_gateway_s_answered() -> None:
    told = drive({"10.0.0.1": {"aa": 50, "bb": 50}, "10.0.0.2": {"bb": 100, "": 7}})
    found = measured_of("s", "calm", 1, told, GATEWAYS, {"aa": "gw1", "bb": "gw2"})
    assert found.cross == 0.25
    assert found.fairness == pytest.approx(jain([50, 150], 2))


def test_a_backend_that_was_started_anew_is_the_one_that_it_was() -> None:
    names = {"41": "gw1", "42": "gw2"}
    told = drive({"10.0.0.1": {"41": 5, "99": 4, "42": 1}, "10.0.0.2": {"42": 9, "99": 1, "": 1}})
    assert strangers(told, names) == {"99"} and measured_of("s", "c", 1, told, GATEWAYS, names).cross is None
    names |= {"99": "gw1"}
    found = measured_of("s", "c", 1, told, GATEWAYS, names)
    assert not strangers(told, names) and found.cross == pytest.approx(0.1)
    assert found.fairness == jain([10, 10], 2)


def test_a_node_that_answered_nothing_counts_for_fairness() -> None:
    found = measured_of("s", "c", 1, drive({"10.0.0.1": {"41": 5}}), GATEWAYS, {"41": "gw1", "42": "gw2"})
    assert (found.cross, found.fairness) == (0.0, 0.5)


def test_what_the_client_prints_of_itself_is_understood() -> None:
    whole = json.loads(FIXTURE.read_text())
    found = measured_of("s", "calm", 1, whole, {}, {})
    assert (found.failed, found.sent) == (whole["failed"], whole["sent"]) and found.p99 == whole["latency"]["p99"]


@given(st.lists(st.integers(0, 1000), min_size=1))
def test_fairness_is_between_one_over_all_and_one(counts: list[int]) -> None:
    assert 1 / len(counts) - 1e-9 <= jain(counts, len(counts)) <= 1 + 1e-9


def test_fairness_of_the_ends() -> None:
    assert jain([5, 5, 5], 3) == 1 and jain([9], 3) == pytest.approx(1 / 3)


def test_a_strategy_is_beaten_only_by_more_than_the_spread() -> None:
    clear = compare([of("a", 1, 0.010), of("a", 2, 0.012), of("b", 1, 0.020), of("b", 2, 0.030)])
    assert clear.unbeaten == ("a",) and clear.advice is not None
    assert (clear.advice.strategy, clear.advice.over, clear.advice.sure) == ("a", "b", 1.0)
    unclear = compare([of("a", 1, 0.010), of("a", 2, 0.025), of("b", 1, 0.020), of("b", 2, 0.030)])
    assert unclear.unbeaten == ("a", "b") and unclear.advice is not None
    assert (unclear.advice.strategy, unclear.advice.sure) == ("a", 0.75)


def test_what_is_slower_and_keeps_traffic_at_home_is_not_beaten() -> None:
    found = compare(
        [of("fast", 1, 0.010, cross=0.66), of("home", 1, 0.020, cross=0.05), of("worse", 1, 0.030, cross=0.7)]
    )
    assert found.unbeaten == ("fast", "home")


def test_failures_weigh_more_than_latency_and_every_condition_counts() -> None:
    found = compare([
        of("a", 1, 0.010), of("a", 1, 0.010, condition="slow", failed=9),
        of("b", 1, 0.050), of("b", 1, 0.500, condition="slow"),
    ])  # fmt: skip
    assert found.advice is not None and found.advice.strategy == "b"
    assert found.unbeaten == ("a", "b")


def test_runs_that_are_not_valid_do_not_count_where_there_are_others() -> None:
    bad = replace(of("a", 2, 9.0), invalid=("lag",))
    assert compare([of("a", 1, 0.01), bad]).rows[0].rounds == 1
    assert compare([bad]).rows[0].rounds == 1
    only = compare([of("a", 1, 0.01)]).advice
    assert only is not None and only.sure is None


def test_alike_is_a_half() -> None:
    assert superiority([(0, 1.0)], [(0, 1.0)]) == 0.5
    assert superiority([], [(0, 1.0)]) is None


def test_the_picture_names_every_strategy_and_marks_those_that_none_beats() -> None:
    found = compare([of("fast", 1, 0.010), of("slow", 1, 0.020), of("slow", 1, 0.9, condition="bad")])
    found = replace(found, unbeaten=("fast",))
    texts = [text.text for text in ElementTree.fromstring(draw(found)).iter("{http://www.w3.org/2000/svg}text")]
    assert "fast *" in texts and "slow" in texts
    assert isinstance(found, comparing.Compared)


def test_the_verb_prints_what_was_found_keeps_measurements_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = [
        replace(of(name, number, p99, condition=condition, cross=cross), invalid=invalid)
        for name, p99, cross, invalid in (
            ("local", 0.01, 0.2, ()),
            ("even", 0.02, 0.7, ("too busy",)),
            ("even", 0.03, 0.6, ()),
        )
        for number in (1, 2)
        for condition in ("calm", "slow")
    ]

    def bench(
        request: Request, names: Sequence[str], terms: Terms, report: object, confirm: object,
        ended: Callable[[Measured], None],
    ) -> comparing.Compared:  # fmt: skip
        assert (names, terms.rounds, request.deployment.system) == (["local", "even"], 2, "s3-lb")
        for each in measured:
            ended(each)
        return compare(measured)

    monkeypatch.setattr("seter.bench.run.bench", bench)
    out, picture = tmp_path / "bench.jsonl", tmp_path / "bench.svg"
    words = ["bench", "s3-lb", "--target", "container", "local", "even", "--rounds", "2", "--yes"]
    assert start("seter", [*words, "--out", str(out), "--picture", str(picture)]) == 0
    printed = capsys.readouterr()
    assert "take local: 0 failed requests" in printed.out and "better than even in 100% of pairs" in printed.out
    assert "local\tcalm\t2\t60.0\t5.0\t10.0\t20.0\t0\t1.00\t20" in printed.out
    assert "4 of 12 runs are not valid: too busy" in printed.err
    assert [json.loads(line)["strategy"] for line in out.read_text().splitlines()] == [
        each.strategy for each in measured
    ]
    assert picture.read_text().startswith("<svg")
    assert start("seter", [*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["unbeaten"] == ["local"] and len(found["rows"]) == 4 and found["advice"]["sure"] == 1.0
