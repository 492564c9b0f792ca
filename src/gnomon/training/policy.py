"""Policy optimisation: fresh samples, what they teach, one update or several on each batch of them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from gnomon.distributed import agreed, spread, spread_over
from gnomon.errors import ModelError
from gnomon.kernels.allocator import release
from gnomon.models.critic import Critic
from gnomon.models.heads import output_head
from gnomon.models.load import LanguageModel
from gnomon.models.logps import Reading, readings
from gnomon.models.lora import check_reference, reference_of
from gnomon.rewards.combine import Reward, Terms, Verified, shaped
from gnomon.rollouts.engine import Engine, Sample, Sampling
from gnomon.rollouts.kl import log_ratios
from gnomon.settings.base import AdamSettings
from gnomon.settings.policy import PolicySettings
from gnomon.stats.alarms import Point
from gnomon.training.control import Controls
from gnomon.training.figures import by_prompt, figures, log_lengths
from gnomon.training.first import FirstAnswers
from gnomon.training.lesson import Lesson, lesson_of
from gnomon.training.lookout import Lookout
from gnomon.training.objective import Figures, Micro, StepWork
from gnomon.training.samples import Drawn, PolicyPrompts, Rollouts, finite, readable
from gnomon.training.sft import InstructionTuning
from gnomon.training.updates import RatioBatch, SampleBatch, micros_of, minibatch, policy_loss, value_loss

T = TypeVar("T")

RECENT = 2
"""Batches whose KL is remembered: the last, and how fast it grew to it."""

ASIDE = (0, 0, 1)
"""What tells the seeds of the samples of prompts set aside from a batch's. They are the same at every point:
a policy that has not changed writes what it wrote."""


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
        self.lookout = Lookout.of(settings, seed)
        self.lesson: Lesson | None = None
        """What is left to learn of the batch, between its updates."""
        self.critic: Critic | None = None
        """The values of ppo; it trains beside the policy, as a part of the same `module`."""
        self.watch: Reward | None = None
        """A second reward model whose scores of the samples are logged and looked at, and pay nothing."""
        self.aside: PolicyPrompts | None = None
        """Prompts that train nothing; their samples at evaluation points say what became of the policy."""
        self.first = FirstAnswers()
        self.lengths: dict[str, float] = {}
        """The mean log length of the first batch, and at the first evaluation point."""
        self.ptx: InstructionTuning | None = None
        """Demonstrations whose cross-entropy is mixed in with weight `ptx_coef`, against what RL unlearns on
        tasks the prompts do not ask for (PPO-ptx, arXiv:2203.02155, eq. 2)."""

    @property
    def module(self) -> nn.Module:
        """What is trained: the policy, and the critic beside it."""
        own: nn.Module = self.lm.model
        return own if self.critic is None else nn.ModuleDict({"policy": own, "critic": self.critic.model})

    @property
    def apart(self) -> dict[str, AdamSettings]:
        """By how names in the module begin, the settings of weights that have some of their own."""
        return {} if self.critic is None else {"critic.": self.settings.critic.optim}

    def prepare(self, step: int) -> StepWork:
        """At the first update of a batch sample, score and weigh, or stop where a guard says so; then the
        samples of the update."""
        batch, update = divmod(step, self.settings.updates)
        metrics: dict[str, float] = {}
        if update == 0:
            if (stop := self._stop()) is not None:
                return StepWork([], stop=stop)
            self.lesson, metrics = self._learnt(self._watched(self.roll_out(batch)), step)
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

    def evaluate(self, step: int) -> dict[str, float]:
        """Figures of the policy after so many steps on the prompts set aside, as `eval/NAME`, and alarms."""
        assert self.aside is not None
        groups = self._groups_of(self.aside.rows, [self.seed, *ASIDE], taught=False)
        ids = [prompt for prompt in self.aside.ids for _ in range(self.settings.samples)]
        rollouts = self._watched(self._paid([each for group in groups for each in group], ids, step, 0))
        found = self._figures(rollouts, "aside") | self.first.beaten(rollouts)
        return {f"eval/{name}": value for name, value in found.items()} | self._looked(rollouts, step)

    def set_aside(self, prompts: PolicyPrompts) -> None:
        """Ask these at evaluation points, by `evaluate`; alarms are about them where there are any."""
        self.aside = prompts
        self.verified = Verified({**self.verified.checks, **prompts.checks})

    def roll_out(self, batch: int) -> Rollouts:
        """The batch's samples with scores and sequence KL; each process draws those of its prompts.

        Where the settings say so, prompts whose samples are all paid the same give way to others, so many
        times at most (DAPO's dynamic sampling, arXiv:2503.14476, section 3.2, which knows no limit).
        """
        chosen, replaced = self._chosen(batch), 0
        groups = self._groups_of(self._rows(chosen), [self.seed, batch])
        for again in range(1, self.settings.form.resample + 1):
            flat = [k for k, group in enumerate(groups) if self._flat(group)]
            spare = self._spare(chosen, [self.seed, batch, again])
            pairs = dict(zip(flat, spare, strict=False))
            if not pairs:
                break
            fresh = self._groups_of(self._rows(pairs.values()), [self.seed, batch, again])
            for (k, i), group in zip(pairs.items(), fresh, strict=True):
                chosen[k], groups[k] = i, group
            replaced += len(pairs)
        drawn = [each for group in groups for each in group]
        ids = [self.prompts.ids[i] for i in chosen for _ in range(self.settings.samples)]
        return self._paid(drawn, ids, batch, replaced)

    def distance(self, batch: int) -> float:
        """Nats a sequence from the reference, of the batch's samples: nobody is asked what they are worth."""
        groups = self._of_each(self._rows(self._chosen(batch)), [self.seed, batch], self._log_ratios)
        return float(torch.stack([own.sum() for group in groups for own in group]).mean())

    def loss(self, micro: Micro) -> tuple[Tensor, Figures]:
        """This micro-batch's part of the policy's loss and the critic's, and how far the sampler's log-probs
        were off; or of the demonstrations' cross-entropy."""
        batch = micro.tensors
        if not isinstance(batch, SampleBatch | RatioBatch):
            assert self.ptx is not None
            loss, _ = self.ptx.loss(micro)
            return self.settings.ptx_coef * loss, {"loss/ptx": loss.detach()}
        loss, known = policy_loss(self.lm, self.head, batch, self.settings)
        if batch.targets is None:
            return loss, known
        assert self.critic is not None
        more, others = value_loss(self.critic, batch, batch.targets, self.settings)
        return loss + more, known | others

    def state_dict(self) -> dict[str, Any]:
        """The KL of the last batches, what steers the next, what was seen of the run, and what is left to
        learn of this batch."""
        left = {} if self.settings.updates == 1 or self.lesson is None else self.lesson.state_dict()
        own: dict[str, Any] = {"lesson": left} if left else {}
        own |= {} if self.lookout is None else {"lookout": self.lookout.state_dict()}
        return {
            "recent_kl": self.recent_kl,
            "lengths": dict(self.lengths),
            "first": self.first.state_dict(),
            **self.controls.state_dict(),
            **own,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where `state_dict` was written."""
        self.recent_kl = [float(value) for value in state["recent_kl"]]
        self.lengths = dict(state["lengths"])
        self.first.load_state_dict(state["first"])
        self.controls.load_state_dict(state)
        if self.lookout is not None:
            self.lookout.load_state_dict(state["lookout"])
        if "lesson" in state:
            self.lesson = Lesson(**state["lesson"])

    def _stop(self) -> str | None:
        """Why no further batch should be learnt from: an alarm, or the KL budget would be left."""
        if self.lookout is not None and (alarm := agreed(self.lookout.stop)) is not None:
            return alarm
        budget = self.settings.kl_budget
        if budget is None or self.ahead() <= budget:
            return None
        return f"KL budget: at {self.recent_kl[-1]:.2f} nats a sequence the next step may pass {budget}"

    def _learnt(self, rollouts: Rollouts, step: int) -> tuple[Lesson, dict[str, float]]:
        """What a batch teaches, by the weights that it leaves behind; and all that is logged of it."""
        if self.settings.algorithm == "ppo" and self.critic is None:
            raise ModelError("ppo learns values beside the policy; set the objective's `critic`")
        weights = self.controls.weights(rollouts)
        lesson, known = lesson_of(rollouts, self.settings, weights)
        self.controls.follow(rollouts.kl)
        self.recent_kl = [*self.recent_kl, float(rollouts.kl.mean())][-RECENT:]
        if self.settings.guards.every is None:
            known |= self._looked(rollouts, step + 1)
        known |= self._figures(rollouts, "batch")
        return lesson, known | self.controls.metrics(weights)

    def _rows(self, chosen: Iterable[int]) -> list[tuple[int, ...]]:
        return [self.prompts.rows[i] for i in chosen]

    def _groups_of(
        self, prompts: Sequence[tuple[int, ...]], entropy: list[int], *, taught: bool = True
    ) -> list[list[Drawn]]:
        """The samples of each of the prompts with what is known of them."""
        terms = self.terms.at("/".join(map(str, entropy[1:])))  # rewards know the seed themselves
        return self._of_each(prompts, entropy, lambda own: self._drawn(own, terms, taught=taught))

    def _of_each(
        self,
        prompts: Sequence[tuple[int, ...]],
        entropy: list[int],
        known: Callable[[list[Sample]], Sequence[T]],
    ) -> list[list[T]]:
        """What is `known` of the samples of each of the prompts; each process draws those of some, and seeds
        of their own for each follow from `entropy`."""
        n = self.settings.samples
        state = np.random.SeedSequence(entropy).generate_state(len(prompts) * n, dtype=np.uint64)
        seeds = [int(seed) for seed in state]
        costs = [len(ids) + n * self.settings.max_new_tokens for ids in prompts]
        sampling = Sampling(self.settings.max_new_tokens, self.settings.temperature)

        def draw(places: list[int]) -> list[list[T]]:
            own = [seed for k in places for seed in seeds[k * n : (k + 1) * n]]
            samples = self.engine.sample([prompts[k] for k in places for _ in range(n)], sampling, own)
            release()  # decoding, scoring and reading need buffers of other sizes: each leaves holes
            found = known(samples)
            return [list(found[k * n : (k + 1) * n]) for k in range(len(places))]

        return spread(costs, draw)

    def _log_ratios(self, samples: Sequence[Sample]) -> list[Tensor]:
        with reference_of(self.lm, self.reference) as reference:
            return log_ratios(reference, samples, self.settings.temperature)

    def _drawn(self, samples: list[Sample], terms: Terms, *, taught: bool) -> list[Drawn]:
        """Samples with what is known of each alone, and what it takes to learn from it where it is
        `taught`."""
        said = terms(samples)
        release()
        passed = self.verified(samples)
        ratios = self._log_ratios(samples)
        release()
        rows = [s.prompt_ids for s in samples], [s.response_ids for s in samples]
        read: Sequence[Reading | None] = [None] * len(samples)
        if taught and self.settings.updates > 1:
            read = readings(self.lm, *rows, self.settings.temperature)
        values: Sequence[Tensor | None] = [None] * len(samples)
        if taught and self.critic is not None:
            values = self.critic.values(*rows)
        return [Drawn(*each) for each in zip(samples, said, passed, ratios, read, values, strict=True)]

    def _paid(self, drawn: list[Drawn], ids: list[str], batch: int, replaced: int) -> Rollouts:
        """Samples with what they are worth together."""
        terms, settings = [each.said.values for each in drawn], self.settings
        for column in zip(*terms, strict=True):
            finite(column, ids, batch)
        readable(self.terms, drawn, ids, batch)
        scores = [self.terms.score(values) for values in terms]
        ready = torch.tensor(shaped(scores, [each.sample for each in drawn], settings))
        paid = ready + settings.checks_weight * torch.tensor([each.passed or 0.0 for each in drawn])
        kl = torch.stack([each.log_ratio.sum() for each in drawn])
        costs = torch.tensor([self.terms.costs(values) for values in terms]).unbind(dim=1)
        said = torch.tensor(terms, dtype=paid.dtype)
        return Rollouts(tuple(ids), drawn, said, ready, paid, kl, tuple(costs), replaced)

    def _flat(self, group: Sequence[Drawn]) -> bool:
        """Whether nothing tells the samples of a prompt apart but their lengths."""
        said = [each.said.values for each in group]
        worth = {(self.terms.score(values), *self.terms.costs(values)) for values in said}
        return len(worth) == 1 and len({(each.passed, each.sample.ended) for each in group}) == 1

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

    def _watched(self, rollouts: Rollouts) -> Rollouts:
        """With the scores of the second reward model, where there is one."""
        if self.watch is None:
            return rollouts
        second = spread_over(rollouts.samples, lambda sample: sample.length, self.watch)
        return replace(rollouts, second=tuple(second))

    def _figures(self, rollouts: Rollouts, place: str) -> dict[str, float]:
        length = self.lengths.setdefault(place, float(log_lengths(rollouts).mean()))
        return figures(rollouts, self.terms, self.settings, length)

    def _looked(self, rollouts: Rollouts, step: int) -> dict[str, float]:
        """What is logged of a look at these samples, if they complete one."""
        if self.lookout is None:
            return {}
        return self.lookout.see(Point(step, by_prompt(rollouts, self.settings.samples)))
