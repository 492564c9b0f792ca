"""Policy optimisation: fresh samples, weighed against their prompt's others, one update on each batch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gnomon.config import PolicySettings
from gnomon.distributed import spread, spread_over
from gnomon.errors import DivergenceError
from gnomon.judges.verifiable import Check
from gnomon.kernels.allocator import release
from gnomon.kernels.branches import Branches
from gnomon.kernels.fused import weighted_nll
from gnomon.losses.advantages import dr_grpo, equal_rewards, grpo, rloo
from gnomon.losses.kl import k3, kl_penalised
from gnomon.losses.policy import grpo_weights, reinforce_weights
from gnomon.models.branches import batches, branch_states
from gnomon.models.heads import output_head, without_dropout
from gnomon.models.load import LanguageModel
from gnomon.models.lora import check_reference, reference_of
from gnomon.rewards.combine import Reward, Verified, shaped
from gnomon.rollouts.engine import Engine, Sample, Sampling
from gnomon.rollouts.kl import log_ratios
from gnomon.stats.agreement import agreement_within
from gnomon.training.objective import Micro, StepWork
from gnomon.training.sft import InstructionTuning

ADVANTAGES = {"rloo": rloo, "grpo": grpo, "dr_grpo": dr_grpo}

RECENT = 2
"""Steps whose KL is remembered: the last, and how fast it grew to it."""


@dataclass(frozen=True)
class PolicyPrompts:
    """Encoded prompts and their ids; the checks of those that a program can tell a right answer of."""

    ids: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]
    checks: Mapping[tuple[int, ...], Sequence[Check]] = field(default_factory=dict)


@dataclass(frozen=True)
class Rollouts:
    """Samples of one step, `samples` neighbours to a prompt, with what they are worth.

    `scores` are the reward's, `paid` with the checks `passed`, `rewards` less KL too. `log_ratios` are
    log pi - log pi_ref of each response's tokens, `kl` their sums.
    """

    ids: tuple[str, ...]
    samples: Sequence[Sample]
    scores: Tensor
    passed: Sequence[float | None]
    paid: Tensor
    log_ratios: Sequence[Tensor]
    kl: Tensor
    rewards: Tensor

    @property
    def tokens(self) -> int:
        """Response tokens of all samples."""
        return sum(len(sample.response_ids) for sample in self.samples)


class Drawn(NamedTuple):
    """A sample, its score as the reward gives it, the share of checks passed, its tokens' log-ratios."""

    sample: Sample
    score: float
    passed: float | None
    log_ratio: Tensor


class SampleBatch(NamedTuple):
    """Samples laid out for one forward pass, and of each of their tokens: where it is predicted, what it is,
    what it weighs, and its log-prob when it was drawn. `tokens` are the whole step's."""

    rows: Branches
    before: Tensor
    labels: Tensor
    weights: Tensor
    drawn: Tensor
    tokens: int


