"""Two models before every kind of judge; one of each is on a server on this machine."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from architectures import drawn_head
from serving import QUICK, running

from gnomon.errors import ConfigError, DataError
from gnomon.evaluation.suites.answering import answering
from gnomon.models.load import load
from gnomon.models.reference import parse_endpoint_ref
from gnomon.models.reward_model import Scorer, load_scorer, save_scorer
from gnomon.pipeline.reporter import SilentReporter
from gnomon.pipeline.win_rate import Contest, Place, win_rate
from gnomon.records import Conversation
from gnomon.rollouts.endpoint import EndpointEngine
from gnomon.rollouts.engine import Sampling
from gnomon.runs import read_json

PROMPTS = [
    {"id": f"p{i}", "prompt": f"Tell me about {what}.", "checks": [{"kind": "words", "min": 1, "max": 2}]}
    for i, what in enumerate(("owls", "harbours", "clay", "tango", "rust", "lentils", "chess", "fog"))
]
LETTERED = re.compile(r"\(A\) (.*?)\n\n\(B\) (.*)\n\nWhich answer is better", re.S)


class Warned(SilentReporter):
    def __init__(self):
        self.warnings = []

    def warning(self, text):
        self.warnings.append(text)


def opened(ref, kept):
    return EndpointEngine(parse_endpoint_ref(ref), kept, QUICK)


@pytest.fixture(scope="module")
def models(local):
    """A random model, which says 12 colons, and one that says twice what it is asked about."""
    with running(local) as server:
        server.name, server.says = "speaker", lambda turn: 2 * turn.removeprefix("Tell me about ")
        yield {"one": "tiny:0", "other": f"endpoint:{server.ref.url}#speaker"}


@pytest.fixture(scope="module")
def reward(tmp_path_factory):
    lm = load("tiny:2", dtype="float32")
    folder = tmp_path_factory.mktemp("reward")
    save_scorer(Scorer(lm, drawn_head(lm)), folder, "")
    return f"path:{folder}"


@pytest.fixture
def contest(tmp_path, models):
    def make(judges, models=models, **more):
        path = tmp_path / "prompts.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in PROMPTS))
        return Contest(models, judges, answering(path), Sampling(12, 0.0), **more)

    return make


def held(contest, out):
    """The summary, the rows and what was warned of."""
    told = Warned()
    summary = win_rate(contest, Place(out, told, opened))
    rows = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]
    assert json.loads((out / "summary.json").read_text()) == json.loads(json.dumps(summary))
    return summary, rows, told.warnings


def longer(request):
    first, second = LETTERED.search(request).groups()
    return "Verdict: " + ("tie" if len(first) == len(second) else "A" if len(first) > len(second) else "B")


def test_every_verdict_leads_back_to_prompt_and_answers(contest, reward, server, tmp_path):
    server.says = longer
    judges = {"checks": "checks", "reward": reward, "letters": "tiny:3", "served": str(server.ref)}
    summary, rows, warnings = held(contest(judges), tmp_path / "w")
    assert list(summary["judges"]) == [*judges, "longest wins", "random"]
    kinds = [own["kind"] for own in summary["judges"].values()]
    assert kinds == ["checks", "reward", "model", "endpoint", "baseline", "baseline"]
    assert len(rows) == 6 * len(PROMPTS)
    for name, own in summary["judges"].items():
        told = [row for row in rows if row["judge"] == name]
        assert [row["id"] for row in told] == [row["id"] for row in PROMPTS]
        assert sum(row["worth"] for row in told) / len(told) == pytest.approx(own["win_rate"]["value"])
        assert all(row["length_difference"] == len(row["first"]) - len(row["second"]) for row in told)
    served, longest = ([r["worth"] for r in rows if r["judge"] == who] for who in ("served", "longest wins"))
    assert served == longest
    assert summary["judges"]["served"]["flips"]["value"] == 0
    assert warnings == []
    assert summary["judges"]["checks"]["win_rate"]["value"] == 0  # a random model says no words
    assert 0 < summary["judges"]["served"]["win_rate"]["value"] < 1
    assert summary["cut_off"] == [len(PROMPTS), 0]
    opened = read_json(tmp_path / "w" / "manifest.json")["test_openings"]
    assert list(opened.values()) == [1, 1]  # held-out prompts were looked at, once by each model


def test_nothing_is_asked_or_judged_twice(contest, reward, server, tmp_path):
    server.says, server.seen = longer, []
    judges = {"reward": reward, "served": str(server.ref)}
    summary, rows, _ = held(contest(judges), tmp_path / "w")
    assert 0 < len(server.seen) <= 2 * len(PROMPTS)
    server.seen = []
    kept = {path: path.read_bytes() for path in (tmp_path / "w").rglob("*/*.jsonl")}
    assert len(kept) == 4  # two models' replies, two judges' judgements
    again, same, _ = held(contest(judges), tmp_path / "w")
    assert (again["judges"], same, server.seen) == (summary["judges"], rows, [])
    assert {path: path.read_bytes() for path in kept} == kept


def test_other_answers_to_the_same_prompts_are_judged_anew(contest, reward, tmp_path):
    judges = {"reward": reward}
    first, _, _ = held(contest(judges), tmp_path / "w")
    (kept,) = (tmp_path / "w" / "judgements").glob("*.jsonl")
    assert len(kept.read_text().splitlines()) == len(PROMPTS)
    shorter = replace(contest(judges), sampling=Sampling(3, 0.0))
    _, rows, _ = held(shorter, tmp_path / "w")
    assert len(kept.read_text().splitlines()) == 2 * len(PROMPTS)
    assert rows == held(shorter, tmp_path / "fresh")[1]
    assert held(contest(judges), tmp_path / "w")[0]["judges"] == first["judges"]


def test_an_answer_that_was_cut_off_is_scored_without_an_end(contest, reward, tmp_path):
    _, rows, _ = held(contest({"reward": reward}), tmp_path / "w")
    scorer = load_scorer(Path(reward.removeprefix("path:")))
    row = next(row for row in rows if row["judge"] == "reward")
    for said, side in zip(map(float, row["said"]), ("first", "second"), strict=True):
        ids = scorer.lm.encode(Conversation.of(row["prompt"], row[side])).ids
        cut, whole = scorer.score([ids[:-1], ids])
        nearer = abs(said - cut) < abs(said - whole)
        assert nearer == (side == "first")  # which never ends; batches differ in rounding


def test_a_planted_position_bias_comes_to_a_half(contest, server, tmp_path):
    server.says = lambda _: "Verdict: A"
    summary, rows, _ = held(contest({"first": str(server.ref)}), tmp_path / "w")
    found = summary["judges"]["first"]
    assert (found["win_rate"]["value"], found["flips"]["value"]) == (0.5, 1.0)
    assert {tuple(row["said"]) for row in rows if row["judge"] == "first"} == {("Verdict: A",) * 2}


def test_replies_without_a_verdict_are_counted(contest, server, tmp_path):
    server.says = lambda request: "I cannot say." if "owls" in request else "Verdict: tie"
    summary, rows, _ = held(contest({"served": str(server.ref)}), tmp_path / "w")
    found = summary["judges"]["served"]
    assert (found["judged"], found["abstained"]) == (7, {"unparsable": 1})
    (left_out,) = (row for row in rows if row["judge"] == "served" and row["worth"] is None)
    assert (left_out["id"], left_out["said"]) == ("p0", ["I cannot say."] * 2)


def test_judges_are_measured_on_labelled_pairs_and_people_anchor_them(contest, server, tmp_path):
    server.says = longer
    labelled = [
        {"prompt": f"Why {i}?", "chosen": "x" * (9 - i % 3), "rejected": "y" * (5 + i % 5)} for i in range(20)
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in labelled) + "{}\n")
    votes = [{"prompt_id": f"p{i}", "winner": "one", "annotator": who} for i in range(3) for who in "ab"]
    votes[0]["winner"] = "tie"
    votes += [{"prompt_id": "p3", "winner": "other", "annotator": "a"}]
    (tmp_path / "votes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in votes))
    judges = {"people": f"votes:{tmp_path / 'votes.jsonl'}", "served": str(server.ref)}
    asked = contest(judges, calibration=tmp_path / "pairs.jsonl")
    summary, rows, _ = held(asked, tmp_path / "w")
    people, served = summary["judges"]["people"], summary["judges"]["served"]
    assert people["win_rate"]["value"] == (0.75 + 1 + 1 + 0) / 4
    assert people["abstained"] == {"no votes": 4}
    assert "agreement" not in people
    longest = summary["judges"]["longest wins"]["agreement"]["accuracy"]["value"]
    assert served["agreement"]["accuracy"]["value"] == longest == 0.7  # longer in 12, as long in 4 of 20
    assert "ece" not in served["agreement"]
    assert served["corrected"]["n"] == len(PROMPTS)
    assert served["with_people"]["n"] == 4
    assert "with_people" not in people
    assert summary["calibration"]["pairs"] == 20
    assert summary["calibration"]["judged_by"] == ["ai"]  # the file does not say
    assert sum(summary["calibration"]["dropped"].values()) == 1
    known = [row for row in rows if row["judge"] == "served" and row["part"] == "calibration"]
    assert {row["label"] for row in known} == {0.0, 1.0}


def test_a_judge_that_is_kin_is_named(contest, tmp_path):
    judges = {"mirror": "tiny:0", "stranger": "tiny:1"}
    summary, _, warnings = held(contest(judges), tmp_path / "w")
    assert summary["judges"]["mirror"]["kin"] == ["it is one itself"]
    assert summary["judges"]["stranger"]["kin"] == []
    assert warnings == ["judge mirror is no stranger to what it judges: it is one itself"]


def test_what_cannot_be_judged_is_refused_before_anything_is_asked(contest, tmp_path):
    (tmp_path / "votes.jsonl").write_text(
        json.dumps({"prompt_id": "p0", "winner": "x", "annotator": "a"}) + "\n"
    )
    votes = f"votes:{tmp_path / 'votes.jsonl'}"
    for judges, problem, kind in (
        ({"v": votes}, "row 1 of votes.jsonl", DataError),
        ({"v": votes, "w": votes}, "put them into one", ConfigError),
        ({"random": "checks"}, "no judge is called", ConfigError),
    ):
        with pytest.raises(kind, match=problem):
            held(contest(judges), tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_a_slice_of_the_prompts_is_asked_and_votes_on_others_are_no_error(contest, tmp_path):
    rows = [{"prompt_id": row["id"], "winner": "one", "annotator": "a"} for row in PROMPTS]
    (tmp_path / "votes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary, _, _ = held(contest({"v": f"votes:{tmp_path / 'votes.jsonl'}"}, limit=3), tmp_path / "w")
    assert summary["prompts"] == summary["judges"]["v"]["judged"] == 3


def test_the_same_model_twice_ties_throughout(contest, tmp_path):
    summary, _, _ = held(contest({"letters": "tiny:3"}, {"a": "tiny:0", "b": "tiny:0"}), tmp_path / "w")
    assert summary["identical"] == len(PROMPTS)
    assert {own["win_rate"]["value"] for name, own in summary["judges"].items()} == {0.5}
