"""Policy optimisation: fresh samples, scored, KL in the reward, leave-one-out advantages, one update each."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gnomon.config import PolicySettings
from gnomon.errors import ModelError
from gnomon.judges.verifiable import Check
from gnomon.kernels.allocator import release
from gnomon.kernels.head import weighted_nll
from gnomon.losses.advantages import rloo
from gnomon.losses.kl import kl_penalised
from gnomon.losses.policy import reinforce_weights
from gnomon.models.branches import batches, branch_states
from gnomon.models.heads import output_head, without_dropout
from gnomon.models.load import LanguageModel
from gnomon.models.lora import as_reference, has_adapters
from gnomon.rewards.combine import Reward, Verified, shaped
from gnomon.rollouts.engine import Engine, Sample, Sampling
from gnomon.rollouts.kl import sampled_kl
from gnomon.stats.agreement import agreement_within
from gnomon.training.objective import Micro, StepWork
from gnomon.training.sft import InstructionTuning

RECENT = 2
"""Steps whose KL is remembered: the last, and how fast it grew to it."""


@dataclass(frozen=True)
class PolicyPrompts:
    """Encoded prompts and their ids; the checks of those that a program can tell a right answer of."""

    ids: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]
    checks: Mapping[tuple[int, ...], Sequence[Check]] = field(default_factory=dict)


@dataclass(frozen=True)
class MixedIn:
    """What a micro-batch of demonstrations holds, among those of samples."""

    tensors: Any


@dataclass(frozen=True)
class Rollouts:
    """Samples of one step, `samples` neighbours to a prompt, with what they are worth."""

    ids: tuple[str, ...]
    samples: Sequence[Sample]
    scores: Tensor
    passed: Sequence[float | None]
    kl: Tensor
    rewards: Tensor


class PolicyOptimisation:
    """RLOO on the KL-regularised reward. The engine is handed in; `reference` is a frozen model where the
    policy has no adapters."""

    def __init__(
        self,
        lm: LanguageModel,
        engine: Engine,
        reward: Reward,
        prompts: PolicyPrompts,
        settings: PolicySettings,
        *,
        seed: int,
        reference: LanguageModel | None = None,
    ) -> None:
        if reference is None and not has_adapters(lm.model):
            raise ModelError(
                "a policy without adapters has no frozen copy of itself; hand in a reference model"
            )
        self.lm, self.engine, self.reward = lm, engine, reward
        self.prompts, self.settings, self.seed, self.reference = prompts, settings, seed, reference
        self.head = output_head(lm.model)
        self.verified = Verified(prompts.checks)
        self.steps = settings.steps
        self.recent_kl: list[float] = []
        self.watch: Reward | None = None
        """A second reward model whose mean score of the samples is logged, and nothing else."""
        self.ptx: InstructionTuning | None = None
        """Demonstrations whose cross-entropy is mixed in with weight `ptx_coef`, against what RL unlearns on
        tasks the prompts do not ask for (PPO-ptx, arXiv:2203.02155, eq. 2)."""

    def prepare(self, step: int) -> StepWork:
        """Sample, score and weigh; stop where the KL budget would be left."""
        if self.ahead() > self.settings.kl_budget:
            now, budget = self.recent_kl[-1], self.settings.kl_budget
            return StepWork(
                [], stop=f"KL budget: at {now:.2f} nats a sequence the next step may pass {budget}"
            )
        rollouts = self.roll_out(step)
        self.recent_kl = [*self.recent_kl, float(rollouts.kl.mean())][-RECENT:]
        advantages = rloo(rollouts.rewards.view(-1, self.settings.samples)).flatten()
        micros = self._micros(rollouts, advantages)
        if self.ptx is not None:
            mixed = self.ptx.prepare(step).micros
            micros += [replace(micro, tensors=MixedIn(micro.tensors)) for micro in mixed]
        return StepWork(micros, self._metrics(rollouts, advantages))

    def ahead(self) -> float:
        """Nats a sequence the policy may be away after the update to come.

        It was measured before the last update, which moved it about as far as the one before.
        """
        if not self.recent_kl:
            return 0.0
        return self.recent_kl[-1] + 2 * max(0.0, self.recent_kl[-1] - self.recent_kl[0])

    def roll_out(self, step: int) -> Rollouts:
        """The step's samples with scores and sequence KL."""
        chosen = self._chosen(step)
        rows = [self.prompts.rows[i] for i in chosen for _ in range(self.settings.samples)]
        sampling = Sampling(self.settings.max_new_tokens, self.settings.temperature)
        samples = self.engine.sample(rows, sampling, self._seeds(step, len(rows)))
        release()  # decoding, scoring and reading need buffers of other sizes: each leaves holes in the heap
        scores = torch.tensor(shaped(self.reward(samples), samples, self.settings))
        release()
        passed, kl = self.verified(samples), torch.tensor(self._kl(samples))
        release()
        paid = scores + self.settings.checks_weight * torch.tensor([share or 0.0 for share in passed])
        ids = tuple(self.prompts.ids[i] for i in chosen for _ in range(self.settings.samples))
        return Rollouts(ids, samples, scores, passed, kl, kl_penalised(paid, kl, self.settings.beta))

    def loss(self, micro: Micro) -> tuple[Tensor, dict[str, float]]:
        """This micro-batch's part of the policy gradient, and how far the sampler's log-probs were off; or of
        the demonstrations' cross-entropy."""
        if isinstance(micro.tensors, MixedIn):
            assert self.ptx is not None
            loss, _ = self.ptx.loss(replace(micro, tensors=micro.tensors.tensors))
            return self.settings.ptx_coef * loss, {"loss/ptx": float(loss)}
        batch, weights, (before, labels), sampled, tokens = micro.tensors
        with without_dropout(self.lm.model):  # with it, the policy trained is not the one sampled
            states = branch_states(self.lm.model, batch)
        loss, logps = weighted_nll(states[before], self.head, labels, weights, self.settings.temperature)
        off = (logps - sampled).abs()
        return loss, {"sampler/logp_error": float(off.sum()) / tokens}

    def state_dict(self) -> dict[str, Any]:
        """The KL of the last steps; samples follow from seed, step and weights."""
        return {"recent_kl": self.recent_kl}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up the KL of the last steps."""
        self.recent_kl = [float(value) for value in state["recent_kl"]]

    def _seeds(self, step: int, rows: int) -> list[int]:
        """A seed of its own for each row of each step."""
        drawn = np.random.SeedSequence([self.seed, step]).generate_state(rows, dtype=np.uint64)
        return [int(seed) for seed in drawn]

    def _chosen(self, step: int) -> list[int]:
        """Prompts in epochs of a seeded order, whatever the step that is asked for."""
        count, n = self.settings.optim.batch_size // self.settings.samples, len(self.prompts.rows)
        picks = []
        for k in range(step * count, (step + 1) * count):
            epoch, position = divmod(k, n)
            picks.append(int(np.random.default_rng([self.seed, epoch]).permutation(n)[position]))
        return picks

    def _kl(self, samples: Sequence[Sample]) -> list[float]:
        adapters = self.reference is None and has_adapters(self.lm.model)
        with as_reference(self.lm.model) if adapters else nullcontext():
            return sampled_kl(self.reference or self.lm, samples, self.settings.temperature)

    def _micros(self, rollouts: Rollouts, advantages: Tensor) -> list[Micro]:
        samples, device = rollouts.samples, self.lm.device
        rows = [sample.prompt_ids + sample.response_ids for sample in samples]
        starts = [len(sample.prompt_ids) for sample in samples]
        tokens = sum(len(sample.response_ids) for sample in samples)
        weights = reinforce_weights(advantages, len(rows))
        micros = []
        for batch in batches(self.lm, rows, self.settings.optim.micro_tokens):
            own = list(batch.places)
            lengths = torch.tensor([len(samples[i].response_ids) for i in own])
            sampled = torch.tensor([logp for i in own for logp in samples[i].logps], device=device)
            each = weights[own].repeat_interleave(lengths).to(device)
            tensors = (batch, each, batch.after(starts), sampled, tokens)
            ids = tuple(rollouts.ids[i] for i in own)
            micros.append(Micro(ids, tensors, sum(len(rows[i]) for i in own)))
        return micros

    def _watched(self, rollouts: Rollouts) -> dict[str, float]:
        if self.watch is None:
            return {}
        second = self.watch(rollouts.samples)
        agreement = agreement_within(rollouts.scores.tolist(), second, self.settings.samples)
        known = {} if agreement is None else {"reward/agreement": agreement}
        return {"reward/second": fmean(second)} | known

    def _metrics(self, rollouts: Rollouts, advantages: Tensor) -> dict[str, float]:
        samples = rollouts.samples
        tokens = sum(len(sample.response_ids) for sample in samples)
        shares = [share for share in rollouts.passed if share is not None]
        checked = {"checks": fmean(shares)} if shares else {}
        always = {
            "reward/mean": float(rollouts.scores.mean()),
            "reward/penalised": float(rollouts.rewards.mean()),
            "kl/reference": float(rollouts.kl.mean()),
            "kl/token": float(rollouts.kl.sum()) / tokens,
            "length/tokens": tokens / len(samples),
            "ends_turn": sum(sample.ended for sample in samples) / len(samples),
            "entropy/sampled": -sum(sum(sample.logps) for sample in samples) / tokens,
            "advantage/std": float(advantages.std()),
        }
        return self._watched(rollouts) | checked | always
