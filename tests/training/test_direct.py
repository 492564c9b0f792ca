"""A policy that is paid by principles: interrupted and continued is never interrupted."""

import pytest
import torch
from objectives import PROMPTS, build, tiny

from gnomon.constitution.direct import ConstitutionReward, DirectScorer
from gnomon.constitution.labeller import Who
from gnomon.constitution.principles import Constitution, Principle
from gnomon.judges.direct import contrast_grade
from gnomon.records import Conversation, Prompt
from gnomon.settings.feedback import DirectSettings

THREE = Constitution(
    name="three",
    principles=tuple(
        Principle(id=name, text=f"The answer is {name}.", comparison=f"Which is more {name}?")
        for name in ("kind", "true", "short")
    ),
)


class CutError(Exception):
    """The machine was taken away."""


def paid(seen=None):
    """A policy whose samples another model scores; what it is asked goes to `seen`."""
    lm = tiny("float32")
    prompts = {tuple(lm.encode_prompt(Conversation.of(text))): text for text in PROMPTS}
    known = {ids: Prompt(text, Conversation.of(text)) for ids, text in prompts.items()}
    grade = contrast_grade(lm)

    def told(asked):
        if seen is not None:
            seen.append([(one.prompt.text, one.criterion.id) for one in asked])
        return grade(asked)

    scorer = DirectScorer(Who("self", "tiny:0"), told, THREE, DirectSettings())
    torch.manual_seed(5)
    reward = ConstitutionReward(scorer, known, 2)
    return build("policy", optim={"batch_size": 4}, policy={"kl_budget": 1e6}, reward=reward)


def cut(done, total, note):
    if done == 3:
        raise CutError


def weights(built):
    return {name: p.detach().clone() for name, p in built.module.named_parameters()}


@pytest.mark.mistake("resume-differs")
def test_a_resumed_run_is_held_against_the_same_principles_and_paid_the_same(tmp_path):
    whole, parts = [], []
    undisturbed = paid(whole)
    undisturbed.trainer(tmp_path / "whole").run()
    with pytest.raises(CutError):
        paid(parts).trainer(tmp_path / "cut", cut).run()
    resumed = paid(parts)
    resumed.trainer(tmp_path / "cut").run()
    assert len(whole) == 6
    assert parts[:3] == whole[:3]
    assert parts[3:] == whole[6 - len(parts[3:]) :]
    assert len({name for asked in whole for _, name in asked}) == 3
    expected, found = weights(undisturbed), weights(resumed)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
