"""What the stages of a recipe take beside each other, known without a model: the plan at a nominal pace.

Timing this machine, as `plan` does, costs a minute or two and a second model in memory. A road that is walked
shows its own pace; all it lacks is how much each stage still to come weighs beside those that are over.
"""

import sys
from collections.abc import Sequence

from gnomon.config import Recipe
from gnomon.data.sources import Data
from gnomon.pipeline.plan import CHARACTERS, Counted, stage_costs
from gnomon.pipeline.probe import Rates
from gnomon.records import Comparison, Conversation, Prompt

NOMINAL = Rates(
    load=3.0,
    train_token=3.0e-3,
    train_label=2.2e-3,
    forward_token=1.7e-3,
    step=0.05,
    row=2.5e-3,
    memory_gib=0.0,
    weights_gib=0.0,
    trained=0,
)
"""The default model on two cores of 2025. Another machine is faster or slower at all of it."""


def expected(recipe: Recipe, data: Data) -> dict[str, float]:
    """Seconds of each stage at the nominal pace, in the order of the road; the rows cost next to nothing."""
    costs = stage_costs(recipe, roughly(data, recipe.model.max_length), NOMINAL)
    return {"data": 0.0} | {cost.stage: cost.seconds for cost in costs}


def roughly(data: Data, longest: int) -> Counted:
    """Rows counted in tokens by the length of their text; those over `longest` tokens are left out, but for
    held-out comparisons."""
    rated = [row for row in data.ratings if _tokens(row.conversation) <= longest]
    sft = [row for row in data.sft if _tokens(row.conversation) <= longest]
    return Counted(
        demonstrations=len(sft),
        sft_tokens=sum(_tokens(row.conversation) for row in sft),
        sft_labels=sum(_tokens(row.conversation) - _tokens(row.prompt) for row in sft),
        reward=_pairs(data.reward, longest),
        reward_labels=_answers(data.reward, longest),
        ratings=sum(_tokens(row.conversation) for row in rated),
        rating_labels=sum(_tokens(row.conversation) - _tokens(row.prompt) for row in rated),
        second=_pairs(data.second, longest),
        test=_pairs(data.test, sys.maxsize),
        policy=_prompts(data.policy),
        red_team=_prompts(data.red_team),
        evaluation=_prompts(data.evaluation),
        shares=True,
    )


def _tokens(conversation: Conversation) -> int:
    return round(sum(len(message.content) for message in conversation.messages) / CHARACTERS)


def _pairs(rows: Sequence[Comparison], longest: int) -> int:
    return sum(first + second - prompt for prompt, first, second in _lengths(rows, longest))


def _answers(rows: Sequence[Comparison], longest: int) -> int:
    return sum(first + second - 2 * prompt for prompt, first, second in _lengths(rows, longest))


def _lengths(rows: Sequence[Comparison], longest: int) -> list[tuple[int, int, int]]:
    """Tokens of each prompt, and of it with the first and with the second answer."""
    both = [
        (_tokens(row.prompt), _tokens(row.prompt.then(*row.first)), _tokens(row.prompt.then(*row.second)))
        for row in rows
    ]
    return [lengths for lengths in both if max(lengths) <= longest]


def _prompts(rows: Sequence[Prompt]) -> tuple[int, ...]:
    return tuple(_tokens(row.conversation) for row in rows)
