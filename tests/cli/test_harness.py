import json
import sys

import pytest

from gnomon.cli.harness import lm_eval_rows


@pytest.mark.parametrize(
    ("arguments", "module", "extra"),
    [
        (("lm-eval", "tiny:0", "--tasks", "gnomon"), "lm_eval", "lm-eval"),
        (("inspect", "tiny:0", "--task", "tasks.py"), "inspect_ai", "inspect"),
    ],
)
def test_a_missing_extra_is_a_line_to_type(gnomon, monkeypatch, arguments, module, extra):
    for name in ("lm_eval_run", "inspect_run"):
        monkeypatch.delitem(sys.modules, f"gnomon.evaluation.adapters.{name}", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    done = gnomon("harness", *arguments)
    assert done.code == 2
    assert f"pip install 'gnomon[{extra}]'" in done.err


def test_our_suites_are_written_once(gnomon, tmp_path):
    done = gnomon("harness", "export", "ours")
    assert done.code == 0
    written = done.out.splitlines()
    assert "ours/lm_eval/gnomon_knowledge.yaml" in written
    assert "ours/inspect/gnomon_answering.py" in written
    assert sorted(written) == sorted(
        str(path.relative_to(tmp_path)) for path in (tmp_path / "ours").rglob("*") if path.is_file()
    )
    again = gnomon("harness", "export", "ours")
    assert (again.code, "is there already" in again.err) == (2, True)


def test_metrics_are_told_with_their_standard_errors():
    found = {
        "alias": "a",
        "acc,none": 0.5,
        "acc_stderr,none": 0.1,
        "em,strict": 1.0,
        "em_stderr,strict": "N/A",
    }
    assert list(lm_eval_rows(found)) == [("acc", 0.5, 0.1), ("em,strict", 1.0, None)]


@pytest.mark.slow
def test_a_task_of_lm_eval_from_the_command_line(gnomon):
    pytest.importorskip("lm_eval", reason="pip install 'gnomon[lm-eval]'")
    gnomon("harness", "export", "ours")
    command = ("harness", "lm-eval", "tiny:0", "--tasks", "gnomon_knowledge", "--task-dir", "ours")
    done = gnomon(*command, "--limit", "4", "--json")
    assert done.code == 0, done.err
    assert 0 <= json.loads(done.out)["results"]["gnomon_knowledge"]["acc,none"] <= 1
    shown = gnomon(*command, "--limit", "4", "--chat", "--out", "r")
    assert "acc_bytes" in shown.out
    assert "results and samples: r" in shown.out


@pytest.mark.slow
def test_a_task_of_inspect_from_the_command_line(gnomon):
    pytest.importorskip("inspect_ai", reason="pip install 'gnomon[inspect]'")
    gnomon("harness", "export", "ours")
    command = ("harness", "inspect", "tiny:0", "--task", "ours/inspect/gnomon_answering.py")
    done = gnomon(*command, "--limit", "2", "--max-new-tokens", "4", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["results"]["answering"]["samples"] == 2
