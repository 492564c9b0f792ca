"""Settings of policy optimisation, and what each algorithm is made of where they leave it open."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from gnomon.settings.base import AdamSettings, Seed, Settings, StepSettings
from gnomon.settings.guards import GuardSettings

Algorithm = Literal["rloo", "grpo", "dr_grpo", "dapo", "reinforce_pp", "ppo", "raft"]
Average = Literal["tokens", "sequences", "constant", "sums"]
Estimator = Literal["k1", "k2", "k3"]

CONSTITUTION = "constitution"
"""The source of rewards by principles, from whoever labels under the constitution."""

SOURCE = re.compile(rf"model|form|refusal|{CONSTITUTION}|path:.+|judge:.+|python:(?:\w+\.)*\w+:\w+")
"""Where a reward comes from."""

SOURCES = "model, form, refusal, constitution, path:DIR, judge:MODEL or python:PACKAGE.MODULE:FUNCTION"
"""The same, for people."""


@dataclass(frozen=True, slots=True)
class Form:
    """What an algorithm does. `by_token`: every token has an advantage of its own, from the rewards of its
    row; otherwise a response has one, from those of its prompt's samples. `clipped`: the loss is of the ratio
    of new and old policy, otherwise of log-probs. `overlong` is a share of `max_new_tokens`."""

    average: Average
    kl: Literal["reward", "loss"]
    estimator: Estimator = "k1"
    by_token: bool = False
    clipped: bool = True
    epochs: int = 1
    high: float = 0.2
    standardise: bool = False
    resample: int = 0
    overlong: float = 0.0


FORMS: Mapping[Algorithm, Form] = MappingProxyType(
    {
        "rloo": Form("sums", "reward"),
        "grpo": Form("sequences", "loss"),
        "dr_grpo": Form("constant", "loss"),
        "dapo": Form("tokens", "loss", high=0.28, resample=3, overlong=0.2),
        "reinforce_pp": Form("tokens", "reward", by_token=True, standardise=True),
        "ppo": Form("tokens", "reward", by_token=True, standardise=True, epochs=4),
        "raft": Form("tokens", "reward", clipped=False),
    }
)
"""As the papers have them; see docs/algorithms."""


class ClipSettings(Settings):
    """How far the updates on one batch of samples may move a token's probability."""

    low: float = Field(0.2, gt=0, lt=1, description="below its probability when it was sampled, as a share")
    high: float | None = Field(None, gt=0, description="above it; null: 0.28 for dapo, 0.2 for the others")
    dual: float | None = Field(
        None, gt=1, description="a bad token's loss counts its ratio so many times at most; its paper has 3"
    )


class KlSettings(Settings):
    """How staying near the reference is paid for; `policy.beta` says how much."""

    place: Literal["reward", "loss"] | None = Field(
        None, description="null: in the loss for grpo, dr_grpo and dapo, in the reward for the others"
    )
    estimator: Estimator | None = Field(None, description="null: k1 in the reward, k3 in the loss")
    target: float | None = Field(
        None, gt=0, description="nats a sequence that beta is adapted to keep; null: beta stays as it is"
    )
    horizon: int = Field(10_000, ge=1, description="samples over which beta is adapted by about a fifth")


class CriticSettings(Settings):
    """The model of values that ppo has beside the policy."""

    optim: AdamSettings = AdamSettings(lr=4e-4, schedule="linear", eps=1e-5)
    start: Literal["reward", "policy"] = Field(
        "reward", description="what its body is at first: the reward model's, head and all, or the policy's"
    )
    coef: float = Field(0.1, gt=0, description="weight of its loss beside the policy's")
    clip: float | None = Field(0.2, gt=0, description="how far a value may move from what it was; null: any")


class MultiplierSettings(Settings):
    """Lagrange multipliers of rewards with a threshold: they grow while it is broken."""

    lr: float = Field(0.1, gt=0, description="rate of SGD on the multiplier's logarithm")
    start: float = Field(1.0, gt=0)
    most: float = Field(5.0, gt=0)
    window: int = Field(128, ge=1, description="latest samples whose mean is held against the threshold")


