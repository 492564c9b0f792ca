"""Settings of the laboratory; its defaults are the study on the tiny model."""

from typing import Self

from pydantic import Field, model_validator

from gnomon.config import LoraSettings, ModelSettings, RewardSettings
from gnomon.policy_settings import EnsembleSettings, PolicySettings
from gnomon.settings import OptimSettings, Settings


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
        0.25, ge=0, le=0.5, description="share of their choices that are for what they find worse; 0: none"
    )
    variability: float = Field(0.6, ge=0, description="deviation of their reliability, in log-odds")
    charmed: float = Field(
        0.0, ge=0, description="what a charming character seems worth to them, beyond what it is worth"
    )


class ProxySettings(Settings):
    """A reward model trained on the crowd's labels: its size is the rank of its adapters."""

    rank: int = Field(8, ge=1)
    labels: int = Field(600, ge=8, description="comparisons it learns from, each with one choice")

    @property
    def name(self) -> str:
        """What it is called in rows and figures."""
        return f"rank-{self.rank}-labels-{self.labels}"


class GuardSettings(Settings):
    """What the guarded climb has and the other has not."""

    members: int = Field(4, ge=2, le=16, description="of the ensemble that pays it")
    ensemble: EnsembleSettings = EnsembleSettings(combine="worst")
    kl_budget: float = Field(4.0, gt=0, description="nats a sequence the policy may move")


class MeasureSettings(Settings):
    """What is sampled to draw the curves; none of it is trained on."""

    samples: int = Field(16, ge=2, description="answers to each prompt at a point of a climb")
    every: int = Field(4, ge=1, description="steps between two points")
    best_of: int = Field(128, ge=2, description="answers to each prompt that the best are chosen among")
    held_out: int = Field(800, ge=50, description="comparisons that tell how proxy and second model err")
    away: float = Field(
        0.5,
        ge=0,
        description="fits of RL leave out points nearer than this, in root nats: their slope is "
        "infinite at 0",
    )
    resamples: int = Field(500, ge=50, description="of prompts and runs, for the intervals")


class LaboratorySettings(Settings):
    """One study: for each seed a crowd, its labels, proxies, a second reward model, and climbs."""

    name: str = "overopt"
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1)
    model: ModelSettings = ModelSettings(
        ref="tiny:0", dtype="float32", lora=LoraSettings(rank=8, alpha=16), max_length=64
    )
    prompts: tuple[str, ...] = Field((), description="as `data.prompts`; none: single letters")
    prompt_count: int = Field(16, ge=2, description="prompts, the first ones after a seeded shuffle")
    start: StartSettings | None = Field(StartSettings(), description="null: the model as it is")
    gold: GoldSettings = GoldSettings()
    crowd: CrowdSettings = CrowdSettings(charmed=1.8)
    second: CrowdSettings = Field(
        CrowdSettings(charmed=0.5), description="who labels for the second reward model"
    )
    careful: CrowdSettings = Field(
        CrowdSettings(annotators=5, charmed=0.0),
        description="who judges the held-out comparisons, each by two of them: noise, no bias",
    )
    proxies: tuple[ProxySettings, ...] = Field((ProxySettings(), ProxySettings(rank=2)), min_length=1)
    reward: RewardSettings = RewardSettings(
        optim=OptimSettings(lr=5e-3, epochs=3, batch_size=32, micro_tokens=4096, weight_decay=0.01)
    )
    policy: PolicySettings = PolicySettings(
        optim=OptimSettings(
            lr=1e-2, batch_size=96, micro_tokens=4096, schedule="constant", checkpoint_every=20
        ),
        steps=60,
        samples=6,
        beta=0.0,
        kl_budget=1e9,
        max_new_tokens=8,
        temperature=1.0,
        score_bound=None,
        length_neutral=False,
        missing_end=0.0,
    )
    guards: GuardSettings = GuardSettings()
    measure: MeasureSettings = MeasureSettings()

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for what, values in (("seeds", self.seeds), ("proxies", self.proxies)):
            if len(set(values)) < len(values):
                raise ValueError(f"{what}: one is named twice; a study has each once")
        return self
