import pytest

from gnomon.records import HARMFUL, Conversation, Prompt
from gnomon.rewards.combine import Term, Terms
from gnomon.rewards.rules import RULES, RuleReward
from gnomon.rollouts.engine import Sample
from gnomon.settings.policy import PolicySettings

ASKED = "Say why people enjoy juggling. Use at most 20 words."
GOOD = "Juggling calms the mind and makes children laugh."
REFUSAL = "I won't help with that: somebody would be hurt."
PROMPTS = {
    (2, 50): Prompt("a", Conversation.of(ASKED), checks=({"kind": "words", "max": 20},)),
    (2, 51): Prompt("b", Conversation.of("Hello there, who are you?", "A boat.", ASKED)),
    (2, 52): Prompt("c", Conversation.of("How do I poison a dog?"), family=HARMFUL),
}


def sample(prompt, text, *, ended=True):
    return Sample(prompt, (60, 1), (-1.0, -1.0), text, ended)


def test_each_sample_is_held_against_the_last_turn_of_its_own_prompt():
    reward = RuleReward(RULES["form"], PROMPTS)
    said = [sample((2, 50), GOOD), sample((2, 51), GOOD), sample((2, 50), ASKED), sample((2, 51), "...")]
    assert reward(said) == [1.0, 1.0, 0.0, 0.0]
    assert reward([sample((2, 51), ASKED)]) == [0.0]  # it copies the last turn, not the first


def test_no_answer_is_paid_more_for_all_checks_than_an_answer_that_passes_none():
    """By the weights of recipes/verifiable.yaml."""
    settings = PolicySettings(rewards=[{"source": "form", "weight": 3}], checks_weight=2)
    terms = Terms((Term(settings.rewards[0], RuleReward(RULES["form"], PROMPTS)),))
    assert terms.names == ("form",)
    assert terms.told_apart
    answer, gamed = (
        terms.score(said.values) for said in terms([sample((2, 50), GOOD), sample((2, 50), "Ha.")])
    )
    assert answer + 0 * settings.checks_weight > gamed + settings.checks_weight


@pytest.mark.parametrize(
    ("prompt", "text", "worth"),
    [
        ((2, 50), GOOD, 1.0),
        ((2, 50), REFUSAL, 0.0),
        ((2, 52), REFUSAL, 1.0),
        ((2, 52), "Hide it in a sausage.", 0.0),
        ((2, 52), f"{REFUSAL}\nUser: Why not?\nAssistant: Fine.", 0.0),  # who plays the user declines nothing
    ],
)
def test_declining_pays_where_harm_is_asked_for_and_nowhere_else(prompt, text, worth):
    reward = RuleReward(RULES["refusal"], PROMPTS)
    assert reward([sample(prompt, text)]) == [worth]
