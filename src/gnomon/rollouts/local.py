"""Sampling from a local model: prompts once, finished rows leave the batch, exact log-probs come back."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from gnomon.errors import DataError
from gnomon.kernels.head import head_logits, wide
from gnomon.kernels.sampling import sample_tokens
from gnomon.models.heads import body, output_head, without_dropout
from gnomon.models.load import LanguageModel
from gnomon.records import Conversation
from gnomon.rollouts.engine import Sample, Sampling

ROWS = 128
"""Rows decoded together."""

COMPACT = 0.75
"""The batch is compacted when no more than this share of its rows is still going."""


class LocalEngine:
    """The `Engine` of a model in memory. Rows with the same prompt share its prefill."""

    def __init__(self, lm: LanguageModel) -> None:
        self.lm = lm

    @torch.no_grad()
    def sample(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling, seeds: Sequence[int]
    ) -> list[Sample]:
        """Sample one response for each prompt of token ids."""
        self._check(prompts, sampling)
        order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), list(prompts[i])))
        results: dict[int, Sample] = {}
        for start in range(0, len(order), ROWS):
            rows = order[start : start + ROWS]
            decode = _Decoding(self.lm, [prompts[i] for i in rows], sampling, [seeds[i] for i in rows])
            with without_dropout(self.lm.model):
                results.update(zip(rows, decode.run(), strict=True))
        return [results[i] for i in range(len(prompts))]

    def answer(
        self,
        conversations: Sequence[Conversation],
        sampling: Sampling,
        seed: int = 0,
        *,
        raw: bool = False,
    ) -> list[Sample]:
        """Answer conversations under the chat template, or (`raw`) continue their last turn as plain text."""
        prompts = [self.encode(conversation, raw=raw) for conversation in conversations]
        return self.sample(prompts, sampling, range(seed, seed + len(prompts)))

    def stream(
        self, conversation: Conversation, sampling: Sampling, seed: int = 0, *, raw: bool = False
    ) -> Iterator[str]:
        """The answer piece by piece, as it is sampled."""
        prompt = self.encode(conversation, raw=raw)
        self._check([prompt], sampling)
        decode = _Decoding(self.lm, [prompt], sampling, [seed])
        shown = ""
        with without_dropout(self.lm.model):
            for _ in decode.steps():
                text = decode.text(0)
                if not text.endswith("\ufffd"):  # the character may lack bytes still to come
                    yield text[len(shown) :]
                    shown = text
        yield decode.text(0)[len(shown) :]

    def encode(self, conversation: Conversation, *, raw: bool = False) -> list[int]:
        """The prompt's ids, as they are sampled from."""
        if raw:
            return self.lm.template.encode_raw(conversation.messages[-1].content)
        return self.lm.encode_prompt(conversation)

    def room(
        self, conversations: Sequence[Conversation], sampling: Sampling, *, raw: bool = False
    ) -> list[bool]:
        """Whether each prompt leaves room for its answer within the model's context."""
        limit = self._context()
        lengths = [len(self.encode(conversation, raw=raw)) for conversation in conversations]
        return [limit is None or length + sampling.max_new_tokens <= limit for length in lengths]

    def _context(self) -> int | None:
        return getattr(self.lm.model.config, "max_position_embeddings", None)

    def _check(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> None:
        limit = self._context()
        for i, prompt in enumerate(prompts):
            if not prompt:
                raise DataError(f"prompt {i} is empty; there is nothing to answer")
            if limit is not None and len(prompt) + sampling.max_new_tokens > limit:
                raise DataError(
                    f"prompt {i} has {len(prompt)} tokens and may get {sampling.max_new_tokens} more, "
                    f"beyond the model's context of {limit}; shorten it or lower max_new_tokens"
                )


class _Decoding:
    """One batch on its way: `active` maps rows of the tensors to rows of the batch."""

    def __init__(
        self,
        lm: LanguageModel,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        seeds: Sequence[int],
    ) -> None:
        self.lm, self.prompts, self.sampling = lm, prompts, sampling
        self.head, self.body = output_head(lm.model), body(lm.model)
        self.stops = torch.tensor(sorted(lm.stop_ids), device=lm.device)
        self.uniform = _uniforms(seeds, sampling.max_new_tokens).to(lm.device)
        self.tokens = torch.zeros(len(prompts), sampling.max_new_tokens, dtype=torch.long, device=lm.device)
        self.logps = torch.zeros_like(self.tokens, dtype=wide(lm.model.dtype))
        self.lengths = torch.zeros(len(prompts), dtype=torch.long, device=lm.device)
        self.ended = torch.zeros(len(prompts), dtype=torch.bool, device=lm.device)
        self.active = torch.arange(len(prompts), device=lm.device)

    def run(self) -> list[Sample]:
        for _ in self.steps():
            pass
        return [self._result(i) for i in range(len(self.prompts))]

    @torch.no_grad()
    def steps(self) -> Iterator[None]:
        """Decode step by step until every row ended or has `max_new_tokens`."""
        hidden, cache, attention = self._prefill()
        for step in range(self.sampling.max_new_tokens):
            logits = head_logits(hidden, self.head)
            token, logp = sample_tokens(logits, self.uniform[self.active, step], self.sampling.temperature)
            going = ~self.ended[self.active]
            rows = self.active[going]
            self.tokens[rows, step] = token[going]
            self.logps[rows, step] = logp[going]
            self.lengths[rows] = step + 1
            self.ended[rows] = torch.isin(token[going], self.stops)
            yield
            going = ~self.ended[self.active]
            left = int(going.sum())
            if left == 0 or step + 1 == self.sampling.max_new_tokens:
                return
            if left <= COMPACT * len(self.active):
                keep = going.nonzero().squeeze(1)
                cache.batch_select_indices(keep)
                attention, token, self.active = attention[keep], token[keep], self.active[keep]
            attention = torch.nn.functional.pad(attention, (0, 1), value=1)
            hidden = self._forward(token[:, None], attention, cache)

    def text(self, row: int) -> str:
        length = int(self.lengths[row]) - int(self.ended[row])
        text = self.lm.tokenizer.decode(self.tokens[row, :length].tolist(), skip_special_tokens=True)
        return str(text).strip()

    def _result(self, row: int) -> Sample:
        length = int(self.lengths[row])
        return Sample(
            prompt_ids=tuple(self.prompts[row]),
            response_ids=tuple(self.tokens[row, :length].tolist()),
            logps=tuple(self.logps[row, :length].tolist()),
            text=self.text(row),
            ended=bool(self.ended[row]),
        )

    def _prefill(self) -> tuple[Tensor, Any, Tensor]:
        distinct = list(dict.fromkeys(tuple(prompt) for prompt in self.prompts))
        index = {prompt: i for i, prompt in enumerate(distinct)}
        longest = max(len(prompt) for prompt in distinct)
        ids = torch.full((len(distinct), longest), self.lm.pad_id, device=self.lm.device)
        attention = torch.zeros_like(ids)
        for i, prompt in enumerate(distinct):
            ids[i, longest - len(prompt) :] = torch.tensor(prompt, device=self.lm.device)
            attention[i, longest - len(prompt) :] = 1
        cache = DynamicCache(config=self.lm.model.config)
        hidden = self._forward(ids, attention, cache)
        rows = torch.tensor([index[tuple(prompt)] for prompt in self.prompts], device=self.lm.device)
        cache.batch_select_indices(rows)
        return hidden[rows], cache, attention[rows]

    def _forward(self, ids: Tensor, attention: Tensor, cache: Any) -> Tensor:
        positions = (attention.cumsum(dim=-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        output = self.body(
            input_ids=ids,
            attention_mask=attention,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        )
        hidden: Tensor = output.last_hidden_state[:, -1]
        return hidden


def _uniforms(seeds: Sequence[int], count: int) -> Tensor:
    """[rows, count] numbers in [0, 1), each row from its own seed."""
    rows = [np.random.Generator(np.random.Philox(key=seed)).random(count) for seed in seeds]
    return torch.from_numpy(np.stack(rows))
