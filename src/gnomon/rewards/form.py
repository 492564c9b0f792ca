"""Rules of form as a reward: what stands against passing checks without answering."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gnomon.judges.form import form
from gnomon.records import Prompt
from gnomon.rollouts.engine import Sample


@dataclass(frozen=True)
class FormReward:
    """1 for a sample that answers, less for one that does not; `prompts` are found by the ids of a sample."""

    prompts: Mapping[tuple[int, ...], Prompt]

    def __call__(self, samples: Sequence[Sample]) -> list[float]:
        """One number for each sample."""
        return [self._of(sample) for sample in samples]

    def _of(self, sample: Sample) -> float:
        prompt = self.prompts[sample.prompt_ids]
        asked = prompt.conversation.messages[-1].content
        return form(asked, sample.text, prompt.checks, ended=sample.ended)
