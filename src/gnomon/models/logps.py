"""Log-probs of given text under a model, without gradient: prompts once, head only where asked."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor

from gnomon.kernels.branches import Branches
from gnomon.kernels.fused import head_pass
from gnomon.kernels.head import head_logits
from gnomon.kernels.sampling import sample_states
from gnomon.models.branches import branch_states
from gnomon.models.heads import output_head
from gnomon.models.load import LanguageModel
from gnomon.models.passes import read_rows

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
    head = output_head(lm.model)

    def read(states: Tensor, labels: Tensor) -> tuple[Tensor]:
        return (head_pass(states, head, labels, temperature=temperature).logps,)

    return [logps for (logps,) in of_responses(lm, prompts, responses, read)]


class Reading(NamedTuple):
    """Of each token of a response: its log-prob, and the entropy of what it was drawn from, in nats."""

    logps: Tensor
    entropy: Tensor


@torch.no_grad()
def readings(
    lm: LanguageModel,
    prompts: Sequence[Sequence[int]],
    responses: Sequence[Sequence[int]],
    temperature: float = 1.0,
) -> list[Reading]:
    """What `sequence_logps` gives, as the forward pass of training sees it, and the entropy beside it."""
    head = output_head(lm.model)

    def read(states: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        done = head_pass(states, head, labels, temperature=temperature, entropy=True)
        assert done.entropy is not None
        return done.logps, done.entropy

    return [Reading(*own) for own in of_responses(lm, prompts, responses, read)]


class Likelihood(NamedTuple):
    """Of each token of a response: its log-prob in nats, and whether greedy sampling would have taken it."""

    logps: Tensor
    greedy: Tensor


@torch.no_grad()
def likelihoods(
    lm: LanguageModel, prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]]
) -> list[Likelihood]:
    """What `sequence_logps` gives, and which tokens are the first of the likeliest at their place."""
    head = output_head(lm.model)

    def read(states: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        unused = states.new_zeros(head.tile)  # a greedy choice draws no number
        tiles = [
            sample_states(part, head, unused[: len(part)], 0.0)[0] for part in torch.split(states, head.tile)
        ]
        return head_pass(states, head, labels).logps, torch.cat(tiles) == labels

    return [Likelihood(*own) for own in of_responses(lm, prompts, responses, read)]


def of_responses(
    lm: LanguageModel,
    prompts: Sequence[Sequence[int]],
    responses: Sequence[Sequence[int]],
    read: Callable[[Tensor, Tensor], tuple[Tensor, ...]],
) -> list[tuple[Tensor, ...]]:
    """For each row what is read from the states [tokens, width] that its response's tokens [tokens] follow
    from, in tensors of one value a token."""
    rows = [[*prompt, *response] for prompt, response in zip(prompts, responses, strict=True)]
    starts = [len(prompt) for prompt in prompts]

    def read_batch(batch: Branches) -> list[tuple[int, tuple[Tensor, ...]]]:
        before, labels = batch.after(starts)
        known = read(branch_states(lm.model, batch)[before], labels)
        counts = [len(responses[i]) for i in batch.places]
        parts = [torch.split(values.cpu(), counts) for values in known]
        return list(zip(batch.places, zip(*parts, strict=True), strict=True))

    found = read_rows(lm, rows, MICRO_TOKENS, read_batch)
    results = dict(chain.from_iterable(found))
    return [results[i] for i in range(len(rows))]


@torch.no_grad()
def choice_logps(lm: LanguageModel, prompts: Sequence[Sequence[int]], choices: Sequence[int]) -> Tensor:
    """Log-probs [prompts, choices] of each candidate as the next token."""
    head = output_head(lm.model)
    wanted = torch.tensor(list(choices), device=lm.device)

    def read(batch: Branches) -> tuple[list[int], Tensor]:
        last = branch_states(lm.model, batch)[batch.ends()]
        return list(batch.places), torch.log_softmax(head_logits(last, head), dim=-1)[:, wanted].cpu()

    result = torch.empty(len(prompts), len(choices))
    for places, logps in read_rows(lm, prompts, MICRO_TOKENS, read):
        result[places] = logps
    return result
