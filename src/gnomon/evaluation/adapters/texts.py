"""A model asked by plain texts, as lm-evaluation-harness asks. Ids are made by that harness's conventions, so
that figures can be set beside those of other models."""

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from gnomon.errors import ConfigError
from gnomon.evaluation.adapters.continued import continued
from gnomon.models.load import LanguageModel
from gnomon.models.logps import likelihoods, sequence_logps
from gnomon.rollouts.engine import Sampling
from gnomon.rollouts.local import LocalEngine

log = logging.getLogger(__name__)

ROWS = 256
"""Rows read at once; progress is told after each lot."""

DEFAULT_TOKENS = 256
"""How long a text goes on where a task does not say."""

LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
"""Names of the longest continuation, the first one that is given counts."""

KNOWN = frozenset({"until", "do_sample", "temperature", "top_k", "top_p", *LENGTHS})
NEUTRAL: Mapping[str, Any] = {"num_beams": 1, "num_return_sequences": 1, "repetition_penalty": 1.0}
"""Settings that we have not got, at the values at which they change nothing."""

Progress = Callable[[int, int], None]
Ids = list[int]
T = TypeVar("T")


class Texts:
    """Likelihoods and continuations of texts under a model in memory."""

    def __init__(self, engine: LocalEngine, progress: Progress | None = None) -> None:
        self.engine, self.lm = engine, engine.lm
        self._progress = progress or (lambda done, total: None)
        self._opening, self._gap = "", ""

    @property
    def prefix(self) -> int:
        """What stands before a text that follows on nothing: BOS, or EOS where the model has none."""
        tokenizer = self.lm.tokenizer
        known = (tokenizer.bos_token_id, tokenizer.eos_token_id, min(self.lm.stop_ids))
        return next(int(token) for token in known if token is not None)

    def likelihoods(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
        """Of each text after its context: log-prob in nats, and whether greedy sampling would give it."""
        sums, greedy = [0.0] * len(pairs), [True] * len(pairs)
        for i, part in self._read([self._pair(*pair) for pair in pairs], likelihoods):
            sums[i] += float(part.logps.double().sum())
            greedy[i] = greedy[i] and bool(part.greedy.all())
        return list(zip(sums, greedy, strict=True))

    def rolling(self, texts: Sequence[str]) -> list[float]:
        """Log-prob in nats of each whole text, its first token's included."""
        sums = [0.0] * len(texts)
        for i, logps in self._read([([self.prefix], self._bare(text)) for text in texts], sequence_logps):
            sums[i] += float(logps.double().sum())
        return sums

    def continuations(self, texts: Sequence[str], settings: Sequence[Mapping[str, Any]]) -> list[str]:
        """What follows each text under the settings a task gives; row i draws by seed i.

        Of a text too long for the context the end is read. ConfigError for settings we have not got.
        """
        asked: dict[Generation, list[int]] = {}
        for i, own in enumerate(settings):
            asked.setdefault(generation(own), []).append(i)
        found: dict[int, str] = {}
        for how, places in asked.items():
            prompts = self._fitting([texts[i] for i in places], how.sampling.max_new_tokens)
            for start in range(0, len(places), ROWS):
                lot, seeds = prompts[start : start + ROWS], places[start : start + ROWS]
                answers = continued(self.engine, lot, how.sampling, seeds, how.stops)
                found |= {i: answer.text for i, answer in zip(seeds, answers, strict=True)}
                self._progress(len(found), len(texts))
        return [found[i].removeprefix(self._gap_after(text)) for i, text in enumerate(texts)]

    def render(self, messages: Sequence[Mapping[str, str]], *, answering: bool) -> str:
        """A conversation as text under the model's chat template: up to where the answer begins, or, not
        `answering`, to the end of what the last message says.

        From here on, an answer that follows right on the template's opening is taken to have the space before
        it that it has in training, whether or not the harness writes it.
        """
        self._opening, self._gap = opening(self.lm.tokenizer)
        return str(
            self.lm.tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                tokenize=False,
                add_generation_prompt=answering,
                continue_final_message=not answering,
            )
        )

    def _read(
        self,
        rows: Sequence[tuple[Ids, Ids]],
        read: Callable[[LanguageModel, Sequence[Ids], Sequence[Ids]], Sequence[T]],
    ) -> Iterator[tuple[int, T]]:
        """What is read of each part of each row's response, with the row's place."""
        size = self.engine.context or sys.maxsize
        parts = [(i, *part) for i, row in enumerate(rows) for part in windows(*row, size)]
        for start in range(0, len(parts), ROWS):
            places, prompts, responses = zip(*parts[start : start + ROWS], strict=True)
            yield from zip(places, read(self.lm, prompts, responses), strict=True)
            self._progress(min(start + ROWS, len(parts)), len(parts))

    def _pair(self, context: str, text: str) -> tuple[Ids, Ids]:
        """The ids of a context and of the text after it. Spaces between them are the text's, for so they are
        in a tokenizer's words; where the two meet, the whole is cut after as many ids as the context has."""
        if text and not text[0].isspace():
            text = self._gap_after(context) + text
        bare = context.rstrip()
        if not bare:
            return [self.prefix], self._bare(context + text)
        prompt = self.lm.template.encode_raw(bare)
        return prompt, self.lm.template.encode_raw(context + text)[len(prompt) :]

    def _gap_after(self, context: str) -> str:
        return self._gap if context.endswith(self._opening) else ""

    def _bare(self, text: str) -> Ids:
        """Ids without BOS, even where the text spells it out."""
        ids: Ids = self.lm.tokenizer.encode(text, add_special_tokens=False)
        return ids[1:] if ids[:1] == [self.prefix] else ids

    def _fitting(self, texts: Sequence[str], room: int) -> list[Ids]:
        """Prompts that leave so much room for what follows."""
        prompts = [self.lm.template.encode_raw(text) or [self.prefix] for text in texts]
        if self.engine.context is None:
            return prompts
        longest = self.engine.context - room
        if longest < 1:
            raise ConfigError(
                f"the task asks for {room} tokens, and the model's context has {self.engine.context}; "
                f"lower {LENGTHS[0]} in the task"
            )
        cut = sum(len(prompt) > longest for prompt in prompts)
        if cut:
            log.warning(
                "%d of %d texts are longer than the context has room for: their beginnings are left out",
                cut,
                len(prompts),
            )
        return [prompt[-longest:] for prompt in prompts]


