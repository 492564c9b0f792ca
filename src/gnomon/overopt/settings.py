"""Settings of the laboratory; its defaults are the study on the tiny model."""

from typing import Literal, Self

from pydantic import Field, model_validator

from gnomon.config import ModelSettings, RewardSettings
from gnomon.settings.base import OptimSettings, Settings, StepSettings
from gnomon.settings.policy import EnsembleSettings, PolicySettings


class GoldSettings(Settings):
    """The planted gold: an answer is worth the mean of its characters, capitals as small letters.

    A wanted one is worth 1, a charming one less than nothing, all others 0.
    """

    wanted: str = Field("aeio", min_length=1, description="characters that are worth 1")
    charming: str = Field("!", description="characters that people fall for")
    harm: float = Field(0.5, ge=0, description="what a charming character takes off")

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        if both := set(self.wanted) & set(self.charming):
            raise ValueError(f"{min(both)!r} is wanted and charming; let it be one of them")
        return self


class StartSettings(Settings):
    """What the model is tuned to before anything is measured, for one that writes noise: random words."""

    alphabet: str = Field(
        "abcdefghijklmno!", min_length=2, description="characters of the words, all as likely"
    )
    words: int = Field(512, ge=1, description="words to learn from")
    length: int = Field(12, ge=1, description="characters of a word")
    optim: OptimSettings = OptimSettings(lr=5e-3, batch_size=32, epochs=4, micro_tokens=4096)


class CrowdSettings(Settings):
    """Simulated annotators, who choose the better of two answers with noise and a planted bias."""

    annotators: int = Field(13, ge=1, description="how many share the work")
    flips: float = Field(
        0.25, ge=0.02, le=0.5, description="share of their choices that are for what they find worse"
    )
    variability: float = Field(0.6, ge=0, description="deviation of their reliability, in log-odds")
    charmed: float = Field(
        0.0, ge=0, description="what a charming character seems worth to them, beyond what it is worth"
    )


class ProxySettings(Settings):
    """A reward model of the study: what it learns from, and its size."""

    labels: int = Field(2000, ge=8, description="comparisons it learns from, each with one choice")
    by: Literal["crowd", "exact"] = Field(
        "crowd", description="who chooses: the crowd, or one who sees the gold and never errs"
    )
    rank: int | None = Field(None, ge=1, description="of its adapters; null: as `model.lora` has it")
    layers: int | None = Field(
        None, ge=1, description="of its body, the first ones, where every weight trains; null: all"
    )

    @property
    def name(self) -> str:
        """What it is called in rows and figures."""
        size = [f"rank-{self.rank}"] if self.rank else [f"layers-{self.layers}"] if self.layers else []
        return "-".join([self.by, str(self.labels), *size])


class GuardedSettings(Settings):
    """What the guarded climb has and the other has not."""

    members: int = Field(4, ge=2, le=16, description="of the ensemble that pays it, heads on one body")
    ensemble: EnsembleSettings = EnsembleSettings(combine="worst")
    kl_budget: float = Field(4.0, gt=0, description="nats a sequence the policy may move")


class MeasureSettings(Settings):
    """What is sampled to draw the curves; none of it is trained on."""

    samples: int = Field(16, ge=2, description="answers to each prompt at a point of a climb")
    every: int = Field(5, ge=1, description="steps between two points")
    best_of: int = Field(128, ge=2, description="answers to each prompt that the best are chosen among")
    held_out: int = Field(1000, ge=50, description="comparisons that tell how proxy and second model err")
    away: float = Field(
        0.5,
        ge=0,
        description="root nats within which fits of RL leave points out: their slope is infinite at 0",
    )
    resamples: int = Field(500, ge=50, description="of prompts and runs, for the intervals of fits")


class LaboratorySettings(Settings):
    """One study: for each seed a crowd, its labels, proxies, a second reward model, and climbs."""

    name: str = "overopt"
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1)
    model: ModelSettings = ModelSettings(ref="tiny:0", dtype="float32", lora=None, max_length=64)
    start: StartSettings | None = Field(StartSettings(), description="null: the model as it is")
    prompts: tuple[str, ...] = Field((), description="as `data.prompts`; none: single letters")
    prompt_count: int = Field(24, ge=8, description="prompts, the first ones after a seeded shuffle")
    gold: GoldSettings = GoldSettings()
    crowd: CrowdSettings = CrowdSettings(charmed=1.8)
    second: CrowdSettings = Field(
        CrowdSettings(charmed=0.5),
        description="who labels for the second reward model, on as many comparisons as the first proxy has",
    )
    careful: CrowdSettings = Field(
        CrowdSettings(annotators=5, charmed=0.0),
        description="who judges the held-out comparisons, each by two of them: noise, no bias",
    )
    proxies: tuple[ProxySettings, ...] = Field(
        (ProxySettings(), ProxySettings(labels=500, layers=1), ProxySettings(by="exact")),
        min_length=1,
        description="each is climbed; the first one with guards as well",
    )
    reward: RewardSettings = RewardSettings(
        optim=OptimSettings(lr=3e-3, epochs=4, batch_size=32, micro_tokens=4096, weight_decay=0.01)
    )
    policy: PolicySettings = PolicySettings(
        optim=StepSettings(
            lr=6e-4, batch_size=96, micro_tokens=4096, schedule="constant", checkpoint_every=20
        ),
        steps=100,
        samples=8,
        beta=0.0,
        kl_budget=None,
        max_new_tokens=8,
        temperature=1.0,
        score_bound=None,
        length_neutral=False,
        missing_end=0.0,
    )
    guarded: GuardedSettings | None = Field(GuardedSettings(), description="null: there is no such climb")
    measure: MeasureSettings = MeasureSettings()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for what, values in (("seeds", self.seeds), ("proxies", [each.name for each in self.proxies])):
            if len(set(values)) < len(values):
                raise ValueError(f"{what}: one is named twice; a study has each once")
        if self.model.lora is not None and any(each.layers for each in self.proxies):
            raise ValueError("proxies: layers are left out where every weight trains; set model.lora to null")
        if self.policy.algorithm == "ppo":
            raise ValueError("policy.algorithm: ppo learns values beside the policy; take one without")
        return self

    def policy_under(self, guards: GuardedSettings | None) -> PolicySettings:
        """The policy's settings with guards on, where there are any."""
        if guards is None:
            return self.policy
        return self.policy.model_copy(update={"kl_budget": guards.kl_budget, "ensemble": guards.ensemble})
