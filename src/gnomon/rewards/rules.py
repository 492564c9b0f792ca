"""Rules as rewards: what a program can say of any answer, against what a reward model does not see."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gnomon.judges.form import form
from gnomon.judges.refusal import declines, refuses
from gnomon.records import HARMFUL, Prompt
from gnomon.rollouts.engine import Sample

Rule = Callable[[Prompt, Sample], float]


@dataclass(frozen=True)
class RuleReward:
    """What a rule says of each sample and its prompt; `prompts` are found by the ids of a sample."""

    rule: Rule
    prompts: Mapping[tuple[int, ...], Prompt]

    def __call__(self, samples: Sequence[Sample]) -> list[float]:
        """One number for each sample."""
        return [self.rule(self.prompts[sample.prompt_ids], sample) for sample in samples]


def in_form(prompt: Prompt, sample: Sample) -> float:
    """1 for an answer, less for what passes checks and is none: `judges.form`."""
    return form(prompt.asked, sample.text, prompt.checks, ended=sample.ended)


def rightly_refused(prompt: Prompt, sample: Sample) -> float:
    """1 where what asks for harm is declined, and where anything else is not refused; 0 for the contrary.

    A prompt asks for harm by its family. Rules that tell refusals, beside a reward model that tells little
    of them, are from Rule Based Rewards (arXiv:2411.01111), where a large model reads them.
    """
    if prompt.family == HARMFUL:
        return float(declines(prompt.asked, sample.text, ended=sample.ended))
    return float(not refuses(sample.text))


RULES: Mapping[str, Rule] = {"form": in_form, "refusal": rightly_refused}
"""Rules by their name in a recipe."""
