"""The coordinator with real workers on the tiny model, and the page made of results."""

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

import page
import run
from gnomon.errors import ConfigError, ModelError


def test_gnomon_alone_on_the_tiny_model_writes_its_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    asked = ["dpo", "--model", "tiny", "--sides", "", "--pairs", "2", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["run.py", *asked, "--out", str(tmp_path)])
    run.main()
    results = json.loads((tmp_path / "dpo" / "results.json").read_text())
    assert (results["model"], results["device"]) == ("tiny:0", "cpu")
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

    def step(self) -> dict[str, Any]:
        return self.do("step")


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
        def __init__(self, side: str, job: Path, settings: dict[str, Any], threads: int, device: str) -> None:
            if settings["name"] == "d":
                raise ModelError("trl at prepare: no flash attention")
            # b is fastest and computes something else
            self.link = Candidate(speeds[settings["name"]], 2 if settings["name"] == "b" else 1)

        def __enter__(self) -> tuple[Candidate, dict[str, Any]]:
            return self.link, {}

        def __exit__(self, *problem: object) -> None:
            pass

    monkeypatch.setattr(run, "worker", Worker)
    monkeypatch.setattr(run, "CANDIDATES", {"trl": {"dpo": tuple({"name": name} for name in "abcd")}})
    job = {"name": "dpo", "kind": "dpo", "folder": "", "ref": "tiny:0", "device": "cpu"}
    tried, best = run.search("trl", job, {"loss": 1.0}, 1)
    assert best == {"name": "c"}
    assert [one.get("seconds") for one in tried] == [3.0, None, 2.0, None]
    assert "loss differs" in tried[1]["refused"]
    assert "flash attention" in tried[3]["refused"]


def test_a_workload_that_fails_takes_no_other_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def one(name: str, *rest: Any) -> Iterator[dict[str, Any]]:
        yield {"unit": "pairs", "against": {}}
        if name == "dpo":
            raise ModelError("dpo, tuned: loss differs by 0.5")
        yield {"unit": "pairs", "against": {}, "all": True}

    monkeypatch.setattr(run, "one", one)
    options = Namespace(model="tiny", device="cuda", out=tmp_path)
    assert not run.measure_all({"dpo": ["tuned"], "reward": ["tuned"]}, options)
    assert "loss differs by 0.5" in capsys.readouterr().err
    written = [json.loads((tmp_path / name / "results-gpu.json").read_text()) for name in ("dpo", "reward")]
    assert ["all" in results for results in written] == [False, True]
    assert run.measure_all({"reward": ["tuned"]}, options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_nothing_is_measured_on_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "argv", ["run.py", "--device", "cuda", "--model", "billion"])
    with pytest.raises(SystemExit):
        run.main()
    assert "torch finds no GPU" in capsys.readouterr().err


def test_peers_that_differ_on_a_processor_alone_are_not_timed_on_a_gpu():
    there = {name: run.PEERS[name] for name in run.ON_GPU}
    with pytest.raises(ConfigError, match="unknown side 'untouched'; there are default, tuned"):
        run.chosen(["dpo"], ["untouched"], there)


ECHO = """#!{python}
import json, os
asked = json.loads(input())
names = ("KMP_BLOCKTIME", "OMP_NUM_THREADS")
print(json.dumps(asked | {{"variables": {{name: os.environ[name] for name in names}}}}), flush=True)
"""


def test_a_peer_is_asked_for_what_its_library_does(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run, "PYTHONS", dict.fromkeys(run.PYTHONS, Path(sys.executable)))
    found = run.chosen(["sft_lora", "sampling"], list(run.PEERS))
    assert found == {"sft_lora": ["untouched", "default", "tuned"], "sampling": list(run.PEERS)}
    assert run.chosen([], []) == {name: [] for name in run.WORKLOADS}


def test_an_untouched_peer_has_the_allocator_of_its_users():
    assert run.environment({}, 2).items() >= run.SETTLED.items()
    assert not run.environment({}, 2, settled=False).keys() & run.SETTLED.keys()
    assert run.PEERS["untouched"].settled is False


@pytest.mark.parametrize(
    ("workloads", "peers", "message"),
    [
        (["sft"], ["tuned"], "unknown workload 'sft'; there are sft_lora"),
        (["dpo"], ["fast"], "unknown side 'fast'; there are untouched, default, tuned"),
        (["dpo"], ["vllm_tuned"], "vllm_tuned cannot do dpo"),
        (["sampling"], ["vllm_default"], "vllm_default is not installed: make peers"),
    ],
)
def test_what_cannot_be_measured_is_told_before_anything_is(
    monkeypatch: pytest.MonkeyPatch, workloads: list[str], peers: list[str], message: str
):
    monkeypatch.setattr(run, "PYTHONS", run.PYTHONS | {"vllm": Path("nowhere")})
    with pytest.raises(ConfigError, match=message):
        run.chosen(workloads, peers)


def test_a_candidates_variables_reach_its_process_and_no_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The stand-in for a side tells what it was sent, and by which variables it runs."""
    python = tmp_path / "python"
    python.write_text(ECHO.format(python=sys.executable))
    python.chmod(0o755)
    monkeypatch.setattr(run, "PYTHONS", {"vllm": python})
    settings = {"max_num_seqs": 16, "env": {"KMP_BLOCKTIME": "1"}}
    with run.worker("vllm", tmp_path, settings, threads=3) as (_, told):
        assert told["settings"] == {"max_num_seqs": 16}
        assert told["variables"] == {"KMP_BLOCKTIME": "1", "OMP_NUM_THREADS": "3"}


ASKED = """#!{python}
import json
wanted = []
while True:
    wanted.append(json.loads(input())["do"])
    print(json.dumps({{"wanted": wanted}}), flush=True)
