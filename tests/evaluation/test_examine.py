"""Suites asked of models: what is kept, what is resumed, what comes out."""

import json

import pytest

from gnomon.errors import DataError, StorageError
from gnomon.evaluation.examine import Kept, Suite, examine, sliced
from gnomon.evaluation.figures import figures
from gnomon.evaluation.subjects import EXAMPLES, Answering, Local
from gnomon.evaluation.suites.answering import answering
from gnomon.evaluation.tasks import Answers, Ask, Choose, Likelihoods, Read
from gnomon.models.load import load
from gnomon.records import Conversation, Message
from gnomon.rollouts.engine import Sample, Sampling
from gnomon.rollouts.local import LocalEngine

GREEDY = Sampling(6, 0.0)
TASKS = (
    Ask("one", "a", "asks", ("Hello?",)),
    Ask("two", "a", "asks", ("Hello?", "And now?"), (Message("system", "Be kind."),)),
    Choose("three", "b", "choices", {"plain": Conversation.of("2 + 2?")}, ("4", "5")),
    Read("four", "c", "texts", "The cat sat on the mat."),
)


def length(task, reply):
    """A judge that looks at every kind of reply."""
    if isinstance(reply, Answers):
        return {"turns": float(len(reply.texts)), "ended": [float(ended) for ended in reply.ended]}
    assert isinstance(reply, Likelihoods)
    return {"loss": -sum(map(sum, reply.logps.values()))}


SUITE = Suite("mixed", TASKS, length, frozenset({"ended"}))


class Counting(Local):
    """The tiny model, and how many tasks it was asked."""

    def __init__(self):
        lm = load("tiny:0")
        super().__init__("tiny", "tiny:0", lm, LocalEngine(lm))
        self.count = 0

    def answer(self, tasks, sampling, seed):
        self.count += len(tasks)
        return super().answer(tasks, sampling, seed)

    def choose(self, tasks):
        self.count += len(tasks)
        return super().choose(tasks)

    def read(self, tasks):
        self.count += len(tasks)
        return super().read(tasks)


@pytest.fixture(scope="module")
def subject():
    return Counting()


def test_every_task_has_its_row_in_order_and_turns_follow_the_models_own(subject, tmp_path):
    rows = examine(subject, SUITE, Kept(tmp_path / "kept.jsonl"), GREEDY)
    assert [row["id"] for row in rows] == ["one", "two", "three", "four"]
    assert [row["values"].get("turns") for row in rows] == [1.0, 2.0, None, None]
    assert rows[1]["prompt"] == "Be kind.\n\nHello?\n\nAnd now?"
    assert rows[2]["answer"] in ("4", "5")
    assert all(row["values"]["loss"] > 0 for row in rows[2:])


def test_what_was_asked_is_not_asked_again_and_a_cut_line_is(subject, tmp_path):
    path = tmp_path / "kept.jsonl"
    first = examine(subject, SUITE, Kept(path), GREEDY)
    before = subject.count
    assert examine(subject, SUITE, Kept(path), GREEDY) == first
    assert subject.count == before
    path.write_bytes(path.read_bytes()[:-20])
    assert examine(subject, SUITE, Kept(path), GREEDY) == first
    assert subject.count == before + 1
    assert examine(subject, SUITE, Kept(path), GREEDY) == first
    assert subject.count == before + 1


@pytest.mark.parametrize("sampling", [Sampling(7, 0.0), Sampling(6, 1.0)])
def test_another_way_of_sampling_asks_again_but_likelihoods_stay(subject, tmp_path, sampling):
    path = tmp_path / "kept.jsonl"
    examine(subject, SUITE, Kept(path), GREEDY)
    before = subject.count
    examine(subject, SUITE, Kept(path), sampling)
    assert subject.count == before + 2


class Rambling:
    """An engine that answers and then takes the user's turn as well."""

    def __init__(self):
        self.asked = []

    def answer(self, conversations, sampling, seed=0, *, raw=False):
        self.asked += conversations
        return [Sample((), (1, 2), (), "Bees.\n\nUser: And wasps?", ended=False) for _ in conversations]


