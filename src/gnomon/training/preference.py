"""Preference optimisation: the policy learns from comparisons directly, measured against its reference."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gnomon.config import PreferenceSettings
from gnomon.data.collate import Epochs
from gnomon.distributed import spread_over
from gnomon.kernels.fused import token_logps
from gnomon.kernels.head import wide
from gnomon.losses.preference import PairLogps, dpo
from gnomon.losses.reward import smoothed
from gnomon.models.branches import branch_states
from gnomon.models.heads import output_head, without_dropout
from gnomon.models.load import LanguageModel
from gnomon.models.lora import check_reference, reference_of
from gnomon.models.shards import evenly
from gnomon.training.objective import Micro, StepWork
from gnomon.training.pairs import EncodedPairs, PairBatch, pair_micros


class PreferenceOptimisation:
    """Weighted mean over the step's pairs of DPO's loss. `reference` is a frozen model where the policy has
    no frozen adapters of its own."""

    def __init__(
        self,
        lm: LanguageModel,
        data: EncodedPairs,
        settings: PreferenceSettings,
        seed: int,
        reference: LanguageModel | None = None,
    ) -> None:
        check_reference(lm, reference)
        self.lm, self.pairs, self.settings, self.reference = lm, data.pairs, settings, reference
        lengths, optim = [pair.length for pair in data.pairs], settings.optim
        self.order = Epochs(lengths, optim.batch_size, optim.epochs, seed)
        self.steps = self.order.steps
        self.ref_logps = torch.full((len(data.pairs), 2), torch.nan, dtype=wide(lm.model.dtype))
        """Of both answers of each pair, NaN until they are needed; they do not change, so never again."""

    def prepare(self, step: int) -> StepWork:
        """The step's pairs, cut into micro-batches of like length, their reference log-probs known."""
        chosen = self.order.at(step)
        self._ask_reference(chosen)
        micros = pair_micros(self.lm, self.pairs, chosen, self.settings.optim.micro_tokens)
        return StepWork(micros, {"epoch": step / self.order.per_epoch})

    def loss(self, micro: Micro) -> tuple[Tensor, dict[str, float]]:
        """This micro-batch's part of the step's mean."""
        batch: PairBatch = micro.tensors
        own = _answer_logps(self.lm, batch)
        known = self.ref_logps[list(batch.indices)].to(own.device)
        logps = PairLogps(*own.unbind(dim=1), *known.unbind(dim=1))
        preference = smoothed(batch.preference, self.settings.label_smoothing)
        losses = dpo(logps, preference, beta=self.settings.beta)
        return (batch.weights * losses).sum(), self._metrics(logps, batch)

    def state_dict(self) -> dict[str, Any]:
        """The reference's log-probs; order and rows follow from seed and step."""
        return {"ref_logps": self.ref_logps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what is known of the reference."""
        self.ref_logps.copy_(state["ref_logps"])

    @torch.no_grad()
    def _ask_reference(self, chosen: Sequence[int]) -> None:
        # all of a step or none, as epochs go: cut as it is trained, so that both round alike to begin with
        unknown = [i for i in chosen if self.ref_logps[i].isnan().any()]
        if not unknown:
            return
        with reference_of(self.lm, self.reference) as reference:
            micros = pair_micros(reference, self.pairs, unknown, self.settings.optim.micro_tokens)

            def read(own: list[Micro]) -> list[Tensor]:
                with evenly(reference.model, own) as passes:
                    return [_answer_logps(reference, micro.tensors).cpu() for micro in passes]

            logps = spread_over(micros, lambda micro: micro.tokens, read)
        for micro, known in zip(micros, logps, strict=True):
            self.ref_logps[list(micro.tensors.indices)] = known

    @torch.no_grad()
    def _metrics(self, logps: PairLogps, batch: PairBatch) -> dict[str, float]:
        first = batch.preference >= 0.5
        beta, towards = self.settings.beta, 2 * batch.preference - 1
        values = {
            # 1 where reward and label agree, 0 where they do not, 1/2 where one of them has no opinion
            "reward/accuracy": (1 + torch.sign(logps.margin) * torch.sign(towards)) / 2,
            "reward/margin": beta * logps.margin * towards,
            "reward/chosen": beta * torch.where(first, logps.first_ratio, logps.second_ratio),
            "reward/rejected": beta * torch.where(first, logps.second_ratio, logps.first_ratio),
            "logps/chosen": torch.where(first, logps.first, logps.second),
            "logps/rejected": torch.where(first, logps.second, logps.first),
            "logps/moved": (logps.first_ratio.abs() + logps.second_ratio.abs()) / 2,
        }
        means = torch.stack([(batch.weights * value).sum() for value in values.values()])
        return dict(zip(values, means.tolist(), strict=True))


def _answer_logps(lm: LanguageModel, batch: PairBatch) -> Tensor:
    """Log-probs [pairs, 2] of both answers, summed over their trained tokens; without dropout, or policy and
    reference would differ before the first update."""
    with without_dropout(lm.model):
        states = branch_states(lm.model, batch.rows)
    before, labels = batch.rows.trained(batch.response_masks)
    each = token_logps(states[before], output_head(lm.model), labels)
    answers = torch.split(each, [sum(trained) for trained in batch.response_masks])
    return torch.stack([answer.sum() for answer in answers]).view(-1, 2)
