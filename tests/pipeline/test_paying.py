"""Rewards opened by their sources, with a server on this machine that answers, fails, and says nothing."""

import json
from collections import Counter
from dataclasses import replace

import pytest
import torch
from serving import body, cut, hang, lettered, status

from gnomon.config import ConstitutionSettings, Recipe
from gnomon.errors import ConfigError
from gnomon.judges.asking import RETRIES
from gnomon.models.load import load
from gnomon.models.reward_model import RewardModel, Scorer
from gnomon.pipeline.direct import direct_scorer
from gnomon.pipeline.paying import Payers, Paying, digests
from gnomon.pipeline.stage import Artefact
from gnomon.pipeline.stages import Start, seen
from gnomon.records import Conversation, Prompt
from gnomon.rewards.told import unreadable
from gnomon.rollouts.engine import Sample
from gnomon.settings.feedback import DirectSettings, RoleSettings
from gnomon.settings.policy import PolicySettings

PROMPTS = {(2, k): Prompt(f"p{k}", Conversation.of(f"Say {k}")) for k in range(4)}
START = Start("tiny:0")
SAMPLES = [
    Sample((2, k), (60, 1), (-1.0, -1.0), text, ended=True)
    for k in range(4)
    for text in ("yes", "no", "yes!")
]
WEIGHTS = [2.0**-k for k in range(10)]
LOW = 2 * sum(k * w for k, w in enumerate(WEIGHTS)) / sum(WEIGHTS) / 9 - 1
"""The mean of ratings of which each is half as likely as the one before."""


@pytest.fixture(scope="module")
def lm():
    return load("tiny:0", dtype="float32")


def opened(lm, folder, source, *, budget=None, samples=3, **term):
    """The reward of a source, as a policy stage opens it."""
    labeller = term.pop("labeller", None)
    roles = RoleSettings(labeller=labeller, budget=budget)
    own = ConstitutionSettings(roles=roles, direct=DirectSettings(method="rating"))
    settings = PolicySettings(rewards=({"source": source, **term},), samples=samples)
    recipe = Recipe(policy=settings, constitution=own)
    payers = Payers(direct=Artefact("abc", "direct", folder))
    (only,) = Paying(recipe, settings, START, payers, lm, PROMPTS, folder).terms(None).terms
    return only.reward


def test_doubt_makes_rewards_lower_and_costs_higher(lm, tmp_path):
    """Members that say 0, 2 and 4 of everything, of whom the strictest is asked."""
    model = RewardModel(lm, heads=3)
    with torch.no_grad():
        model.score.bias.copy_(torch.tensor([0.0, 2.0, 4.0]))
    own = ({"name": "paid"}, {"name": "fined", "weight": -1}, {"at_most": 1}, {"name": "kept", "at_least": 1})
    rewards = tuple({"source": "model", **term} for term in own)
    settings = PolicySettings(rewards=rewards, ensemble={"combine": "worst"})
    paying = Paying(Recipe(policy=settings), settings, START, Payers(), lm, PROMPTS, tmp_path)
    terms = paying.terms(Scorer(lm, model))
    (said,) = terms(SAMPLES[:1])
    assert said.values == (0.0, 4.0, 4.0, 0.0)
    assert terms.score(said.values) == -4.0
    assert terms.costs(said.values) == (3.0, 1.0)


def judge(lm, folder, server, **more):
    return opened(lm, folder, f"judge:{server.ref}", **more)


def ten_for_no(text):
    """The rating of who likes one answer alone."""
    return 10 if "Answer: no\n" in text else 1


def shorter(text):
    """The verdict of who prefers the shorter answer."""
    first, second = (text.split(f"({letter}) ", 1)[1].split("\n", 1)[0] for letter in "AB")
    return f"It is brief.\n\nVerdict: {'A' if len(first) < len(second) else 'B'}"


def test_a_judge_on_a_server_pays_what_it_says_whatever_goes_wrong_on_the_way(lm, server, tmp_path):
    server.says, server.pause = shorter, 0.01
    server.faults = [status(429, Retry_After="0"), cut, body("not json"), status(500)]
    reward = judge(lm, tmp_path, server, concurrency=3)
    assert reward(SAMPLES) == pytest.approx([0.5, 1.0, 0.0] * 4)
    assert server.most <= 3
    assert len(server.answered) == 4 * 3 * 2
    assert judge(lm, tmp_path, server)(SAMPLES) == pytest.approx([0.5, 1.0, 0.0] * 4)
    assert server.answered.total() == 4 * 3 * 2  # what was paid for is kept


