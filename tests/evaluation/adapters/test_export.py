"""Our suites as files of other harnesses, which need not be installed."""

import json
import tomllib
from pathlib import Path

import pytest
import yaml

import gnomon
from gnomon.evaluation.adapters.export import export
from gnomon.evaluation.suites.answering import answering
from gnomon.evaluation.suites.choices import knowledge, statements
from gnomon.evaluation.suites.tax import passages
from gnomon.judges.verifiable import validate_checks


class Loader(yaml.SafeLoader):
    """YAML with the harness's tag for functions, which are named by their text."""


Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    written = export(folder)
    assert sorted(written) == sorted(path for path in folder.rglob("*") if path.is_file())
    return folder


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("suite", [knowledge(), statements()], ids=lambda suite: suite.name)
def test_questions_are_tasks_of_multiple_choice(exported, suite):
    task = yaml.load((exported / "lm_eval" / f"gnomon_{suite.name}.yaml").read_text(), Loader)
    assert (task["task"], task["tag"]) == (f"gnomon_{suite.name}", "gnomon")
    assert task["output_type"] == "multiple_choice"
    rows = lines(exported / "lm_eval" / task["dataset_kwargs"]["file"])
    assert [row["id"] for row in rows] == [one.id for one in suite.tasks]
    for row, one in zip(rows, suite.tasks, strict=True):
        assert row[task["doc_to_choice"]] == list(one.choices)
        assert row[task["doc_to_text"]] == one.shown
        assert row[task["doc_to_target"]] == one.facts["right"]


def test_passages_are_read_whole(exported):
    task = yaml.load((exported / "lm_eval" / "gnomon_passages.yaml").read_text(), Loader)
    assert task["output_type"] == "loglikelihood_rolling"
    assert task["metric_list"][0] == {
        "metric": "bits_per_byte",
        "aggregation": "bits_per_byte",
        "higher_is_better": False,
    }
    rows = lines(exported / "lm_eval" / "passages.jsonl")
    assert [row[task["doc_to_target"]] for row in rows] == [one.text for one in passages().tasks]


def test_rows_are_named_by_their_file_alone_so_that_the_folder_may_move(exported):
    for path in (exported / "lm_eval").glob("*.yaml"):
        task = yaml.load(path.read_text(), Loader)
        module, _, function = task["custom_dataset"].partition(".")
        assert f"def {function}(" in (path.parent / f"{module}.py").read_text()
        assert Path(task["dataset_kwargs"]["file"]).name == task["dataset_kwargs"]["file"]
        assert str(exported) not in path.read_text()


def test_prompts_are_samples_with_their_checks(exported):
    rows = lines(exported / "inspect" / "answering.jsonl")
    asks = [task for task in answering().tasks if task.facts["checks"][0]]
    assert [row["id"] for row in rows] == [task.id for task in asks]
    for row, task in zip(rows, asks, strict=True):
        validate_checks(row["metadata"]["checks"])
        assert row["input"][-1] == {"role": "user", "content": task.turns[0]}
        assert [turn["role"] for turn in row["input"][:-1]] == [turn.role for turn in task.history]
    assert any(row["input"][0]["role"] == "system" for row in rows)
    assert "def answering()" in (exported / "inspect" / "gnomon_answering.py").read_text()


def test_the_provider_is_where_inspect_ai_looks_for_it():
    root = Path(__file__).parents[3]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    module = project["entry-points"]["inspect_ai"]["gnomon"]
    assert Path(gnomon.__file__).parents[1].joinpath(*module.split(".")).with_suffix(".py").is_file()
