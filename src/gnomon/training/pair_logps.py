"""Log-probs of both answers of pairs, as losses of preferences read them."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from gnomon.distributed import spread_over
from gnomon.kernels.fused import token_logps
from gnomon.losses.length_aware import desensitised
from gnomon.models.branches import branch_states
from gnomon.models.heads import output_head, without_dropout
from gnomon.models.lanes import lanes
from gnomon.models.load import LanguageModel
from gnomon.models.passes import read_each
from gnomon.training.objective import Micro, beyond
from gnomon.training.pairs import PairBatch, Pairs, pair_micros


def answer_logps(lm: LanguageModel, batch: PairBatch) -> list[Tensor]:
    """For each answer, the first and the second of each pair in turn, the log-probs of its trained tokens;
    without dropout, or policy and reference would differ before the first update."""
    with without_dropout(lm.model):
        states = branch_states(lm.model, batch.rows)
    before, labels = batch.rows.trained(batch.response_masks)
    each = token_logps(states[before], output_head(lm.model), labels)
    return list(torch.split(each, [sum(trained) for trained in batch.response_masks]))


def summed(answers: Sequence[Tensor], tail_weight: float = 1.0) -> Tensor:
    """Log-probs [pairs, 2] of whole answers, what is longer than the other counting `tail_weight` there."""
    if tail_weight == 1:
        return torch.stack([answer.sum() for answer in answers]).view(-1, 2)
    pairs = zip(answers[::2], answers[1::2], strict=True)
    each = [value for pair in pairs for value in desensitised(*pair, tail_weight=tail_weight)]
    return torch.stack(each).view(-1, 2)


@torch.no_grad()
def read_logps(
    policy: LanguageModel,
    answering: AbstractContextManager[LanguageModel],
    pairs: Pairs,
    chosen: Sequence[int],
    micro_tokens: int,
    tail_weight: float = 1.0,
) -> Tensor:
    """`summed` log-probs [chosen, 2] of those of the pairs, on the CPU; every process reads its share.

    They are cut and computed as the policy trains, so that it and what is `answering` round alike to begin
    with: of a policy that answers as its own reference nothing trains meanwhile.
    """
    micros, count = pair_micros(policy, pairs, chosen, micro_tokens), lanes(policy.model)
    with answering as lm:

        def both(micro: Micro) -> Tensor:
            return summed(answer_logps(lm, micro.tensors), tail_weight).cpu()

        def read(own: list[Micro]) -> list[Tensor]:
            return read_each(lm.model, own, both, count, beyond(micro_tokens // count))

        known = spread_over(micros, lambda micro: micro.tokens, read)
    found = {
        i: row
        for micro, rows in zip(micros, known, strict=True)
        for i, row in zip(micro.tensors.indices, rows, strict=True)
    }
    return torch.stack([found[i] for i in chosen])