def test_a_model_that_is_shown_examples_ends_where_it_takes_the_users_turn():
    engine = Rambling()
    plain, shown = (Answering("m", "m", engine, shown=how) for how in (False, True))
    assert plain.answer(TASKS[:1], GREEDY, 0) == [Answers(("Bees.\n\nUser: And wasps?",), (False,), (2,))]
    (said,) = shown.answer(TASKS[:1], GREEDY, 0)
    assert said == Answers(("Bees.",), (True,), (None,)), "both tokens are not of the answer alone"
    suite = answering()
    assert suite.judge(suite.tasks[0], said)["length/tokens"] == []
    assert [len(asked.messages) for asked in engine.asked] == [1, 1 + len(EXAMPLES)]
    shown.answer(TASKS[1:2], GREEDY, 0)
    assert engine.asked[2].messages[0].content == "Be kind."


def test_a_slice_takes_every_family_and_no_more_than_asked():
    assert {task.family for task in sliced(SUITE, 3, 0).tasks} == {"asks", "choices", "texts"}
    assert sliced(SUITE, None, 0).tasks == TASKS
    assert sliced(SUITE, 2, 0).tasks == sliced(SUITE, 2, 0).tasks


def test_other_files_and_broken_suites_are_refused(subject, tmp_path):
    path = tmp_path / "kept.jsonl"
    path.write_text(json.dumps({"id": "x", "kind": "poem"}) + "\n")
    with pytest.raises(StorageError, match="other things than replies"):
        Kept(path)
    for tasks, message in (((), "no tasks"), (TASKS[:1] * 2, "an id twice")):
        suite = Suite("mixed", tasks, length, frozenset())
        with pytest.raises(DataError, match=message):
            examine(subject, suite, Kept(tmp_path / "new.jsonl"), GREEDY)


def rows_of(values, clusters, model="m"):
    return [
        {"id": f"{i}", "cluster": own, "family": "", "model": model, "values": {"right": value}}
        for i, (value, own) in enumerate(zip(values, clusters, strict=True))
    ]


def test_figures_resample_clusters_and_pair_models():
    suite = Suite("s", (), length, frozenset({"right"}))
    clusters = [f"c{i // 2}" for i in range(40)]
    better, worse = rows_of([1.0] * 30 + [0.0] * 10, clusters), rows_of([1.0] * 20 + [0.0] * 20, clusters)
    found = figures(suite, {"worse": worse, "better": better})
    assert found["models"]["better"]["right"]["value"] == 0.75
    (gap,) = found["differences"]
    assert (gap["of"], gap["over"], gap["value"]) == ("better", "worse", 0.25)
    assert 0 < gap["low"] < 0.25 < gap["high"]
    doubled = rows_of([1.0] * 30 + [0.0] * 10, [f"c{i // 4}" for i in range(40)])
    wider = figures(suite, {"m": doubled})["models"]["m"]["right"]
    narrow = found["models"]["better"]["right"]
    assert wider["high"] - wider["low"] > narrow["high"] - narrow["low"]


def test_where_all_is_alike_the_interval_still_doubts():
    suite = Suite("s", (), length, frozenset({"right"}))
    found = figures(suite, {"m": rows_of([1.0] * 10, map(str, range(10)))})["models"]["m"]["right"]
    assert (found["value"], found["high"]) == (1.0, 1.0)
    assert found["low"] == pytest.approx(10 / (10 + 2.262157**2))  # Wilson's for 10 of 10, by Student's t


def test_two_models_that_do_all_alike_may_still_differ():
    suite = Suite("s", (), length, frozenset({"right"}))
    clusters = [f"c{i // 2}" for i in range(40)]
    same = rows_of([1.0, 0.0] * 20, clusters)
    (gap,) = figures(suite, {"one": same, "other": same})["differences"]
    assert gap["value"] == 0
    assert gap["high"] == -gap["low"] == pytest.approx(2 * 1.96**2 / (20 + 1.96**2), abs=1e-3)
    assert gap["p_two_sided"] == 1
    assert gap["detectable"] == pytest.approx(gap["high"] * (1.96 + 0.8416) / 1.96, abs=1e-3)
    (mean,) = figures(Suite("s", (), length, frozenset()), {"one": same, "other": same})["differences"]
    assert (mean["low"], mean["high"]) == (0, 0), "nothing bounds what is no share"


def test_models_that_were_asked_different_things_are_not_compared():
    suite = Suite("s", (), length, frozenset())
    with pytest.raises(DataError, match="other tasks"):
        figures(suite, {"a": rows_of([1.0, 0.0], "xy"), "b": rows_of([1.0], "x")})