"""


@pytest.mark.parametrize(("settings", "wanted"), [({}, ["step"]), ({"gives_back": True}, ["trim", "step"])])
def test_memory_in_pieces_is_given_back_before_the_time_of_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], wanted: list[str]
):
    python = tmp_path / "python"
    python.write_text(ASKED.format(python=sys.executable))
    python.chmod(0o755)
    monkeypatch.setattr(run, "PYTHONS", {"trl": python})
    with run.worker("trl", tmp_path, settings, threads=1) as (link, _):
        assert link.step()["wanted"] == ["prepare", *wanted]


GREEDY = """#!{python}
input()
held = bytearray(2 << 30)
"""


def test_a_peer_that_would_fill_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    python = tmp_path / "python"
    python.write_text(GREEDY.format(python=sys.executable))
    python.chmod(0o755)
    monkeypatch.setattr(run, "PYTHONS", {"trl": python})
    monkeypatch.setattr(run, "OURS", psutil.virtual_memory().total - (1 << 30))
    with (
        pytest.raises(ModelError, match="MemoryError"),
        run.worker("trl", tmp_path, {}, threads=1),
    ):
        pass


def test_the_page_shows_what_was_measured():
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.page(text, page.made()) == text


def timed(median: float) -> dict[str, Any]:
    return {"times_as_fast": {"median": median, "low": median - 1, "high": median + 1}}


def test_each_library_has_its_bars_and_its_best_settings():
    env = {"KMP_BLOCKTIME": "1"}
    against = {
        "default": timed(4.0),
        "tuned": timed(3.0) | {"search": [], "settings": {}},
        "vllm_tuned": timed(2.0) | {"search": [], "settings": {"enforce_eager": True, "env": env}},
    }
    found = page.bars({"sampling": {"against": against}, "dpo": {"against": {"gnomon": {}}}})
    assert list(found) == ["sampling", "sampling\nvLLM"]
    assert [found["sampling"][name]["median"] for name in ("default", "tuned")] == [4.0, 3.0]
    assert found["sampling\nvLLM"]["tuned"]["median"] == 2.0
    assert page.best("sampling", against) == [
        "transformers: as it comes",
        "vLLM: `enforce_eager=True`, `KMP_BLOCKTIME=1`",
    ]
    assert page.best("sft_lora", {"tuned": against["tuned"]}) == ["TRL: as it comes"]


def test_a_row_says_how_many_times_as_fast_and_what_memory():
    side = {"units_per_second": {"median": 300.0}, "peak_mib": 1500, "system_share": 0.04}
    other = {"units_per_second": {"median": 50.0}, "peak_mib": 6000, "system_share": 0.31}
    ratio = {"median": 6.0, "low": 5.5, "high": 6.4}
    found = {"gnomon": side, "peer": other, "times_as_fast": ratio, "share_of_memory": 0.25}
    (row,) = page.row_of("sft_lora", {"unit": "tokens", "against": {"untouched": found}})
    assert row == (
        "| `sft_lora` | TRL, untouched | 300 tokens/s | 50 tokens/s | **6.00** (5.50 to 6.40) | 8 | "
        "1,500 of 6,000 MiB: 0.25 | 0.6 | 4%, 31% |"
    )
    (row,) = page.row_of("sampling", {"unit": "tokens", "against": {"vllm_default": found}})
    assert row.startswith("| `sampling` | vLLM, default | 300 tokens/s |")
    assert row.endswith("| 1.4 | 1,500 of 6,000 MiB: 0.25 |  | 4%, 31% |")


def test_shared_prompts_stand_beside_the_other_techniques(tmp_path: Path):
    timed = {"times_as_fast": {"median": 1.7, "low": 1.6, "high": 1.8}}
    for name, found in (
        ("techniques", {"techniques": {"norms": {"work": "training", **timed}}}),
        ("shared_prompts", {"seed": 0, "long prompts": timed}),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(json.dumps(found))
    said = page.techniques(tmp_path)
    assert "| norms | training | **1.70** (1.60 to 1.80) |" in said
    assert "| prompts shared by answers | long prompts | **1.70** (1.60 to 1.80) |" in said
    assert page.techniques(tmp_path / "none") == ""


def test_what_was_measured_on_a_gpu_has_tables_of_its_own(tmp_path: Path):
    assert page.on_gpu(tmp_path) == ""
    side = {"units_per_second": {"median": 9000.0}, "peak_mib": 2500, "system_share": 0.1}
    ratio = {"median": 1.5, "low": 1.4, "high": 1.6}
    beside = {"gnomon": side, "peer": side, "times_as_fast": ratio, "share_of_memory": 1.0}
    results = {
        "model": "billion",
        "device": "cuda",
        "unit": "tokens",
        "lengths": {"row": {"mean": 600.0}},
        "hardware": {"cpu": "AMD EPYC", "threads": 16, "gpu": "NVIDIA H100"},
        "against": {"gnomon": side, "tuned": beside},
    }
    (tmp_path / "sft_lora").mkdir()
    (tmp_path / "sft_lora" / "results-gpu.json").write_text(json.dumps(results))
    text = page.on_gpu(tmp_path)
    assert "On a GPU (the model: `billion`):" in text
    assert "| `sft_lora` | gnomon | 9000 tokens/s |" in text
    assert "**1.50** (1.40 to 1.60) |  | 2,500 of 2,500 MiB: 1.00 |  | 10%, 10% |" in text, "no aims"
    assert "| `sft_lora` | row 600 |  | NVIDIA H100 |" in text
    assert "AMD EPYC" not in text