def test_a_reply_that_does_not_come_in_time_is_asked_for_again(lm, server, tmp_path):
    server.says, server.faults = shorter, [hang]
    assert judge(lm, tmp_path, server, samples=2, timeout=0.3)(SAMPLES[:2]) == [0.0, 1.0]
    assert len(server.seen) == 3


def test_a_reply_without_a_verdict_is_asked_for_again_and_kept_as_all_are(lm, server, tmp_path):
    tries = Counter()

    def second(text):
        tries[text] += 1
        return "Both have charm." if "Say 2" in text and tries[text] == 1 else shorter(text)

    server.says = second
    assert judge(lm, tmp_path, server)(SAMPLES) == pytest.approx([0.5, 1.0, 0.0] * 4)
    drawn = [body for _, body, _ in server.seen if body["temperature"]]
    assert [body["temperature"] for body in drawn] == [1.0] * 6
    assert {body["seed"] for body in drawn} == {1}
    assert server.answered.total() == 4 * 3 * 2 + 6
    assert judge(lm, tmp_path, server)(SAMPLES) == pytest.approx([0.5, 1.0, 0.0] * 4)
    assert server.answered.total() == 4 * 3 * 2 + 6


def test_what_never_comes_to_a_verdict_is_a_half_and_counted(lm, server, tmp_path):
    server.says = lambda text: "Both have charm." if "Say 2" in text else shorter(text)
    told = judge(lm, tmp_path, server).told(SAMPLES)
    known = [0.5, 1.0, 0.0]
    assert [one.value for one in told] == pytest.approx([*known, *known, 0.5, 0.5, 0.5, *known])
    assert unreadable(told) == 0.25
    assert told[6].unread == ("'Both have charm.' and 'Both have charm.'",) * 2
    assert server.answered.total() == 4 * 3 * 2 + RETRIES * 6


def test_a_server_that_refuses_or_is_asked_for_too_much_is_an_error(lm, server, tmp_path):
    server.says = shorter
    with pytest.raises(ConfigError, match=r"beyond the budget of 5; raise constitution\.roles"):
        judge(lm, tmp_path, server, budget=5)(SAMPLES)
    assert server.answered.total() == 0
    server.limit = 0  # from here on: what it refuses may still be on its way when the judge has given up
    with pytest.raises(ConfigError, match="HTTP 400 no more"):
        judge(lm, tmp_path, server)(SAMPLES)
    assert server.answered.total() == 0


def test_what_other_processes_were_told_is_not_asked_for_again(lm, server, tmp_path):
    """A run that two began: what the second of them paid for counts, and is in a file that stays as it is."""
    server.says = shorter
    first = judge(lm, tmp_path, server)(SAMPLES)
    (kept,) = tmp_path.glob("*-0.jsonl")
    other = kept.rename(kept.with_name(kept.name.replace("-0", "-1")))
    told = other.read_bytes()
    again = judge(lm, tmp_path, server, budget=24)
    assert again(SAMPLES) == first
    assert server.answered.total() == 24
    with pytest.raises(ConfigError, match=r"has given 24 answers, and 6 more are beyond the budget of 24;"):
        again([replace(sample, text=f"{sample.text}?") for sample in SAMPLES[:3]])
    judge(lm, tmp_path, server)([replace(sample, text=f"{sample.text}?") for sample in SAMPLES[:3]])
    assert (len(kept.read_bytes().splitlines()), other.read_bytes()) == (6, told)


def test_processes_share_what_is_left_of_the_budget(lm, server, tmp_path, monkeypatch):
    """One began with 6 of 20: each of two may ask for 7 more, and knows the first 6."""
    server.says = shorter
    judge(lm, tmp_path, server, budget=20)(SAMPLES[:3])
    for name, value in {"is_initialized": True, "get_world_size": 2, "get_rank": 1}.items():
        monkeypatch.setattr(torch.distributed, name, lambda value=value: value)
    second = judge(lm, tmp_path, server, budget=20)
    assert second(SAMPLES[:6]) == pytest.approx([0.5, 1.0, 0.0] * 2)
    assert server.answered.total() == 12
    with pytest.raises(ConfigError, match=r"and 6 more are beyond the budget of 20 that 2 processes share;"):
        second(SAMPLES[6:9])
    assert sorted(len(file.read_bytes().splitlines()) for file in tmp_path.glob("*.jsonl")) == [6, 6]