class RewardTerm(Settings):
    """One thing a sample is paid for, or is to keep to."""

    source: str = Field(description=SOURCES)
    name: str = Field("", pattern=r"^[\w-]*$", description="in metrics; empty: from its source")
    weight: float | None = Field(None, description="in the score; null: 1, and 0 where there is a threshold")
    at_most: float | None = Field(None, description="what its mean is to stay below, by a multiplier")
    at_least: float | None = Field(None, description="what its mean is to stay above, by a multiplier")
    timeout: float = Field(
        60.0, gt=0, description="seconds a python function may take for one call, a server for one reply"
    )
    batch: int = Field(64, ge=1, description="samples given to a python function in one call")
    concurrency: int = Field(16, ge=1, description="requests that a server is asked at a time")
    unreadable: float = Field(
        0.1, ge=0, le=1, description="share of its verdicts in a step that may say nothing; more stop the run"
    )

    @property
    def called(self) -> str:
        """Its name in metrics."""
        return self.name or re.split(r"[:/#]", self.source.rstrip("/"))[-1]

    @property
    def weighs(self) -> float:
        """Its weight in the score."""
        return (0.0 if self.bounded else 1.0) if self.weight is None else self.weight

    @property
    def bounded(self) -> bool:
        """Whether it has a threshold."""
        return self.at_most is not None or self.at_least is not None

    @property
    def costs(self) -> bool:
        """Whether less of it is better."""
        return self.weighs < 0 or (self.weighs == 0 and self.at_most is not None)

    @property
    def two_sided(self) -> bool:
        """Whether its weight asks for more where its threshold asks for less, or the other way round."""
        return (self.weighs > 0 and self.at_most is not None) or (
            self.weighs < 0 and self.at_least is not None
        )

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if not SOURCE.fullmatch(self.source):
            raise ValueError(f"source is {self.source!r}; write {SOURCES}")
        if self.at_most is not None and self.at_least is not None:
            raise ValueError("at_most and at_least are two thresholds; name the source twice, once for each")
        return self


def _term(value: Any) -> Any:
    return {"source": value} if isinstance(value, str) else value


Term = Annotated[RewardTerm, BeforeValidator(_term)]


class EnsembleSettings(Settings):
    """What a policy is paid where the members of its reward model disagree."""

    combine: Literal["mean", "mean_minus_std", "mean_minus_variance", "worst"] = Field(
        "mean", description="of the members' scores"
    )
    caution: float | None = Field(
        None,
        ge=0,
        description="times the members' standard deviation, or variance, is taken off the mean (added to it "
        "where less is better); null: 0.5 of the deviation, and of the variance 0.1, UWO's lambda in PPO (it "
        "is 0.5 in best-of-n)",
    )

    @model_validator(mode="after")
    def _caution_acts(self) -> Self:
        if self.caution is not None and self.combine in ("mean", "worst"):
            raise ValueError(
                f"caution is {self.caution:g}, and combine is {self.combine}, which takes nothing off the "
                "mean; set combine to mean_minus_std or mean_minus_variance, or leave caution out"
            )
        return self

    @property
    def times(self) -> float:
        """How often what the members differ by is taken off."""
        usual = 0.1 if self.combine == "mean_minus_variance" else 0.5
        return usual if self.caution is None else self.caution


