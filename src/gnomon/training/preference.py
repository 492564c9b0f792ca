"""Preference optimisation: the policy learns from comparisons directly, measured against its reference."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gnomon.config import PreferenceSettings
from gnomon.data.collate import Batch, Epochs
from gnomon.errors import ModelError
from gnomon.kernels.head import labelled, token_logps, wide
from gnomon.losses.preference import PairLogps, dpo
from gnomon.losses.reward import smoothed
from gnomon.models.heads import hidden_states, output_head, without_dropout
from gnomon.models.load import LanguageModel
from gnomon.models.lora import has_reference, reference_of
from gnomon.training.objective import Micro, StepWork
from gnomon.training.pairs import EncodedPairs, PairBatch, collate_pairs, pair_micros


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
        if reference is None and not has_reference(lm.model):
            raise ModelError(
                "the policy has no frozen copy of itself to be measured against; call freeze_reference "
                "before it is trained, or hand in a reference model"
            )
        self.lm, self.pairs, self.settings, self.reference = lm, data.pairs, settings, reference
        lengths, optim = [pair.length for pair in data.pairs], settings.optim
        self.order = Epochs(lengths, optim.batch_size, optim.epochs, seed)
        self.steps = self.order.steps
        self.ref_logps = torch.full((len(data.pairs), 2), torch.nan, dtype=wide(lm.model.dtype))
        """Of both answers of each pair, NaN until they are needed; they do not change, so never again."""

    def prepare(self, step: int) -> StepWork:
        """The step's pairs, cut into micro-batches of like length, their reference log-probs known."""
        optim = self.settings.optim
        micros = pair_micros(self.lm, self.pairs, self.order.at(step), optim.micro_tokens)
        # in the micro-batches they are trained in, so that policy and reference round alike to begin with
        self._ask_reference([micro.tensors.indices for micro in micros])
        return StepWork(micros, {"epoch": step / self.order.per_epoch})

    def loss(self, micro: Micro) -> tuple[Tensor, dict[str, float]]:
        """This micro-batch's part of the step's mean."""
        batch: PairBatch = micro.tensors
        first, second = _answer_logps(self.lm, batch.rows).chunk(2)
        known = self.ref_logps[list(batch.indices)].to(first.device)
        logps = PairLogps(first, second, *known.unbind(dim=1))
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
    def _ask_reference(self, groups: Sequence[Sequence[int]]) -> None:
        asked = [[i for i in group if self.ref_logps[i].isnan().any()] for group in groups]
        if not any(asked):
            return
        with reference_of(self.lm, self.reference) as reference:
            for group in filter(None, asked):
                rows = collate_pairs(self.lm, [self.pairs[i] for i in group])
                self.ref_logps[group] = _answer_logps(reference, rows).view(2, -1).T.cpu()

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


def _answer_logps(lm: LanguageModel, rows: Batch) -> Tensor:
    """Log-probs [batch] of each row's trained tokens, summed; without dropout, or policy and reference would
    differ before the first update."""
    with without_dropout(lm.model):
        hidden = hidden_states(lm.model, rows.input_ids, rows.attention_mask)
    states, targets = labelled(hidden, rows.input_ids, rows.response_mask)
    logps = token_logps(states, output_head(lm.model), targets)
    each = torch.zeros(rows.response_mask[:, 1:].shape, dtype=logps.dtype, device=logps.device)
    return each.masked_scatter(rows.response_mask[:, 1:], logps).sum(dim=1)
