"""Policy optimisation: fresh samples, what they teach, one update or several on each batch of them."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gnomon.distributed import spread, spread_over
from gnomon.errors import ModelError
from gnomon.kernels.allocator import release
from gnomon.losses.advantages import equal_rewards
from gnomon.losses.kl import k3, kl_penalised
from gnomon.models.critic import Critic
from gnomon.models.heads import output_head
from gnomon.models.load import LanguageModel
from gnomon.models.logps import Reading, readings
from gnomon.models.lora import check_reference, reference_of
from gnomon.policy_settings import PolicySettings
from gnomon.rewards.combine import Reward, Terms, Verified, shaped
from gnomon.rollouts.engine import Engine, Sampling
from gnomon.rollouts.kl import log_ratios
from gnomon.stats.agreement import agreement_within
from gnomon.training.control import Controls
from gnomon.training.lesson import Lesson, lesson_of
from gnomon.training.objective import Micro, StepWork
from gnomon.training.samples import Drawn, PolicyPrompts, Rollouts, finite
from gnomon.training.sft import InstructionTuning
from gnomon.training.updates import RatioBatch, SampleBatch, micros_of, minibatch, policy_loss, value_loss

RECENT = 2
"""Batches whose KL is remembered: the last, and how fast it grew to it."""


class PolicyOptimisation:
    """Learns from its own samples by the algorithm of the settings. The engine is handed in; `reference` is
    a frozen model where the policy has no frozen adapters of its own."""

    def __init__(
        self,
        lm: LanguageModel,
        engine: Engine,
        reward: Reward | Terms,
        prompts: PolicyPrompts,
        settings: PolicySettings,
        *,
        seed: int,
        reference: LanguageModel | None = None,
    ) -> None:
        check_reference(lm, reference)
        self.lm, self.engine, self.terms = lm, engine, Terms.of(reward)
        self.prompts, self.settings, self.seed, self.reference = prompts, settings, seed, reference
        self.head = output_head(lm.model)
        self.verified = Verified(prompts.checks)
        self.steps = settings.steps * settings.updates
        self.recent_kl: list[float] = []
        self.controls = Controls(settings, self.terms.limits)
        self.lesson: Lesson | None = None
        """What is left to learn of the batch, between its updates."""
        self.critic: Critic | None = None
        """The values of ppo; it trains beside the policy, as a part of the same module."""
        self.watch: Reward | None = None
        """A second reward model whose mean score of the samples is logged, and nothing else."""
        self.ptx: InstructionTuning | None = None
        """Demonstrations whose cross-entropy is mixed in with weight `ptx_coef`, against what RL unlearns on
        tasks the prompts do not ask for (PPO-ptx, arXiv:2203.02155, eq. 2)."""

    def prepare(self, step: int) -> StepWork:
        """At the first update of a batch sample, score and weigh, or stop where the KL budget would be left;
        then the samples of the update."""
        batch, update = divmod(step, self.settings.updates)
        metrics: dict[str, float] = {}
        if update == 0:
            if self.ahead() > self.settings.kl_budget:
                now, budget = self.recent_kl[-1], self.settings.kl_budget
                return StepWork(
                    [], stop=f"KL budget: at {now:.2f} nats a sequence the next step may pass {budget}"
                )
            self.lesson, metrics = self._learnt(self.roll_out(batch))
        assert self.lesson is not None
        part = self.lesson
        if self.settings.updates > 1:
            part = minibatch(part, self.settings, self.seed, batch, update)
        micros = list(micros_of(self.lm, part, self.settings))
        if self.ptx is not None:
            micros += self.ptx.prepare(step).micros
        return StepWork(micros, metrics)

    def ahead(self) -> float:
        """Nats a sequence the policy may be away after the updates to come.

        It was measured before the last ones, which moved it about as far as those before.
        """
        if not self.recent_kl:
            return 0.0
        return self.recent_kl[-1] + 2 * max(0.0, self.recent_kl[-1] - self.recent_kl[0])

    def roll_out(self, batch: int) -> Rollouts:
        """The batch's samples with scores and sequence KL; each process draws those of its prompts.

        Where the settings say so, prompts whose samples are all paid the same give way to others, so many
        times at most (DAPO's dynamic sampling, arXiv:2503.14476, section 3.2, which knows no limit).
        """
        chosen, replaced = self._chosen(batch), 0
        groups = self._groups_of(chosen, [self.seed, batch])
        for again in range(1, self.settings.form.resample + 1):
            flat = [k for k, group in enumerate(groups) if self._flat(group)]
            spare = self._spare(chosen, [self.seed, batch, again])
            pairs = dict(zip(flat, spare, strict=False))
            if not pairs:
                break
            fresh = self._groups_of(list(pairs.values()), [self.seed, batch, again])
            for (k, i), group in zip(pairs.items(), fresh, strict=True):
                chosen[k], groups[k] = i, group
            replaced += len(pairs)
        drawn = [each for group in groups for each in group]
        ids = [self.prompts.ids[i] for i in chosen for _ in range(self.settings.samples)]
        return self._paid(drawn, ids, batch, replaced)

    def loss(self, micro: Micro) -> tuple[Tensor, dict[str, float]]:
        """This micro-batch's part of the policy's loss and the critic's, and how far the sampler's log-probs
        were off; or of the demonstrations' cross-entropy."""
        batch = micro.tensors
        if not isinstance(batch, SampleBatch | RatioBatch):
            assert self.ptx is not None
            loss, _ = self.ptx.loss(micro)
            return self.settings.ptx_coef * loss, {"loss/ptx": loss.item()}
        loss, figures = policy_loss(self.lm, self.head, batch, self.settings)
        if batch.targets is None:
            return loss, figures
        assert self.critic is not None
        more, others = value_loss(self.critic, batch, batch.targets, self.settings)
        return loss + more, figures | others

    def state_dict(self) -> dict[str, Any]:
        """The KL of the last batches, what steers the next, and what is left to learn of this one."""
        left = {} if self.settings.updates == 1 or self.lesson is None else self.lesson.state_dict()
        own = {"lesson": left} if left else {}
        return {"recent_kl": self.recent_kl, **self.controls.state_dict(), **own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where `state_dict` was written."""
        self.recent_kl = [float(value) for value in state["recent_kl"]]
        self.controls.load_state_dict(state)
        if "lesson" in state:
            self.lesson = Lesson(**state["lesson"])

    def _learnt(self, rollouts: Rollouts) -> tuple[Lesson, dict[str, float]]:
        """What a batch teaches, by the weights that it leaves behind; and all that is logged of it."""
        if self.settings.algorithm == "ppo" and self.critic is None:
            raise ModelError("ppo learns values beside the policy; set the objective's `critic`")
        weights = self.controls.weights(rollouts)
        lesson, figures = lesson_of(rollouts, self.settings, weights)
        self.controls.follow(rollouts.kl)
        self.recent_kl = [*self.recent_kl, float(rollouts.kl.mean())][-RECENT:]
        return lesson, self._metrics(rollouts) | figures | self.controls.metrics(weights)

    def _groups_of(self, chosen: Sequence[int], entropy: list[int]) -> list[list[Drawn]]:
        """The samples of each of the chosen prompts; seeds of their own for each follow from `entropy`."""
        n = self.settings.samples
        state = np.random.SeedSequence(entropy).generate_state(len(chosen) * n, dtype=np.uint64)
        seeds = [int(seed) for seed in state]
        costs = [len(self.prompts.rows[i]) + n * self.settings.max_new_tokens for i in chosen]

        def draw(places: list[int]) -> list[list[Drawn]]:
            own = [seed for k in places for seed in seeds[k * n : (k + 1) * n]]
            drawn = self._drawn([chosen[k] for k in places for _ in range(n)], own)
            return [drawn[k * n : (k + 1) * n] for k in range(len(places))]

        return spread(costs, draw)

    def _drawn(self, chosen: Sequence[int], seeds: Sequence[int]) -> list[Drawn]:
        """A sample for each of the chosen prompts, with what is known of it alone."""
        sampling = Sampling(self.settings.max_new_tokens, self.settings.temperature)
        samples = self.engine.sample([self.prompts.rows[i] for i in chosen], sampling, seeds)
        release()  # decoding, scoring and reading need buffers of other sizes: each leaves holes in the heap
        said = self.terms(samples)
        release()
        passed = self.verified(samples)
        with reference_of(self.lm, self.reference) as reference:
            ratios = log_ratios(reference, samples, self.settings.temperature)
        release()
        rows = [s.prompt_ids for s in samples], [s.response_ids for s in samples]
        read: Sequence[Reading | None] = [None] * len(samples)
        if self.settings.updates > 1:
            read = readings(self.lm, *rows, self.settings.temperature)
        values: Sequence[Tensor | None] = [None] * len(samples)
        if self.critic is not None:
            values = self.critic.values(*rows)
        return [Drawn(*each) for each in zip(samples, said, passed, ratios, read, values, strict=True)]

    def _paid(self, drawn: list[Drawn], ids: list[str], batch: int, replaced: int) -> Rollouts:
        """Samples with what they are worth together."""
        terms, settings = [each.terms for each in drawn], self.settings
        for column in zip(*terms, strict=True):
            finite(column, ids, batch)
        scores = [self.terms.score(values) for values in terms]
        ready = torch.tensor(shaped(scores, [each.sample for each in drawn], settings))
        paid = ready + settings.checks_weight * torch.tensor([each.passed or 0.0 for each in drawn])
        kl = torch.stack([each.log_ratio.sum() for each in drawn])
        costs = torch.tensor([self.terms.costs(values) for values in terms]).unbind(dim=1)
        penalised = kl_penalised(paid, kl, self.controls.beta)
        said = torch.tensor(terms, dtype=paid.dtype)
        return Rollouts(tuple(ids), drawn, said, ready, paid, kl, penalised, tuple(costs), replaced)

    def _flat(self, group: Sequence[Drawn]) -> bool:
        """Whether nothing tells the samples of a prompt apart but their lengths."""
        told = {(self.terms.score(each.terms), each.passed, each.sample.ended) for each in group}
        return len(told) == 1

    def _chosen(self, batch: int) -> list[int]:
        """Prompts in epochs of a seeded order, whatever the batch that is asked for."""
        count, n = self.settings.optim.batch_size // self.settings.samples, len(self.prompts.rows)
        picks = []
        for k in range(batch * count, (batch + 1) * count):
            epoch, position = divmod(k, n)
            picks.append(int(np.random.default_rng([self.seed, epoch]).permutation(n)[position]))
        return picks

    def _spare(self, chosen: Sequence[int], entropy: list[int]) -> list[int]:
        """Other prompts than the chosen ones, in a seeded order."""
        order = np.random.default_rng(entropy).permutation(len(self.prompts.rows)).tolist()
        return [i for i in order if i not in chosen]

    def _watched(self, rollouts: Rollouts) -> dict[str, float]:
        if self.watch is None:
            return {}
        second = spread_over(rollouts.samples, lambda sample: sample.length, self.watch)
        agreement = agreement_within(rollouts.scores.tolist(), second, self.settings.samples)
        known = {} if agreement is None else {"reward/agreement": agreement}
        return {"reward/second": fmean(second)} | known

    def _metrics(self, rollouts: Rollouts) -> dict[str, float]:
        samples, tokens, n = rollouts.samples, rollouts.tokens, self.settings.samples
        always = {
            "reward/mean": float(rollouts.scores.mean()),
            "reward/penalised": float(rollouts.rewards.mean()),
            "reward/equal": float(equal_rewards(rollouts.paid.view(-1, n)).float().mean()),
            "kl/reference": float(rollouts.kl.mean()),
            "kl/token": float(rollouts.kl.sum()) / tokens,
            "kl/k3": float(k3(torch.cat(rollouts.log_ratios)).mean()),
            "length/tokens": tokens / len(samples),
            "ends_turn": sum(sample.ended for sample in samples) / len(samples),
            "entropy/sampled": -sum(sum(sample.logps) for sample in samples) / tokens,
        }
        return self._watched(rollouts) | self._sometimes(rollouts) | always

    def _sometimes(self, rollouts: Rollouts) -> dict[str, float]:
        """What is logged where there is something of its kind."""
        shares = [share for share in rollouts.passed if share is not None]
        known = {"checks": fmean(shares)} if shares else {}
        if self.settings.form.resample:
            known["reward/replaced"] = rollouts.replaced / (len(rollouts.drawn) // self.settings.samples)
        if len(self.terms.names) > 1 or self.terms.told_apart:
            means = rollouts.terms.mean(dim=0).tolist()
            known |= {f"term/{name}": mean for name, mean in zip(self.terms.names, means, strict=True)}
        read = [(each.sample, each.reading) for each in rollouts.drawn if each.reading is not None]
        if read:
            off = [(torch.tensor(s.logps) - r.logps).abs().sum() for s, r in read]
            known["sampler/logp_error"] = float(sum(off)) / rollouts.tokens
            known["entropy/policy"] = float(sum(r.entropy.sum() for _, r in read)) / rollouts.tokens
        return known
