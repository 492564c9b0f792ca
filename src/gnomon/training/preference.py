"""Preference optimisation: the policy learns from comparisons directly, without reward model and samples."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gnomon.data.collate import Epochs
from gnomon.kernels.head import wide
from gnomon.losses.anchored import apo_down, apo_zero
from gnomon.losses.length_aware import r_dpo
from gnomon.losses.preference import PairLogps, dpo, hinge, ipo, robust_dpo
from gnomon.losses.reference_free import cpo, odds_ratio, preferred_nll, simpo, slic
from gnomon.losses.reward import smoothed
from gnomon.models.load import LanguageModel
from gnomon.models.lora import check_reference, reference_of
from gnomon.settings.preference import Loss, PreferenceSettings
from gnomon.training.logps import answer_logps, in_pairs, read_logps
from gnomon.training.objective import Figures, Micro, StepWork
from gnomon.training.pairs import EncodedPair, PairBatch, pair_micros

LOSSES: Mapping[Loss, Callable[..., Tensor]] = {
    "dpo": dpo,
    "robust_dpo": robust_dpo,
    "ipo": ipo,
    "hinge": hinge,
    "slic": slic,
    "orpo": odds_ratio,
    "simpo": simpo,
    "cpo": cpo,
    "ld_dpo": dpo,
    "r_dpo": r_dpo,
    "apo_zero": apo_zero,
    "apo_down": apo_down,
}
"""What each pair of log-probs costs; `ld_dpo` differs in what the log-probs are sums of. `kto` is of single
answers: `training.kto`."""


class PreferenceOptimisation:
    """Weighted mean over the step's pairs of a loss of preferences, and of the cross-entropy beside it.

    `reference` is a frozen model where the policy has no frozen adapters of its own; a loss without a
    reference needs neither.
    """

    def __init__(
        self,
        lm: LanguageModel,
        pairs: Sequence[EncodedPair],
        settings: PreferenceSettings,
        seed: int,
        reference: LanguageModel | None = None,
    ) -> None:
        if settings.needs_reference:
            check_reference(lm, reference)
        self.lm, self.pairs, self.settings, self.reference = lm, pairs, settings, reference
        lengths, optim = [pair.length for pair in pairs], settings.optim
        self.order = Epochs(lengths, optim.batch_size, optim.epochs, seed)
        self.steps = self.order.steps
        unknown = torch.full((len(pairs), 2), torch.nan, dtype=wide(lm.model.dtype))
        self.ref_logps = unknown if settings.needs_reference else torch.zeros_like(unknown)
        """Of both answers of each pair, NaN until they are needed; they do not change, so never again."""

    def prepare(self, step: int) -> StepWork:
        """The step's pairs, cut into micro-batches of like length, their reference log-probs known."""
        chosen = self.order.at(step)
        self._ask_reference(chosen)
        micros = pair_micros(self.lm, self.pairs, chosen, self.settings.optim.micro_tokens)
        return StepWork(micros, {"epoch": step / self.order.per_epoch})

    def loss(self, micro: Micro) -> tuple[Tensor, Figures]:
        """This micro-batch's part of the step's mean."""
        batch: PairBatch = micro.tensors
        answers, common = answer_logps(self.lm, batch.rows, batch.response_masks), self.settings.common
        whole = in_pairs(answers)
        known = self.ref_logps[list(batch.indices)].to(whole.device)
        logps = _pair(in_pairs(answers, common["tail_weight"]), known, batch.tokens)
        nll = preferred_nll(_pair(whole, known, batch.tokens), self._labels(batch))
        losses = self._losses(logps, batch)
        if common["sft_weight"]:
            losses = losses + common["sft_weight"] * nll
        metrics = self._metrics(logps, batch) | _log_probs(whole, batch) | {"loss/sft": nll.detach()}
        means = {name: (batch.weights * value).sum().to(whole.dtype) for name, value in metrics.items()}
        return (batch.weights * losses).sum(), means

    def rewards(self, pairs: Sequence[EncodedPair]) -> tuple[list[float], list[float]]:
        """Implicit rewards of the first and of the second answers of pairs that need not be trained on."""
        tokens = torch.tensor([[sum(p.first.response_mask), sum(p.second.response_mask)] for p in pairs])
        own = self._read(nullcontext(self.lm), pairs, range(len(pairs)))
        known = torch.zeros_like(own)
        if self.settings.needs_reference:
            known = self._read(reference_of(self.lm, self.reference), pairs, range(len(pairs)))
        first, second = implicit_rewards(_pair(own, known, tokens), self.settings)
        return first.tolist(), second.tolist()

    def state_dict(self) -> dict[str, Any]:
        """The reference's log-probs; order and rows follow from seed and step."""
        return {"ref_logps": self.ref_logps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what is known of the reference."""
        self.ref_logps.copy_(state["ref_logps"])

    def _read(
        self,
        answering: AbstractContextManager[LanguageModel],
        pairs: Sequence[EncodedPair],
        chosen: Sequence[int],
    ) -> Tensor:
        """Log-probs [chosen, 2] of those of the pairs."""
        micro_tokens, tail_weight = self.settings.optim.micro_tokens, self.settings.common["tail_weight"]
        micros = pair_micros(self.lm, pairs, chosen, micro_tokens)
        sums = partial(in_pairs, tail_weight=tail_weight)
        found = read_logps(self.lm, answering, micros, micro_tokens, sums)
        return torch.stack([found[i] for i in chosen])

    def _ask_reference(self, chosen: Sequence[int]) -> None:
        # all of a step or none, as epochs go: cut as it is trained, so that both round alike to begin with
        unknown = [i for i in chosen if self.ref_logps[i].isnan().any()]
        if unknown:
            answering = reference_of(self.lm, self.reference)
            self.ref_logps[unknown] = self._read(answering, self.pairs, unknown)

    def _labels(self, batch: PairBatch) -> Tensor:
        """P(first is better), as the loss takes it; `robust_dpo` corrects for flips by itself."""
        told, flips = batch.preference, self.settings.label_smoothing
        return told if self.settings.loss == "robust_dpo" else smoothed(told, flips)

    def _losses(self, logps: PairLogps, batch: PairBatch) -> Tensor:
        own: dict[str, Any] = dict(self.settings.arguments)
        if self.settings.loss == "robust_dpo":
            own["flips"] = self.settings.label_smoothing
        return LOSSES[self.settings.loss](logps, self._labels(batch), **own)

    @torch.no_grad()
    def _metrics(self, logps: PairLogps, batch: PairBatch) -> dict[str, Tensor]:
        """Of each pair: what the implicit rewards say, and how far the policy has moved."""
        first, second = implicit_rewards(logps, self.settings)
        margin, towards = first - second, 2 * batch.preference - 1
        better = batch.preference >= 0.5
        moved = (logps.first_ratio.abs() + logps.second_ratio.abs()) / 2
        return {
            # 1 where reward and label agree, 0 where they do not, 1/2 where one of them has no opinion
            "reward/accuracy": (1 + torch.sign(margin) * torch.sign(towards)) / 2,
            "reward/margin": margin * towards,
            "reward/chosen": torch.where(better, first, second),
            "reward/rejected": torch.where(better, second, first),
            **({"logps/moved": moved} if self.settings.needs_reference else {}),
        }


@torch.no_grad()
def implicit_rewards(logps: PairLogps, settings: PreferenceSettings) -> tuple[Tensor, Tensor]:
    """What a loss compares of both answers: `beta` times log pi - log pi_ref (a token's mean where the loss
    averages, without a reference where it has none), and what r_dpo takes the answer's length to be worth."""
    own, seen = settings.arguments, logps.averaged() if settings.averages else logps
    beta, a_token = own.get("beta", 1.0), own.get("length_penalty", 0.0)
    return (
        beta * seen.first_ratio + a_token * logps.first_tokens,
        beta * seen.second_ratio + a_token * logps.second_tokens,
    )


def _pair(own: Tensor, known: Tensor, tokens: Tensor) -> PairLogps:
    return PairLogps(*own.unbind(dim=1), *known.unbind(dim=1), *tokens.unbind(dim=1))


@torch.no_grad()
def _log_probs(whole: Tensor, batch: PairBatch) -> dict[str, Tensor]:
    """Of each pair: log-probs and lengths of the answers by what the label says of them."""
    order = torch.where(batch.preference >= 0.5, 0, 1)[:, None]
    chosen, rejected = whole.gather(1, order)[:, 0], whole.gather(1, 1 - order)[:, 0]
    tokens = batch.tokens
    longer = tokens.gather(1, order) - tokens.gather(1, 1 - order)
    return {"logps/chosen": chosen, "logps/rejected": rejected, "length/difference": longer[:, 0]}
