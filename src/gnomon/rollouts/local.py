"""Sampling from a local model: prompts once, a batch that refills, exact log-probs come back."""

from collections.abc import Callable, Iterator, Sequence

from gnomon.errors import DataError
from gnomon.models.inference import ready
from gnomon.models.load import LanguageModel
from gnomon.records import Conversation
from gnomon.rollouts.decoding import DEFAULT, Decoding, Limits
from gnomon.rollouts.engine import Sample, Sampling, seeds_of


class LocalEngine:
    """The `Engine` of a model in memory. Equal prompts that are read together are read once.

    `told` hears from time to time how many of a call's responses are done, and how many there will be.
    """

    def __init__(
        self, lm: LanguageModel, limits: Limits = DEFAULT, told: Callable[[int, int], None] | None = None
    ) -> None:
        self.lm, self.limits, self.told = lm, limits, told

    @property
    def context(self) -> int | None:
        """Tokens that prompt and answer may have together; None where the model knows no limit."""
        return getattr(self.lm.model.config, "max_position_embeddings", None)

    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        seeds: Sequence[int],
        stops: Sequence[str] = (),
    ) -> list[Sample]:
        """Sample one response for each prompt of token ids.

        A response whose text has one of `stops` goes on for a few tokens at most; none of it is cut off.
        """
        self._check(prompts, sampling)
        with ready(self.lm.model):
            return Decoding(self.lm, prompts, sampling, seeds, self.limits).run(stops, self.told)

    def answer(
        self,
        conversations: Sequence[Conversation],
        sampling: Sampling,
        seed: int | Sequence[int] = 0,
        *,
        raw: bool = False,
    ) -> list[Sample]:
        """Answer conversations under the chat template, or (`raw`) continue their last turn as plain text."""
        prompts = [self.encode(conversation, raw=raw) for conversation in conversations]
        return self.sample(prompts, sampling, seeds_of(seed, len(prompts)))

    def stream(
        self, conversation: Conversation, sampling: Sampling, seed: int = 0, *, raw: bool = False
    ) -> Iterator[str]:
        """The answer piece by piece, as it is sampled."""
        prompt = self.encode(conversation, raw=raw)
        self._check([prompt], sampling)
        decoding = Decoding(self.lm, [prompt], sampling, [seed], self.limits)
        text = shown = ""
        with ready(self.lm.model):
            for rows in decoding.steps():
                text = decoding.text(rows.tokens[0, : rows.steps[0]].tolist())
                if not text.endswith("\ufffd"):  # the character may lack bytes still to come
                    yield text[len(shown) :]
                    shown = text
        yield text[len(shown) :]

    def encode(self, conversation: Conversation, *, raw: bool = False) -> list[int]:
        """The prompt's ids, as they are sampled from."""
        if raw:
            return self.lm.template.encode_raw(conversation.messages[-1].content)
        return self.lm.encode_prompt(conversation)

    def room(
        self, conversations: Sequence[Conversation], sampling: Sampling, *, raw: bool = False
    ) -> list[bool]:
        """Whether each prompt leaves room for its answer within the model's context."""
        limit = self.context
        lengths = [len(self.encode(conversation, raw=raw)) for conversation in conversations]
        return [limit is None or length + sampling.max_new_tokens <= limit for length in lengths]

    def _check(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> None:
        limit = self.context
        for i, prompt in enumerate(prompts):
            if not prompt:
                raise DataError(f"prompt {i} is empty; there is nothing to answer")
            if limit is not None and len(prompt) + sampling.max_new_tokens > limit:
                raise DataError(
                    f"prompt {i} has {len(prompt)} tokens and may get {sampling.max_new_tokens} more, "
                    f"beyond the model's context of {limit}; shorten it or lower max_new_tokens"
                )