class PolicyOptimisation:
    """RLOO on the KL-regularised reward, or GRPO with KL in the loss. The engine is handed in; `reference` is
    a frozen model where the policy has no frozen adapters of its own."""

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
        check_reference(lm, reference)
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
        # RLOO has KL in the reward, GRPO in the loss
        paid = rollouts.rewards if self.settings.algorithm == "rloo" else rollouts.paid
        advantages = ADVANTAGES[self.settings.algorithm](self._groups(paid)).flatten()
        micros = self._micros(rollouts, advantages)
        if self.ptx is not None:
            micros += self.ptx.prepare(step).micros
        return StepWork(micros, self._metrics(rollouts, advantages))

    def ahead(self) -> float:
        """Nats a sequence the policy may be away after the update to come.

        It was measured before the last update, which moved it about as far as the one before.
        """
        if not self.recent_kl:
            return 0.0
        return self.recent_kl[-1] + 2 * max(0.0, self.recent_kl[-1] - self.recent_kl[0])

    def roll_out(self, step: int) -> Rollouts:
        """The step's samples with scores and sequence KL; each process draws those of its prompts."""
        chosen, n = self._chosen(step), self.settings.samples
        seeds = self._seeds(step, len(chosen) * n)
        costs = [len(self.prompts.rows[i]) + n * self.settings.max_new_tokens for i in chosen]

        def draw(places: list[int]) -> list[list[Drawn]]:
            own = [seed for k in places for seed in seeds[k * n : (k + 1) * n]]
            drawn = self._drawn([chosen[k] for k in places for _ in range(n)], own)
            return [drawn[k * n : (k + 1) * n] for k in range(len(places))]

        drawn = [each for group in spread(costs, draw) for each in group]
        ids = tuple(self.prompts.ids[i] for i in chosen for _ in range(n))
        samples, passed = [each.sample for each in drawn], [each.passed for each in drawn]
        ratios = [each.log_ratio for each in drawn]
        scores = torch.tensor(
            shaped(_finite([each.score for each in drawn], ids, step), samples, self.settings)
        )
        paid = scores + self.settings.checks_weight * torch.tensor([share or 0.0 for share in passed])
        kl = torch.stack([ratio.sum() for ratio in ratios])
        penalised = kl_penalised(paid, kl, self.settings.beta)
        return Rollouts(ids, samples, scores, passed, paid, ratios, kl, penalised)

    def _drawn(self, chosen: Sequence[int], seeds: Sequence[int]) -> list[Drawn]:
        """A sample for each of the chosen prompts, with what is known of it alone."""
        sampling = Sampling(self.settings.max_new_tokens, self.settings.temperature)
        samples = self.engine.sample([self.prompts.rows[i] for i in chosen], sampling, seeds)
        release()  # decoding, scoring and reading need buffers of other sizes: each leaves holes in the heap
        scores = self.reward(samples)
        release()
        passed = self.verified(samples)
        with reference_of(self.lm, self.reference) as reference:
            ratios = log_ratios(reference, samples, self.settings.temperature)
        release()
        return [Drawn(*each) for each in zip(samples, scores, passed, ratios, strict=True)]

    def loss(self, micro: Micro) -> tuple[Tensor, dict[str, float]]:
        """This micro-batch's part of the policy gradient, and how far the sampler's log-probs were off; or of
        the demonstrations' cross-entropy."""
        batch = micro.tensors
        if not isinstance(batch, SampleBatch):
            assert self.ptx is not None
            loss, _ = self.ptx.loss(micro)
            return self.settings.ptx_coef * loss, {"loss/ptx": loss.item()}
        with without_dropout(self.lm.model):  # with it, the policy trained is not the one sampled
            states = branch_states(self.lm.model, batch.rows)[batch.before]
        loss, logps = weighted_nll(states, self.head, batch.labels, batch.weights, self.settings.temperature)
        off = (logps - batch.drawn).abs()
        return loss, {"sampler/logp_error": float(off.sum()) / batch.tokens}

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

    def _micros(self, rollouts: Rollouts, advantages: Tensor) -> list[Micro]:
        samples, device = rollouts.samples, self.lm.device
        rows = [sample.prompt_ids + sample.response_ids for sample in samples]
        starts = [len(sample.prompt_ids) for sample in samples]
        weights = self._weights(rollouts, advantages)
        micros = []
        for laid in batches(self.lm, rows, self.settings.optim.micro_tokens):
            own = list(laid.places)
            each = torch.cat([weights[i] for i in own]).to(device)
            drawn = torch.tensor([logp for i in own for logp in samples[i].logps], device=device)
            batch = SampleBatch(laid, *laid.after(starts), each, drawn, rollouts.tokens)
            ids = tuple(rollouts.ids[i] for i in own)
            micros.append(Micro(ids, batch, sum(len(rows[i]) for i in own)))
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

    def _groups(self, values: Tensor) -> Tensor:
        """Values of the samples as [prompts, samples]."""
        return values.view(-1, self.settings.samples)

    def _watched(self, rollouts: Rollouts) -> dict[str, float]:
        if self.watch is None:
            return {}
        second = spread_over(rollouts.samples, lambda sample: sample.length, self.watch)
        agreement = agreement_within(rollouts.scores.tolist(), second, self.settings.samples)
        known = {} if agreement is None else {"reward/agreement": agreement}
        return {"reward/second": fmean(second)} | known

    def _metrics(self, rollouts: Rollouts, advantages: Tensor) -> dict[str, float]:
        samples, tokens = rollouts.samples, rollouts.tokens
        shares = [share for share in rollouts.passed if share is not None]
        checked = {"checks": fmean(shares)} if shares else {}
        always = {
            "reward/mean": float(rollouts.scores.mean()),
            "reward/penalised": float(rollouts.rewards.mean()),
            "reward/equal": float(equal_rewards(self._groups(rollouts.paid)).float().mean()),
            "kl/reference": float(rollouts.kl.mean()),
            "kl/token": float(rollouts.kl.sum()) / tokens,
            "kl/k3": float(k3(torch.cat(list(rollouts.log_ratios))).mean()),
            "length/tokens": tokens / len(samples),
            "ends_turn": sum(sample.ended for sample in samples) / len(samples),
            "entropy/sampled": -sum(sum(sample.logps) for sample in samples) / tokens,
            "advantage/std": float(advantages.std()),
        }
        return self._watched(rollouts) | checked | always


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