class Generation(NamedTuple):
    """How a text goes on, and what ends it."""

    sampling: Sampling
    stops: tuple[str, ...]


def generation(settings: Mapping[str, Any]) -> Generation:
    """A task's settings of generation: greedy unless it samples or names a temperature above 0.

    ConfigError for a setting we have not got.
    """
    strange = sorted(
        name for name, value in settings.items() if name not in KNOWN and NEUTRAL.get(name) != value
    )
    if strange:
        raise ConfigError(f"generation knows no {', '.join(strange)}; take it out of the task")
    given = {
        name: float(settings[name]) for name in ("temperature", "top_p") if settings.get(name) is not None
    }
    samples = settings.get("do_sample")
    if samples is None:
        samples = given.get("temperature", 0.0) > 0
    limit = next((settings[name] for name in LENGTHS if settings.get(name) is not None), DEFAULT_TOKENS)
    until = settings.get("until") or ()
    top_k = int(settings.get("top_k") or 0)
    sampling = Sampling(
        max_new_tokens=int(limit),
        temperature=given.get("temperature", 1.0) if samples else 0.0,
        top_k=top_k if top_k > 0 else None,
        top_p=given.get("top_p"),
    )
    stops = (until,) if isinstance(until, str) else until
    return Generation(sampling, tuple(stop for stop in stops if stop))


def windows(prompt: Ids, response: Ids, size: int) -> Iterator[tuple[Ids, Ids]]:
    """The response in parts, each after as much as goes before it into rows of `size` tokens, and after one
    token at least: all parts but the last are as long as can be, and each token is predicted once."""
    ids = [*prompt, *response]
    start = len(prompt)
    while start < len(ids):
        end = min(start + size - 1, len(ids))
        yield ids[max(0, end - size) : start], ids[start:end]
        start = end


def opening(tokenizer: Any) -> tuple[str, str]:
    """What a chat template writes where an answer begins, and the space between that and the answer."""
    asked = [{"role": "user", "content": "a"}]
    talks = (asked, [*asked, {"role": "assistant", "content": "b"}])
    before, whole = (str(tokenizer.apply_chat_template(talk, tokenize=False)) for talk in talks)
    waiting = str(tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True))
    rest = whole.removeprefix(waiting) if whole.startswith(waiting) else ""
    return waiting.removeprefix(before), rest[: len(rest) - len(rest.lstrip())]