class PolicySettings(Settings):
    """Policy optimisation: what is sampled, what it is paid, and what is learnt from it."""

    optim: StepSettings = StepSettings(lr=4e-4, batch_size=96, schedule="constant", checkpoint_every=2)
    seed: Seed = None
    steps: int = Field(10, ge=1, description="batches of fresh samples")
    samples: int = Field(4, ge=1, description="samples of each prompt")
    red_team_share: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="of the prompts: those that ask for harm, data.red_team, all of them and a slice of the "
        "others; null: none, or constitution.red_team_share where the constitutional model is optimised",
    )
    algorithm: Algorithm = "rloo"
    epochs: int | None = Field(None, ge=1, description="passes over the samples of a batch; null: 4 for ppo")
    minibatches: int = Field(1, ge=1, description="optimiser steps in one pass over a batch of samples")
    average: Average | None = Field(
        None,
        description="what the loss is a mean of: tokens, sequences (each the mean of its tokens), constant "
        "(sequences, each divided by max_new_tokens) or sums (sequences, each summed); null: as the "
        "algorithm's paper has it",
    )
    clip: ClipSettings = ClipSettings()
    kl: KlSettings = KlSettings()
    beta: float = Field(
        0.1,
        ge=0,
        description="what a nat of KL costs in the reward, or what a token's KL weighs in the loss; for "
        "grpo, dr_grpo and dapo their papers have 0.04, 0 and 0",
    )
    kl_budget: float | None = Field(
        8.0, gt=0, description="nats a sequence the policy may move, and it stops before; null: any"
    )
    guards: GuardSettings = GuardSettings()
    gamma: float = Field(1.0, gt=0, le=1, description="ppo, reinforce_pp: discount for a token later")
    lam: float = Field(0.95, ge=0, le=1, description="ppo: how far advantages look beyond the values")
    standardise: bool | None = Field(
        None, description="ppo, reinforce_pp: advantages over the tokens of the batch; null: they are"
    )
    critic: CriticSettings = CriticSettings()
    max_new_tokens: int = Field(64, ge=1, description="tokens a sample may have")
    temperature: float = Field(0.7, gt=0, description="of sampling, and of the log-probs trained on")
    rewards: tuple[Term, ...] = Field(
        (RewardTerm(source="model"),), description="what samples are paid for and keep to, beside checks"
    )
    multipliers: MultiplierSettings = MultiplierSettings()
    ensemble: EnsembleSettings = EnsembleSettings()
    score_bound: float | None = Field(3.0, gt=0, description="scores are squashed to lie within +- this")
    length_neutral: bool = Field(True, description="take out of the scores what length alone explains")
    checks_weight: float = Field(1.0, ge=0, description="reward of passing all of a prompt's checks")
    scale_rewards: bool = Field(False, description="divide what samples are paid by its deviation so far")
    resample: int | None = Field(
        None,
        ge=0,
        description="times that prompts whose samples are all paid the same give way to others; null: 3 for "
        "dapo, or 0",
    )
    ptx_coef: float = Field(
        0.0,
        ge=0,
        description="weight of the cross-entropy on demonstrations mixed in, a token's mean; beside the sum "
        "of an answer's tokens (rloo) it weighs as many times less as an answer has tokens",
    )
    ptx_rows: int = Field(24, ge=1, description="demonstrations mixed into a step, where ptx_coef is above 0")
    liti: float = Field(
        1.0, gt=0, le=1, description="how far from the start to the trained weights the result lies"
    )
    missing_end: float = Field(1.0, ge=0, description="taken off the score of a response that does not end")
    missing_end_score: float | None = Field(
        None, description="the score of a response that does not end, whatever it says; null: its own"
    )
    length_penalty: float = Field(0.0, ge=0, description="taken off the score per response token")
    overlong: int | None = Field(
        None,
        ge=0,
        description="last tokens before max_new_tokens over which up to 1 is taken off the score; null: a "
        "fifth of them for dapo, or 0",
    )

    @property
    def form(self) -> Form:
        """The algorithm's, but for what is set."""
        form = FORMS[self.algorithm]
        kl = self.kl.place or form.kl
        own = {
            "average": self.average,
            "epochs": self.epochs,
            "high": self.clip.high,
            "standardise": self.standardise,
            "resample": self.resample,
            "overlong": None if self.overlong is None else self.overlong / self.max_new_tokens,
        }
        changes: dict[str, Any] = {name: value for name, value in own.items() if value is not None}
        usual: Estimator = "k1" if kl == "reward" else "k3"
        estimator = self.kl.estimator or usual
        return replace(form, kl=kl, estimator=estimator, **changes)

    @property
    def updates(self) -> int:
        """Optimiser steps on each batch of samples."""
        return self.form.epochs * self.minibatches

    @property
    def sources(self) -> tuple[str, ...]:
        """Where rewards come from."""
        return tuple(term.source for term in self.rewards)

    @property
    def needs_reward_model(self) -> bool:
        """Whether these settings speak of the trained reward model."""
        return "model" in self.sources or (self.algorithm == "ppo" and self.critic.start == "reward")

    @property
    def by_constitution(self) -> bool:
        """Whether samples are scored by principles, with no reward model between."""
        return CONSTITUTION in self.sources

    @property
    def limits(self) -> tuple[RewardTerm, ...]:
        """The rewards with a threshold."""
        return tuple(term for term in self.rewards if term.bounded)

    @field_validator("optim", mode="before")
    @classmethod
    def _samples_are_fresh(cls, optim: Any) -> Any:
        if isinstance(optim, dict) and "epochs" in optim:
            raise ValueError(
                "epochs: a policy has no rows to pass over; set policy.steps, the batches of fresh samples, "
                "or policy.epochs, the passes over each of them, and leave it out here"
            )
        return optim

    @model_validator(mode="before")
    @classmethod
    def _whole_distribution(cls, values: Any) -> Any:
        filters = [name for name in ("top_k", "top_p") if isinstance(values, dict) and name in values]
        if filters:
            raise ValueError(
                f"{' and '.join(filters)}: samples that are trained on come from the whole distribution, for "
                "what a filter takes out biases the gradient; leave it out, or lower temperature"
            )
        return values

    @model_validator(mode="after")
    def _whole_groups(self) -> Self:
        prompts, rest = divmod(self.optim.batch_size, self.samples)
        if rest:
            raise ValueError(
                f"optim.batch_size is {self.optim.batch_size}, which {self.samples} samples of each prompt "
                "do not divide; set a multiple of samples"
            )
        if prompts % self.minibatches:
            raise ValueError(
                f"minibatches is {self.minibatches}, which does not divide the {prompts} prompts of a batch; "
                "the samples of a prompt stay together"
            )
        if self.samples == 1 and not self.form.by_token:
            raise ValueError(
                f"samples is 1, and {self.algorithm} measures a sample against others of its prompt; set 2 "
                "or more"
            )
        return self

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        names = [term.called for term in self.rewards]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two rewards are called {twice[0]!r}; give one of them another `name`")
        if self.limits and self.algorithm == "raft":
            raise ValueError("raft keeps the best samples and knows no thresholds; give weights instead")
        if self.samples == 1 and any(source.startswith("judge:") for source in self.sources):
            raise ValueError("samples is 1, and a judge compares samples of one prompt; set 2 or more")
        return self

    @model_validator(mode="after")
    def _nothing_is_in_vain(self) -> Self:
        if self.standardise and not self.form.by_token:
            raise ValueError(
                f"standardise: {self.algorithm} measures a sample against others of its prompt, not against "
                "the batch; leave it out, or set algorithm to ppo or reinforce_pp"
            )
        if self.resample and self.form.by_token:
            raise ValueError(
                f"resample: {self.algorithm} measures tokens against the whole batch, and samples that are "
                "all paid the same teach as well; leave it out, or set algorithm to dapo, say"
            )
        if self.kl.target is not None and self.beta == 0:
            raise ValueError(
                f"kl.target is {self.kl.target:g}, and beta is 0, which stays 0 however far KL is off; set "
                "beta above 0, or kl.target to null"
            )
        return self

    @model_validator(mode="after")
    def _doubt_has_a_side(self) -> Self:
        scored = ("model", "path", CONSTITUTION)
        both = [t for t in self.rewards if t.two_sided and t.source.partition(":")[0] in scored]
        if both and self.ensemble.combine != "mean":
            raise ValueError(
                f"reward {both[0].called} is paid for by its weight and held back by its threshold, and "
                f"ensemble.combine={self.ensemble.combine} doubts it on one side alone; name the source "
                "twice, once for each, or set combine to mean"
            )
        return self
