"""Log-probs of given text under a model, without gradient: batched by length, head only where asked."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gnomon.kernels.batching import by_length, pad_right
from gnomon.kernels.head import head_logits, head_pass
from gnomon.models.heads import hidden_states, output_head, without_dropout
from gnomon.models.load import LanguageModel

MICRO_TOKENS = 4096


@torch.no_grad()
def sequence_logps(
    lm: LanguageModel,
    prompts: Sequence[Sequence[int]],
    responses: Sequence[Sequence[int]],
    temperature: float = 1.0,
) -> list[Tensor]:
    """For each row the log-probs of its response's tokens after its prompt: float32 tensors on the CPU.

    Prompts hold a token or more: the first token of a row has no log-prob.
    """
    rows = [[*prompt, *response] for prompt, response in zip(prompts, responses, strict=True)]
    head = output_head(lm.model)
    results: dict[int, Tensor] = {}
    for group in by_length([len(row) for row in rows], MICRO_TOKENS):
        ids, attention = pad_right([rows[i] for i in group], lm.pad_id, lm.device)
        with without_dropout(lm.model):
            hidden = hidden_states(lm.model, ids, attention)
        wanted = torch.zeros_like(attention)
        for k, i in enumerate(group):
            wanted[k, len(prompts[i]) : len(rows[i])] = True
        mask = wanted[:, 1:]
        logps = head_pass(hidden[:, :-1][mask], head, ids[:, 1:][mask], temperature=temperature).logps
        parts = torch.split(logps.cpu(), [len(responses[i]) for i in group])
        results.update(zip(group, parts, strict=True))
    return [results[i] for i in range(len(rows))]


@torch.no_grad()
def choice_logps(lm: LanguageModel, prompts: Sequence[Sequence[int]], choices: Sequence[int]) -> Tensor:
    """Log-probs [prompts, choices] of each candidate as the next token."""
    head = output_head(lm.model)
    wanted = torch.tensor(list(choices), device=lm.device)
    result = torch.empty(len(prompts), len(choices))
    for group in by_length([len(prompt) for prompt in prompts], MICRO_TOKENS):
        ids, attention = pad_right([prompts[i] for i in group], lm.pad_id, lm.device)
        with without_dropout(lm.model):
            hidden = hidden_states(lm.model, ids, attention)
        last = hidden[torch.arange(len(group)), attention.sum(dim=1) - 1]
        result[group] = torch.log_softmax(head_logits(last, head), dim=-1)[:, wanted].cpu()
    return result
