"""Decoding with a batch that refills: rows that are done leave, prompts that wait take their places."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gnomon.kernels.batching import by_length
from gnomon.kernels.head import wide
from gnomon.kernels.sampling import sample_states
from gnomon.models.heads import body
from gnomon.models.inference import ready_head
from gnomon.models.load import LanguageModel
from gnomon.rollouts.batch import Batch, Rows
from gnomon.rollouts.cache import joinable, new_cache
from gnomon.rollouts.engine import Sample, Sampling

REFILL = 0.75
"""Rows leave, and others come, when no more than this share of the batch is still going: each time the whole
cache is copied, and what comes is read in one forward pass."""

LOOK = 8
"""Steps between two looks at how far the rows are: for texts that end an answer the last tokens of each are
decoded."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a batch may hold: rows, and tokens in its cache once every row is as long as it may get; and how
    many tokens of prompts, with their padding, are read in one forward pass (a longer prompt: alone)."""

    rows: int = 128
    tokens: int = 1 << 16
    read: int = 1 << 13


DEFAULT = Limits()


class Decoding:
    """Prompts on their way to samples.

    A row's sample follows from its own prompt and seed alone; in bfloat16 as far as rounding, which other
    batch mates may change, moves no token across the number it is drawn by.
    """

    def __init__(
        self,
        lm: LanguageModel,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        seeds: Sequence[int],
        limits: Limits,
    ) -> None:
        self.lm, self.prompts, self.sampling, self.seeds, self.limits = lm, prompts, sampling, seeds, limits
        self.head, self.body = ready_head(lm.model), body(lm.model)
        self.stops = torch.tensor(sorted(lm.stop_ids), device=lm.device)
        # neighbours are of like length, and equal prompts are read once
        self.waiting = deque(sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), list(prompts[i]))))
        self.samples: dict[int, Sample] = {}

    def run(self, stops: Sequence[str] = (), told: Callable[[int, int], None] | None = None) -> list[Sample]:
        """One sample a prompt; a row is left `LOOK` tokens after its text has one of `stops`, or sooner.

        `told` hears as often how many samples are done, and how many there will be.
        """
        for step, rows in enumerate(self.steps()):
            if step % LOOK == 0:
                if stops:
                    self._look(rows, stops)
                if told:
                    told(len(self.samples) + int(rows.done.sum()), len(self.prompts))
        return [self.samples[i] for i in range(len(self.prompts))]

    @torch.no_grad()
    def steps(self) -> Iterator[Rows]:
        """The rows of the batch after each of its steps, until every prompt has its sample."""
        batch = self._refilled(None)
        while batch:
            self._sample(batch.rows)
            yield batch.rows
            batch = self._next(batch)

    def text(self, ids: Sequence[int]) -> str:
        """What a response's ids say, without the stop token."""
        kept = ids[:-1] if ids and ids[-1] in self.lm.stop_ids else ids
        return str(self.lm.tokenizer.decode(list(kept), skip_special_tokens=True)).strip()

    def _look(self, rows: Rows, stops: Sequence[str]) -> None:
        """Call rows done that have come to the end of a text to stop at since the last look."""
        reach = LOOK + max(len(stop.encode()) for stop in stops)  # no token is shorter than a byte
        tokens, steps = rows.tokens.cpu(), rows.steps.tolist()
        for i in (~rows.done).nonzero().flatten().tolist():
            last = tokens[i, max(0, steps[i] - reach) : steps[i]].tolist()
            said = self.lm.tokenizer.decode(last, skip_special_tokens=True)
            if any(stop in said for stop in stops):
                rows.done[i] = True

    def _sample(self, rows: Rows) -> None:
        place, sampling = rows.steps[:, None].clone(), self.sampling
        token, logp = sample_states(
            rows.hidden,
            self.head,
            rows.uniform.gather(1, place).squeeze(1),
            sampling.temperature,
            sampling.top_k,
            sampling.top_p,
        )
        rows.tokens.scatter_(1, place, token[:, None])
        rows.logps.scatter_(1, place, logp[:, None].to(rows.logps.dtype))
        rows.steps.add_(~rows.done)
        rows.done.logical_or_(torch.isin(token, self.stops) | (rows.steps == sampling.max_new_tokens))

    def _next(self, batch: Batch) -> Batch | None:
        """The batch that the next tokens are sampled from."""
        going = ~batch.rows.done
        left, width = torch.stack([going.sum(), (batch.rows.lengths * going).max()]).tolist()
        renew = left <= REFILL * len(going)
        if renew:
            self._leave(batch.rows.take(batch.rows.done))
            if not left:
                return self._refilled(None)
            batch.keep(going.nonzero().squeeze(1))
        batch.trim(width)
        self._step(batch)
        return self._refilled(batch) if renew and joinable(batch.cache) else batch

    def _step(self, batch: Batch) -> None:
        """Read the tokens that were sampled last; of a row that is done, nothing it reads matters."""
        last = batch.rows.tokens.gather(1, batch.rows.steps[:, None] - 1)
        batch.width += 1
        lengths = batch.rows.lengths + ~batch.rows.done  # a position past the context would be an error
        hidden = self._forward(last, lengths, batch.width, batch.cache)
        batch.rows = batch.rows._replace(hidden=hidden, lengths=lengths)

    def _refilled(self, batch: Batch | None) -> Batch | None:
        """The batch with as many waiting prompts as there is room for; an empty one takes one in any case."""
        inside = [] if batch is None else batch.rows.prompt.tolist()
        longest = max((len(self.prompts[i]) for i in inside), default=0)
        fresh: list[int] = []
        while self.waiting:
            longest = max(longest, len(self.prompts[self.waiting[0]]))
            rows = len(inside) + len(fresh) + 1
            tokens = rows * (longest + self.sampling.max_new_tokens)
            if rows > 1 and (rows > self.limits.rows or tokens > self.limits.tokens):
                break
            fresh.append(self.waiting.popleft())
        if not fresh:
            return batch
        read = self._read(fresh)
        if batch is None:
            return read
        batch.add(read)
        return batch

    def _read(self, which: Sequence[int]) -> Batch:
        """A batch of prompts, those of like length read together: all at once most of it might be padding,
        and what a layer makes of so many tokens might be larger than their cache."""
        rows: dict[tuple[int, ...], list[int]] = {}
        for i in which:
            rows.setdefault(tuple(self.prompts[i]), []).append(i)
        equal = list(rows.values())
        groups = by_length([len(prompt) for prompt in rows], self.limits.read)
        first, *others = [[i for k in group for i in equal[k]] for group in groups]
        batch = self._prefilled(first)
        if others and not joinable(batch.cache):
            return self._prefilled(which)
        for group in others:
            batch.add(self._prefilled(group))
        return batch

    def _prefilled(self, which: Sequence[int]) -> Batch:
        """A batch of prompts that are read, equal ones once."""
        device, columns = self.lm.device, self.sampling.max_new_tokens + 1
        distinct = list(dict.fromkeys(tuple(self.prompts[i]) for i in which))
        width = max(map(len, distinct))
        padded = [[self.lm.pad_id] * (width - len(prompt)) + list(prompt) for prompt in distinct]
        lengths = torch.tensor([len(prompt) for prompt in distinct], device=device)
        cache = new_cache(self.lm.model.config)
        hidden = self._forward(torch.tensor(padded, device=device), lengths, width, cache)
        place = {prompt: i for i, prompt in enumerate(distinct)}
        shared = torch.tensor([place[tuple(self.prompts[i])] for i in which], device=device)
        cache.reorder_cache(shared)
        tokens = torch.zeros(len(which), columns, dtype=torch.long, device=device)
        rows = Rows(
            prompt=torch.tensor(which, device=device),
            hidden=hidden[shared],
            lengths=lengths[shared],
            steps=torch.zeros_like(shared),
            done=torch.zeros_like(shared, dtype=torch.bool),
            tokens=tokens,
            logps=torch.zeros_like(tokens, dtype=wide(self.lm.model.dtype)),
            uniform=_uniforms([self.seeds[i] for i in which], columns).to(device),
        )
        return Batch(rows, cache, width)

    def _forward(self, ids: Tensor, lengths: Tensor, width: int, cache: Any) -> Tensor:
        """Read the ids [rows, columns] of the last columns; the hidden states [rows, width] of the very last.

        Of the cache's `width` columns the last `lengths` [rows] are a row's own.
        """
        places = torch.arange(width, device=ids.device) - (width - lengths)[:, None]  # padding is below 0
        output = self.body(
            input_ids=ids,
            attention_mask=(places >= 0).long(),
            position_ids=places[:, -ids.shape[1] :].clamp(min=0),
            past_key_values=cache,
            use_cache=True,
        )
        hidden: Tensor = output.last_hidden_state[:, -1]
        return hidden

    def _leave(self, rows: Rows) -> None:
        """Write down the samples of rows that are done."""
        for i, count, tokens, logps in zip(
            rows.prompt.tolist(), rows.steps.tolist(), rows.tokens.tolist(), rows.logps.tolist(), strict=True
        ):
            ids = tuple(tokens[:count])
            self.samples[i] = Sample(
                prompt_ids=tuple(self.prompts[i]),
                response_ids=ids,
                logps=tuple(logps[:count]),
                text=self.text(ids),
                ended=ids[-1] in self.lm.stop_ids,
            )


def _uniforms(seeds: Sequence[int], count: int) -> Tensor:
    """[rows, count] numbers in [0, 1), each row from its own seed."""
    rows = [np.random.Generator(np.random.Philox(key=seed)).random(count) for seed in seeds]
    return torch.from_numpy(np.stack(rows))
