"""Policy optimisation: fresh samples, weighed against their prompt's others, one update on each batch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gnomon.config import PolicySettings
from gnomon.data.collate import collate
from gnomon.errors import DivergenceError, ModelError
from gnomon.kernels.batching import by_length
from gnomon.kernels.head import labelled, weighted_nll
from gnomon.losses.advantages import dr_grpo, equal_rewards, grpo, rloo
from gnomon.losses.kl import k3, kl_penalised
from gnomon.losses.policy import grpo_weights, reinforce_weights
from gnomon.models.heads import hidden_states, output_head, without_dropout
from gnomon.models.load import LanguageModel
from gnomon.models.logps import sequence_logps
from gnomon.models.lora import has_adapters, reference_of
from gnomon.records import EncodedRow
from gnomon.rewards.combine import Reward, shaped
from gnomon.rollouts.engine import Engine, Sample, Sampling
from gnomon.training.objective import Micro, StepWork
from gnomon.training.sft import InstructionTuning

ADVANTAGES = {"rloo": rloo, "grpo": grpo, "dr_grpo": dr_grpo}

RECENT = 2
"""Steps whose KL is remembered: the last, and how fast it grew to it."""


@dataclass(frozen=True)
class PolicyPrompts:
    """Encoded prompts and their ids."""

    ids: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class MixedIn:
    """What a micro-batch of demonstrations holds, among those of samples."""

    tensors: Any


@dataclass(frozen=True)
class Rollouts:
    """Samples of one step, `samples` neighbours to a prompt, with what they are worth.

    `log_ratios` are log pi - log pi_ref of each response's tokens, `kl` their sums.
    """

    ids: tuple[str, ...]
    samples: Sequence[Sample]
    scores: Tensor
    log_ratios: Sequence[Tensor]
    kl: Tensor
    rewards: Tensor


class PolicyOptimisation:
    """RLOO on the KL-regularised reward, or GRPO with KL in the loss. The engine is handed in; `reference` is
    a frozen model where the policy has no adapters."""

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
        advantages = ADVANTAGES[self.settings.algorithm](self._groups(self._paid(rollouts))).flatten()
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
        ids = tuple(self.prompts.ids[i] for i in chosen for _ in range(self.settings.samples))
        scores = shaped(_finite(self.reward(samples), ids, step), samples, self.settings)
        # both by the same forward pass: decoding rounds otherwise, and KL would not start at zero
        own, ref = self._logps(self.lm, samples), self._reference_logps(samples)
        ratios = [mine - theirs for mine, theirs in zip(own, ref, strict=True)]
        scores_, kl = torch.tensor(scores), torch.tensor([float(ratio.sum()) for ratio in ratios])
        return Rollouts(ids, samples, scores_, ratios, kl, kl_penalised(scores_, kl, self.settings.beta))

    def loss(self, micro: Micro) -> tuple[Tensor, dict[str, float]]:
        """This micro-batch's part of the policy gradient, and how far the sampler's log-probs were off; or of
        the demonstrations' cross-entropy."""
        if isinstance(micro.tensors, MixedIn):
            assert self.ptx is not None
            loss, _ = self.ptx.loss(replace(micro, tensors=micro.tensors.tensors))
            return self.settings.ptx_coef * loss, {"loss/ptx": float(loss)}
        batch, weights, sampled, tokens = micro.tensors
        with without_dropout(self.lm.model):  # with it, the policy trained is not the one sampled
            hidden = hidden_states(self.lm.model, batch.input_ids, batch.attention_mask)
        rows, targets = labelled(hidden, batch.input_ids, batch.response_mask)
        loss, logps = weighted_nll(rows, self.head, targets, weights, self.settings.temperature)
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

    def _reference_logps(self, samples: Sequence[Sample]) -> list[Tensor]:
        with reference_of(self.lm, self.reference) as reference:
            return self._logps(reference, samples)

    def _logps(self, model: LanguageModel, samples: Sequence[Sample]) -> list[Tensor]:
        return sequence_logps(
            model,
            [sample.prompt_ids for sample in samples],
            [sample.response_ids for sample in samples],
            self.settings.temperature,
        )

    def _micros(self, rollouts: Rollouts, advantages: Tensor) -> list[Micro]:
        rows = [
            EncodedRow(
                sample.prompt_ids + sample.response_ids,
                (False,) * len(sample.prompt_ids) + (True,) * len(sample.response_ids),
            )
            for sample in rollouts.samples
        ]
        tokens = sum(len(sample.response_ids) for sample in rollouts.samples)
        weights = self._weights(rollouts, advantages)
        device = self.lm.device
        micros = []
        for group in by_length([len(row.ids) for row in rows], self.settings.optim.micro_tokens):
            batch = collate([rows[i] for i in group], self.lm.pad_id, device)
            sampled = [logp for i in group for logp in rollouts.samples[i].logps]
            each = torch.cat([weights[i] for i in group]).to(device)
            tensors = (batch, each, torch.tensor(sampled, device=device), tokens)
            ids = tuple(rollouts.ids[i] for i in group)
            micros.append(Micro(ids, tensors, sum(len(rows[i].ids) for i in group)))
        return micros

    def _weights(self, rollouts: Rollouts, advantages: Tensor) -> list[Tensor]:
        """What each token of each response weighs in the loss."""
        count, beta, ratios = len(rollouts.samples), self.settings.beta, rollouts.log_ratios
        if self.settings.algorithm == "rloo":
            weights = reinforce_weights(advantages, count)
            return [weight.expand(len(ratio)) for weight, ratio in zip(weights, ratios, strict=True)]
        constant = self.settings.max_new_tokens if self.settings.algorithm == "dr_grpo" else None
        return [
            grpo_weights(advantage, ratio, beta=beta, divisor=count * (constant or len(ratio)))
            for advantage, ratio in zip(advantages.tolist(), ratios, strict=True)
        ]

    def _paid(self, rollouts: Rollouts) -> Tensor:
        """What advantages are of: RLOO has KL in the reward, GRPO in the loss."""
        return rollouts.rewards if self.settings.algorithm == "rloo" else rollouts.scores

    def _groups(self, values: Tensor) -> Tensor:
        """Values of the samples as [prompts, samples]."""
        return values.view(-1, self.settings.samples)

    def _metrics(self, rollouts: Rollouts, advantages: Tensor) -> dict[str, float]:
        samples = rollouts.samples
        tokens = sum(len(sample.response_ids) for sample in samples)
        watched = {} if self.watch is None else {"reward/second": fmean(self.watch(samples))}
        return watched | {
            "reward/mean": float(rollouts.scores.mean()),
            "reward/penalised": float(rollouts.rewards.mean()),
            "reward/equal": float(equal_rewards(self._groups(rollouts.scores)).float().mean()),
            "kl/reference": float(rollouts.kl.mean()),
            "kl/token": float(rollouts.kl.sum()) / tokens,
            "kl/k3": float(k3(torch.cat(list(rollouts.log_ratios))).mean()),
            "length/tokens": tokens / len(samples),
            "ends_turn": sum(sample.ended for sample in samples) / len(samples),
            "entropy/sampled": -sum(sum(sample.logps) for sample in samples) / tokens,
            "advantage/std": float(advantages.std()),
        }


def _finite(rewards: list[float], ids: Sequence[str], step: int) -> list[float]:
    """The same rewards; DivergenceError where one of them is no number, naming the prompts."""
    wrong = [i for i, value in enumerate(rewards) if not math.isfinite(value)]
    if wrong:
        names = ", ".join(dict.fromkeys(ids[i] for i in wrong))
        raise DivergenceError(
            f"step {step}: {len(wrong)} of {len(rewards)} samples have a reward of {rewards[wrong[0]]}, for "
            f"the prompts {names}; nothing was learnt from this step. Look at what the reward model (or the "
            "reward function) makes of those prompts"
        )
    return rewards
