"""The coordinator with real workers on the tiny model, and the page made of results."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import page
import run
from gnomon.errors import ModelError


def test_gnomon_alone_on_the_tiny_model_writes_its_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    asked = ["dpo", "--tiny", "--sides", "", "--pairs", "2", "--threads", "1", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["run.py", *asked])
    run.main()
    results = json.loads((tmp_path / "dpo" / "results.json").read_text())
    own = results["against"]["gnomon"]
    assert len(own["seconds"]["each"]) == 2
    assert own["peak_mib"] >= 0
    assert results["lengths"]["prompt"]["least"] > 0
    assert capsys.readouterr().out.startswith("| `dpo` | gnomon |")


class Scripted:
    """A side whose answers are given."""

    def __init__(self, seconds: list[float], peak: int) -> None:
        self.seconds, self.peak = iter(seconds), peak

    def do(self, what: str) -> dict[str, Any]:
        if what == "memory":
            return {"peak": self.peak}
        return {"seconds": next(self.seconds), "system": 0.5, "processor": 2.0, "units": 8}


def test_sides_are_compared_pair_by_pair_after_the_warm_up():
    ours, theirs = Scripted([9, 9, 1, 2], 300 << 20), Scripted([9, 9, 4, 4], 1100 << 20)
    found = run.against(ours, {"loaded": 100 << 20}, theirs, {"loaded": 100 << 20}, pairs=2)
    assert found["times_as_fast"] == {"median": 3.0, "low": 2.0, "high": 4.0, "each": [4.0, 2.0]}
    assert found["gnomon"]["units_per_second"]["each"] == [8.0, 4.0]
    assert found["gnomon"]["system_share"] == 0.25
    assert found["share_of_memory"] == 0.2


def test_the_fastest_candidate_that_agrees_is_the_tuned_peer(monkeypatch: pytest.MonkeyPatch):
    speeds = {"a": [5.0, 3.0], "b": [9.0, 1.0], "c": [2.0, 2.0]}

    class Candidate(Scripted):
        def do(self, what: str) -> dict[str, Any]:
            return {"loss": self.peak} if what == "compare" else super().do(what)

    class Worker:
        def __init__(self, side: str, job: Path, settings: dict[str, Any], threads: int) -> None:
            if settings["name"] == "d":
                raise ModelError("trl at prepare: no flash attention")
            # b is fastest and computes something else
            self.link = Candidate(speeds[settings["name"]], 2 if settings["name"] == "b" else 1)

        def __enter__(self) -> tuple[Candidate, dict[str, Any]]:
            return self.link, {}

        def __exit__(self, *problem: object) -> None:
            pass

    monkeypatch.setattr(run, "worker", Worker)
    monkeypatch.setattr(run, "CANDIDATES", {"dpo": tuple({"name": name} for name in "abcd")})
    tried, best = run.search({"kind": "dpo", "folder": "", "ref": "tiny:0"}, {"loss": 1.0}, 1)
    assert best == {"name": "c"}
    assert [one.get("seconds") for one in tried] == [3.0, None, 2.0, None]
    assert "loss differs" in tried[1]["refused"]
    assert "flash attention" in tried[3]["refused"]


def test_the_page_shows_what_was_measured():
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.page(text, page.made()) == text


def test_a_row_says_how_many_times_as_fast_and_what_memory():
    side = {"units_per_second": {"median": 300.0}, "peak_mib": 1500, "system_share": 0.04}
    other = {"units_per_second": {"median": 50.0}, "peak_mib": 6000, "system_share": 0.31}
    ratio = {"median": 6.0, "low": 5.5, "high": 6.4}
    found = {"gnomon": side, "peer": other, "times_as_fast": ratio, "share_of_memory": 0.25}
    (row,) = page.row_of("sft_lora", {"unit": "tokens", "against": {"default": found}})
    assert row == (
        "| `sft_lora` | default | 300 tokens/s | 50 tokens/s | **6.00** (5.50 to 6.40) | "
        "1,500 of 6,000 MiB: 0.25 | 4%, 31% |"
    )
