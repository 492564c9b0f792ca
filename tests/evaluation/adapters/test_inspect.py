"""inspect_ai itself on the tiny model."""

import asyncio
import subprocess
import sys
from importlib import import_module

import pytest

from gnomon.errors import ConfigError, DataError
from gnomon.evaluation.adapters.export import export
from gnomon.evaluation.suites.answering import answering
from gnomon.judges.verifiable import run_checks

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def extra():
    pytest.importorskip("inspect_ai", reason="pip install 'gnomon[inspect]'")


@pytest.fixture(scope="module")
def run(extra):
    """What asks a model a task."""
    return import_module("gnomon.evaluation.adapters.inspect_run").run


@pytest.fixture(scope="module")
def models(extra):
    """inspect_ai's messages and settings."""
    return import_module("inspect_ai.model")


@pytest.fixture(scope="module")
def api(extra):
    """The provider's class."""
    return import_module("gnomon.evaluation.adapters.inspect_model").GnomonAPI


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    export(folder)
    return str(folder / "inspect" / "gnomon_answering.py")


@pytest.fixture
def provider(api):
    made = api("tiny:0", dtype="float32")
    yield made
    made.close()


@pytest.fixture
def asked(provider, models):
    """Answers to messages that are all under way at once."""

    def ask(texts, **settings):
        async def all_of_them():
            config = models.GenerateConfig(max_tokens=12, **settings)
            messages = [models.ChatMessageUser(content=text) for text in texts]
            return await asyncio.gather(
                *(provider.generate([message], [], "none", config) for message in messages)
            )

        return asyncio.run(all_of_them())

    return ask


def test_our_prompts_are_scored_by_their_checks(run, exported, tmp_path):
    found = run("tiny:0", exported, tmp_path, limit=8, max_new_tokens=8)["answering"]
    assert found["samples"] == 8
    samples = import_module("inspect_ai.log").read_eval_log(found["log"]).samples
    checks = {task.id: task.facts["checks"][0] for task in answering().tasks}
    passed = [all(run_checks(sample.output.completion, checks[sample.id])) for sample in samples]
    assert [sample.scores["checks"].value for sample in samples] == [float(one) for one in passed]
    assert found["scores"]["checks"]["accuracy"] == sum(passed) / 8
    assert {sample.output.usage.output_tokens for sample in samples} <= set(range(1, 9))


def test_requests_under_way_at_once_are_one_lot_and_answered_as_alone(provider, asked):
    lots, sample = [], provider.engine.sample

    def counted(prompts, *args):
        lots.append(len(prompts))
        return sample(prompts, *args)

    provider.engine.sample = counted
    texts = ["x" * (i + 1) for i in range(24)]
    together = asked(texts)
    assert sum(lots) == 24
    assert len(lots) < 4
    alone = [asked([text])[0].completion for text in texts[:4]]
    assert [output.completion for output in together[:4]] == alone
    assert {output.stop_reason for output in together} <= {"stop", "max_tokens"}


def test_a_seed_says_what_is_drawn_and_without_one_each_request_has_its_own(asked):
    drawn = [output.completion for output in asked(["Hi"] * 6, temperature=1.0)]
    assert len(set(drawn)) > 1
    drawn = [output.completion for output in asked(["Hi"] * 6, temperature=1.0, seed=5)]
    assert len(set(drawn)) == 1


def test_one_request_that_cannot_be_answered_spoils_no_other(provider, models):
    async def both():
        config = models.GenerateConfig(max_tokens=4)
        messages = (models.ChatMessageUser(content="Hi"), models.ChatMessageTool(content="42"))
        calls = [provider.generate([message], [], "none", config) for message in messages]
        return await asyncio.gather(*calls, return_exceptions=True)

    fine, refused = asyncio.run(both())
    assert fine.usage.output_tokens > 0
    assert isinstance(refused, ConfigError)


def test_tools_and_strange_arguments_are_refused(provider, models, api):
    with pytest.raises(ConfigError, match="call no tools"):
        asyncio.run(provider.generate([], ["a tool"], "auto", models.GenerateConfig()))
    with pytest.raises(ConfigError, match="takes no revision, but dtype and device"):
        api("tiny:0", revision="main")


def test_a_task_that_fails_is_told_with_its_log(run, tmp_path):
    file = tmp_path / "broken.py"
    file.write_text("""
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.solver import generate


@task
def broken():
    return Task(dataset=[Sample(input="Hi")], solver=generate(num_choices=3))
""")
    with pytest.raises(DataError, match=r"broken ended before it was done: .*num_choices"):
        run("tiny:0", f"{file}@broken", tmp_path, limit=None, max_new_tokens=4)
    with pytest.raises(ConfigError, match="there is no file"):
        run("tiny:0", str(tmp_path / "none.py"), tmp_path, limit=None, max_new_tokens=4)


def test_the_provider_is_found_without_being_imported():
    code = "from inspect_ai.model import get_model; print(get_model('gnomon/tiny:0').name)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["tiny:0"]