def test_an_endpoint_is_named_by_its_reference_alone_and_a_wrong_one_refused_before_anything_loads():
    source = "judge:endpoint:http://localhost:1/v1#m"
    assert digests(PolicySettings(rewards=(source,))) == {source: ""}
    with pytest.raises(ConfigError, match="write endpoint:URL#MODEL"):
        digests(PolicySettings(rewards=("judge:endpoint:nowhere",)))


def test_a_server_rates_by_the_rule_and_is_asked_no_more_than_once(lm, server, tmp_path):
    server.rates = ten_for_no
    server.faults = [status(503), cut]
    reward = opened(lm, tmp_path, "constitution", labeller=str(server.ref), concurrency=2)
    assert reward.at("0")(SAMPLES) == pytest.approx([LOW, -LOW, LOW] * 4)
    asked = server.answered.total()
    again = opened(lm, tmp_path, "constitution", labeller=str(server.ref))
    assert again.at("0")(SAMPLES) == pytest.approx([LOW, -LOW, LOW] * 4)
    assert server.answered.total() == asked
    assert again.at("1")(SAMPLES) == pytest.approx([LOW, -LOW, LOW] * 4)
    assert server.answered.total() > asked  # another batch, other principles


def wordy(handler):
    """A reply that chooses between letters, which nobody asked for."""
    handler.send(200, json.dumps({"model": "tiny", "choices": [lettered(1.0)]}))


def test_a_server_that_says_no_number_is_asked_again(lm, server, tmp_path):
    server.rates, server.faults = ten_for_no, [wordy, wordy]
    told = opened(lm, tmp_path, "constitution", labeller=str(server.ref)).told(SAMPLES)
    assert [one.value for one in told] == pytest.approx([LOW, -LOW, LOW] * 4)
    assert unreadable(told) == 0
    assert len(server.seen) == len(SAMPLES) + 2
    assert [body["temperature"] for _, body, _ in server.seen[-2:]] == [1.0, 1.0]


def test_a_server_that_never_says_a_number_pays_nothing(lm, server, tmp_path):
    server.odds = lambda text: 1.0
    told = opened(lm, tmp_path, "constitution", labeller=str(server.ref)).told(SAMPLES)
    assert {(one.value, one.read, one.unread) for one in told} == {(0.0, 0, ("no number",))}
    assert len(server.seen) == len(SAMPLES) * (1 + RETRIES)


@pytest.mark.parametrize("setting", [{"unreadable": 0.5}, {"timeout": 300}, {"concurrency": 4}])
def test_what_can_only_stop_a_run_makes_no_other_policy(setting):
    changed, usual = ({"source": "model", **more} for more in (setting, {}))
    assert seen(PolicySettings(rewards=(changed,))) == seen(PolicySettings(rewards=(usual,)))
    assert seen(PolicySettings(rewards=(changed,)))["rewards"][0]["source"] == "model"


def test_whoever_labels_scores_and_not_the_policy(lm, tmp_path):
    """Another model in the role gives other scores; the policy, whatever became of it, none."""
    own, other = (opened(lm, tmp_path, "constitution", labeller=ref)(SAMPLES) for ref in (None, "tiny:1"))
    assert max(abs(a - b) for a, b in zip(own, other, strict=True)) > 1e-3
    recipe = Recipe(constitution=ConstitutionSettings(direct=DirectSettings(method="rating")))
    scorer = direct_scorer(recipe, recipe.constitution, START, None)
    assert str(scorer.who) == "self tiny:0"


@pytest.mark.parametrize(("source", "worth"), [("form", [0.0, 1.0]), ("refusal", [1.0, 0.0])])
def test_a_rule_is_opened_by_its_name(lm, tmp_path, source, worth):
    """One word is no answer to the one and no refusal to the other; a sentence that refuses is both."""
    refusal = replace(SAMPLES[0], text="I can't help with that.")
    assert opened(lm, tmp_path, source)([SAMPLES[0], refusal]) == worth
