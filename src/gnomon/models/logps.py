"""Log-probs of given text under a model, without gradient: prompts once, head only where asked."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gnomon.kernels.fused import head_pass
from gnomon.kernels.head import head_logits
from gnomon.models.branches import batches, branch_states
from gnomon.models.heads import output_head, without_dropout
from gnomon.models.load import LanguageModel
from gnomon.models.shards import evenly

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
    with evenly(lm.model, batches(lm, rows, MICRO_TOKENS)) as own:
        for batch in own:
            with without_dropout(lm.model):
                states = branch_states(lm.model, batch)
            before, labels = batch.after([len(prompt) for prompt in prompts])
            logps = head_pass(states[before], head, labels, temperature=temperature).logps
            parts = torch.split(logps.cpu(), [len(responses[i]) for i in batch.places])
            results.update(zip(batch.places, parts, strict=True))
    return [results[i] for i in range(len(rows))]


@torch.no_grad()
def choice_logps(lm: LanguageModel, prompts: Sequence[Sequence[int]], choices: Sequence[int]) -> Tensor:
    """Log-probs [prompts, choices] of each candidate as the next token."""
    head = output_head(lm.model)
    wanted = torch.tensor(list(choices), device=lm.device)
    result = torch.empty(len(prompts), len(choices))
    with evenly(lm.model, batches(lm, prompts, MICRO_TOKENS)) as own:
        for batch in own:
            with without_dropout(lm.model):
                last = branch_states(lm.model, batch)[batch.ends()]
            result[list(batch.places)] = torch.log_softmax(head_logits(last, head), dim=-1)[:, wanted].cpu()
    return result
