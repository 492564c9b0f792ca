"""The load that is put on the labelling application, for a second or two; nothing is said of how fast."""

import pytest

from labelling import run


def test_quantiles_are_values_that_were_measured():
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [run.quantile(values, share) for share in (0.2, 0.5, 0.8, 0.81, 1)] == [1, 3, 4, 5, 5]
    assert run.quantile([7.0], 0.95) == 7


def test_what_is_lost_and_what_is_doubled_is_counted():
    whole = {"acknowledged": 2, "lost": 0, "doubled": 0, "unacknowledged": 0}
    assert run.compared(["a", "b"], {"a": 1, "b": 1}) == whole
    assert run.compared(["a", "b"], {"a": 1}) == whole | {"lost": 1}
    assert run.compared(["a", "b"], {"a": 2, "b": 1}) == whole | {"doubled": 1}
    assert run.compared(["a", "b", "b"], {"a": 1, "b": 1}) == whole | {"acknowledged": 3, "doubled": 1}
    assert run.compared(["a", "b"], {"a": 1, "b": 1, "c": 1}) == whole | {"unacknowledged": 1}


def test_the_bar_is_met_by_what_is_quick_and_whole_alone():
    quick = {"next": {"p95": 150.0}, "submit": {"p95": 1.0}}
    kept = {"lost": 0, "doubled": 0, "unacknowledged": 0}
    good = {"load": {"latency_ms": quick, "errors": 0, **kept}, "killed": {**kept, "unacknowledged": 3}}
    assert run.met(good, 3)
    assert not run.met(good, 2)
    for place, change in (
        ("load", {"latency_ms": quick | {"submit": {"p95": 150.1}}}),
        ("load", {"errors": 1}),
        ("load", {"unacknowledged": 1}),
        ("killed", {"lost": 1}),
        ("killed", {"doubled": 1}),
    ):
        assert not run.met(good | {place: good[place] | change}, 3)


@pytest.mark.slow
def test_a_load_and_a_kill_are_measured_and_lose_nothing(monkeypatch):
    monkeypatch.setattr(run, "THINKING", (0.1, 0.3))
    found = run.measure(1000, (2, 2), 2, 1)
    load, after = found["load"], found["killed"]
    assert load["problems"] == []
    assert load["latency_ms"]["submit"]["requests"] == load["acknowledged"] > 4
    assert load["latency_ms"]["standing"]["requests"] > 0
    assert after["acknowledged"] > load["acknowledged"]
    assert after["lost"] == after["doubled"] == load["lost"] == load["doubled"] == load["unacknowledged"] == 0
    assert after["unacknowledged"] <= 4


def test_a_claim_is_timed_both_ways():
    assert set(run.claims(40, 2)) == {"by_lot", "from_a_list"}
