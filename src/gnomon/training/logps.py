"""Log-probs of answers, as losses of preferences read them."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from gnomon.distributed import spread_over
from gnomon.kernels.branches import Branches
from gnomon.kernels.fused import token_logps
from gnomon.losses.length_aware import desensitised
from gnomon.models.branches import branch_states
from gnomon.models.heads import output_head, without_dropout
from gnomon.models.lanes import lanes
from gnomon.models.load import LanguageModel
from gnomon.models.passes import read_each
from gnomon.training.objective import Micro, beyond

Sums = Callable[[Sequence[Tensor]], Tensor]
"""What log-probs of the tokens of each answer of a micro-batch amount to, a row for each of its indices."""


def answer_logps(lm: LanguageModel, rows: Branches, response_masks: Sequence[Sequence[bool]]) -> list[Tensor]:
    """For each answer laid out the log-probs of its trained tokens; without dropout, or policy and reference
    would differ before the first update."""
    with without_dropout(lm.model):
        states = branch_states(lm.model, rows)
    before, labels = rows.trained(response_masks)
    each = token_logps(states[before], output_head(lm.model), labels)
    return list(torch.split(each, [sum(trained) for trained in response_masks]))


def whole(answers: Sequence[Tensor]) -> Tensor:
    """Log-probs [answers] of whole answers."""
    return torch.stack([answer.sum() for answer in answers])


def in_pairs(answers: Sequence[Tensor], tail_weight: float = 1.0) -> Tensor:
    """Log-probs [pairs, 2] of whole answers, what is longer than the other counting `tail_weight` there."""
    if tail_weight == 1:
        return whole(answers).view(-1, 2)
    pairs = zip(answers[::2], answers[1::2], strict=True)
    each = [value for pair in pairs for value in desensitised(*pair, tail_weight=tail_weight)]
    return torch.stack(each).view(-1, 2)


@torch.no_grad()
def read_logps(
    policy: LanguageModel,
    answering: AbstractContextManager[LanguageModel],
    micros: Sequence[Micro],
    micro_tokens: int,
    sums: Sums,
) -> dict[int, Tensor]:
    """The `sums` of the micro-batches' answers, on the CPU, by the micro-batches' indices; every process
    reads its share.

    They are cut and computed as the policy trains, so that it and what is `answering` round alike to begin
    with: of a policy that answers as its own reference nothing trains meanwhile.
    """
    count = lanes(policy.model)
    with answering as lm:

        def one(micro: Micro) -> Tensor:
            return sums(answer_logps(lm, micro.tensors.rows, micro.tensors.response_masks)).cpu()

        def read(own: list[Micro]) -> list[Tensor]:
            return read_each(lm.model, own, one, count, beyond(micro_tokens // count))

        known = spread_over(micros, lambda micro: micro.tokens, read)
    return {
        i: row
        for micro, rows in zip(micros, known, strict=True)
        for i, row in zip(micro.tensors.indices, rows, strict=True)
    }
