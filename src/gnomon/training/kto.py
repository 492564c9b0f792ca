"""Kahneman-Tversky optimisation: the policy learns from verdicts on answers, each judged by itself."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from gnomon.data.collate import Epochs
from gnomon.kernels.head import wide
from gnomon.losses.anchored import kto, kto_baseline
from gnomon.losses.reward import smoothed
from gnomon.models.load import LanguageModel
from gnomon.models.lora import check_reference, reference_of
from gnomon.settings.preference import PreferenceSettings
from gnomon.training.judged import Judged, JudgedBatch, Verdicts, both_judged
from gnomon.training.logps import answer_logps, read_logps, whole
from gnomon.training.mismatched import mismatched
from gnomon.training.objective import Figures, Micro, StepWork
from gnomon.training.pairs import EncodedPair


class KahnemanTverskyOptimisation:
    """Weighted mean over the step's answers of `losses.anchored.kto`, and of the cross-entropy of desirable
    ones beside it.

    A row of a batch is a prompt with the answers to it that were judged: one, or the two of a comparison.
    `reference` is a frozen model where the policy has no frozen adapters of its own.
    """

    def __init__(
        self,
        lm: LanguageModel,
        judged: Sequence[Judged],
        settings: PreferenceSettings,
        seed: int,
        reference: LanguageModel | None = None,
    ) -> None:
        check_reference(lm, reference)
        self.lm, self.settings, self.reference = lm, settings, reference
        optim = settings.optim
        self.order = Epochs([one.length for one in judged], optim.batch_size, optim.epochs, seed)
        self.steps = self.order.steps
        self.own = self._verdicts(dict(enumerate(judged)))
        self.mismatched = self._verdicts(mismatched(judged, seed))
        """Answers after other prompts: by them the reference point is estimated."""

    def prepare(self, step: int) -> StepWork:
        """The step's answers in micro-batches of like length, with what they are measured against."""
        chosen = self.order.at(step)
        self._ask_reference(self.own, chosen)
        baseline = self._baseline([i for i in chosen if i in self.mismatched.judged])
        micros = self.own.micros(self.lm, chosen, self.settings.optim.micro_tokens, baseline)
        return StepWork(micros, {"epoch": step / self.order.per_epoch, "kl/baseline": baseline})

    def loss(self, micro: Micro) -> tuple[Tensor, Figures]:
        """This micro-batch's part of the step's mean."""
        batch: JudgedBatch = micro.tensors
        answers, sft_weight = answer_logps(self.lm, batch.rows, batch.response_masks), self._sft_weight
        logps = whole(answers)
        ratios = logps - self.own.reference[list(batch.indices)].to(logps.device)
        nll = torch.stack([-answer.mean() for answer in answers])
        told = smoothed(batch.desirable, self.settings.label_smoothing)
        losses = kto(ratios, told, ratios.new_tensor(batch.baseline), **self.settings.arguments)
        loss = (batch.weights * losses).sum()
        if sft_weight and batch.better is not None:
            loss = loss + sft_weight * (batch.better * nll).sum()
        return loss, self._figures(logps, ratios, nll, batch)

    def rewards(self, pairs: Sequence[EncodedPair]) -> tuple[list[float], list[float]]:
        """Implicit rewards of the first and of the second answers of pairs that need not be trained on."""
        values = self.rewards_of(both_judged(pairs))
        return values[::2], values[1::2]

    def rewards_of(self, judged: Sequence[Judged]) -> list[float]:
        """Implicit rewards of answers that need not be trained on, `beta` times log pi - log pi_ref each."""
        verdicts = self._verdicts(dict(enumerate(judged)))
        everything = range(len(judged))
        self._ask_reference(verdicts, everything)
        ratios = self._read(nullcontext(self.lm), verdicts, everything) - verdicts.reference
        rewards: list[float] = (self._beta * ratios).tolist()
        return rewards

    def state_dict(self) -> dict[str, Any]:
        """The reference's log-probs; order and rows follow from seed and step."""
        return {"ref_logps": self.own.reference, "ref_mismatched": self.mismatched.reference}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what is known of the reference."""
        self.own.reference.copy_(state["ref_logps"])
        self.mismatched.reference.copy_(state["ref_mismatched"])

    @property
    def _beta(self) -> float:
        return float(self.settings.arguments["beta"])

    @property
    def _sft_weight(self) -> float:
        return float(self.settings.common["sft_weight"])

    def _verdicts(self, judged: Mapping[int, Judged]) -> Verdicts:
        return Verdicts(judged, wide(self.lm.model.dtype))

    def _read(
        self, answering: AbstractContextManager[LanguageModel], verdicts: Verdicts, chosen: Sequence[int]
    ) -> Tensor:
        """Log-probs of the answers to these prompts."""
        micro_tokens = self.settings.optim.micro_tokens
        micros = verdicts.micros(self.lm, chosen, micro_tokens)
        found = read_logps(self.lm, answering, micros, micro_tokens, whole)
        return torch.stack([found[i] for i in verdicts.places(chosen)])

    def _ask_reference(self, verdicts: Verdicts, chosen: Iterable[int]) -> None:
        # all of a step or none, as epochs go: cut as it is trained, so that both round alike to begin with
        unknown = [i for i in chosen if verdicts.reference[verdicts.places([i])].isnan().any()]
        if unknown:
            known = self._read(reference_of(self.lm, self.reference), verdicts, unknown)
            verdicts.reference[verdicts.places(unknown)] = known

    def _baseline(self, chosen: Sequence[int]) -> float:
        """The reference point, by the step's prompts and other prompts' answers, before the update."""
        if not chosen:
            return 0.0
        self._ask_reference(self.mismatched, chosen)
        known = self.mismatched.reference[self.mismatched.places(chosen)]
        return float(kto_baseline(self._read(nullcontext(self.lm), self.mismatched, chosen) - known))

    @torch.no_grad()
    def _figures(self, logps: Tensor, ratios: Tensor, nll: Tensor, batch: JudgedBatch) -> Figures:
        """What the implicit rewards say of the answers, and how far the policy has moved."""
        rewards = self._beta * ratios
        # 1 where an answer is on its side of the baseline, 0 where it is not, 1/2 where one has no opinion
        sides = torch.sign(ratios - batch.baseline) * torch.sign(2 * batch.desirable - 1)
        figures = {
            "reward/accuracy": (batch.weights * (1 + sides) / 2).sum(),
            "logps/moved": (batch.weights * ratios.abs()).sum(),
        }
        if batch.better is not None:
            figures["reward/chosen"] = (batch.better * rewards).sum()
            figures["logps/chosen"] = (batch.better * logps).sum()
            figures["loss/sft"] = (batch.better * nll).sum()
        if batch.worse is not None:
            figures["reward/rejected"] = (batch.worse * rewards).sum()
            figures["logps/rejected"] = (batch.worse * logps).sum()
        if batch.better is not None and batch.worse is not None:
            figures["reward/margin"] = figures["reward/chosen"] - figures["reward/rejected"]
        return {name: value.to(logps.dtype) for name, value in figures.items()}
