"""lm-evaluation-harness itself on the tiny model: its own tasks' files, and its own model beside ours."""

import json
from importlib import import_module

import pytest

from gnomon.errors import ConfigError
from gnomon.evaluation.adapters.export import export
from gnomon.evaluation.examine import Kept, examine
from gnomon.evaluation.subjects import Local
from gnomon.evaluation.suites.choices import knowledge, statements
from gnomon.models.load import load
from gnomon.rollouts.engine import Sampling
from gnomon.rollouts.local import LocalEngine

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def extra():
    pytest.importorskip("lm_eval", reason="pip install 'gnomon[lm-eval]'")


@pytest.fixture(scope="module")
def harness(extra):
    """What asks a model tasks."""
    return import_module("gnomon.evaluation.adapters.lm_eval_run")


@pytest.fixture(scope="module")
def model(extra):
    """Our class of the harness's models."""
    return import_module("gnomon.evaluation.adapters.lm_eval_model").GnomonLM


@pytest.fixture(scope="module")
def engine():
    return LocalEngine(load("tiny:0", dtype="float32"))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    export(folder)
    return folder


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_our_suites_have_the_same_figures_there_row_by_row(engine, harness, exported, tmp_path):
    harness.run("tiny", engine, harness.Wanted(("gnomon",), exported, chat=True), tmp_path)
    subject = Local("tiny", "tiny:0", engine.lm, engine)
    for suite in (knowledge(), statements()):
        rows = examine(subject, suite, Kept(tmp_path / f"{suite.name}.kept"), Sampling(1, 0.0))
        ours = {row["id"]: row["values"]["accuracy"] for row in rows}
        samples = lines(tmp_path / f"samples_gnomon_{suite.name}.jsonl")
        assert {sample["doc"]["id"]: sample["acc_bytes"] for sample in samples} == ours
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["config"]["model"] == "tiny"
    assert results["n-samples"]["gnomon_passages"] == {"original": 70, "effective": 70}
    assert 6 < results["results"]["gnomon_passages"]["bits_per_byte,none"] < 10  # 8 says nothing of any byte


def test_a_task_that_samples_text_runs(engine, harness, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"q": "1 + 1 =", "a": "2"}\n{"q": "2 + 2 =", "a": "4"}\n')
    (tmp_path / "sums.yaml").write_text(f"""
task: sums
dataset_path: json
dataset_kwargs: {{data_files: {{test: {tmp_path}/rows.jsonl}}}}
test_split: test
output_type: generate_until
doc_to_text: q
doc_to_target: a
generation_kwargs: {{until: ["e"], max_gen_toks: 12, do_sample: false}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
""")
    out = tmp_path / "out"
    found = harness.run("tiny", engine, harness.Wanted(("sums",), tmp_path, limit=1), out)
    assert found["sums"]["exact_match,none"] == 0.0
    (sample,) = lines(out / "samples_sums.jsonl")
    ((said,),) = sample["resps"]
    assert said
    assert "e" not in said


def test_a_task_that_is_not_there_is_named(engine, harness, exported, tmp_path):
    with pytest.raises(ConfigError, match=r"no task 'gnomon_knowlege'; did you mean gnomon_knowledge"):
        harness.run("tiny", engine, harness.Wanted(("gnomon_knowlege",), exported), tmp_path)
    with pytest.raises(ConfigError, match="there is no folder"):
        harness.run("tiny", engine, harness.Wanted(("gnomon",), tmp_path / "none"), tmp_path)


PAIRS = [
    ("What do bees make?", " Honey"),
    ("What do bees make? ", "Honey"),
    ("", "Honey and wax."),
    ("The\ncapital of France is:\n", "Paris"),
]
SETTINGS = {"until": ["\n\n", "a"], "max_gen_toks": 24, "do_sample": False}


def test_it_says_what_the_harnesss_own_model_says_of_the_same_weights(engine, model, tmp_path):
    engine.lm.model.save_pretrained(tmp_path)
    engine.lm.tokenizer.save_pretrained(tmp_path)
    instance = import_module("lm_eval.api.instance").Instance
    ours, others = model(engine), import_module("lm_eval.models.huggingface").HFLM
    theirs = others(pretrained=str(tmp_path), dtype="float32", device="cpu", batch_size=3)

    def asked(kind, arguments):
        requests = [instance(kind, {}, own, i) for i, own in enumerate(arguments)]
        return [getattr(lm, kind)(list(requests)) for lm in (ours, theirs)]

    mine, others = asked("generate_until", [(context or "Bees", SETTINGS) for context, _ in PAIRS])
    assert mine == others
    likely = [*PAIRS, *((context, text) for (context, _), text in zip(PAIRS, mine, strict=True) if text)]
    mine, others = asked("loglikelihood", likely)
    assert [one for one, _ in mine] == pytest.approx([one for one, _ in others], abs=1e-3)
    assert [greedy for _, greedy in mine] == [greedy for _, greedy in others]
    mine, others = asked("loglikelihood_rolling", [("Bees make honey and wax.",), ("b" * 1500,)])
    assert mine == pytest.approx(others, abs=1e-2)


def test_the_harness_finds_the_model_by_its_name(model):
    assert import_module("lm_eval.api.registry").get_model("gnomon") is model
    more = {"batch_size": 1, "max_batch_size": None, "device": "cpu"}
    made = model.create_from_arg_string("model=tiny:0,dtype=float32", more)
    assert made.texts.lm.ref == made.tokenizer_name == "tiny:0"
    assert "Assistant:" in made.chat_template(True)
