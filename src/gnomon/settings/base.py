"""What all settings have in common, and those of the optimiser, which every training stage has."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Decay = Annotated[float, Field(ge=0, lt=1)]

Seed = Annotated[
    int | None,
    Field(ge=0, description="of what is drawn here; null: the recipe's; another from the same start"),
]
"""Of one stage alone, where all before it stays as it is."""


class Settings(BaseModel):
    """Frozen; an unknown key is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class AdamSettings(Settings):
    """How weights are stepped: AdamW, clipping, warm-up, then a schedule."""

    lr: float = Field(5e-4, gt=0, description="peak learning rate")
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = Field(0.05, ge=0, lt=1, description="share of the steps spent warming up")
    weight_decay: float = Field(0.0, ge=0)
    betas: tuple[Decay, Decay] = (0.9, 0.99)
    eps: float = Field(1e-8, gt=0)
    max_grad_norm: float = Field(1.0, gt=0, description="clip of the global gradient norm")


class StepSettings(AdamSettings):
    """One optimiser for every objective, and what its steps are made of."""

    batch_size: int = Field(16, ge=1, description="sequences (or pairs) in one optimiser step")
    micro_tokens: int = Field(2048, ge=1, description="padded tokens computed at a time")
    checkpoint_every: int = Field(20, ge=1, description="steps between checkpoints")


class OptimSettings(StepSettings):
    """The same where rows are given, and passes over them are counted."""

    epochs: float = Field(2.0, gt=0, description="passes over the rows")
