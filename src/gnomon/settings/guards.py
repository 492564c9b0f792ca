"""Settings of what watches policy optimisation for over-optimisation, and of what is done about it."""

from typing import Literal, Self

from pydantic import Field, model_validator

from gnomon.settings.base import Settings

AlarmName = Literal["turn", "peak", "spread", "longer", "shorter", "ends", "distinct", "entropy"]


class GuardSettings(Settings):
    """Evaluation points on prompts set aside, which of their policies goes on, and alarms."""

    every: int | None = Field(
        None, ge=1, description="batches between evaluation points on prompts set aside; null: there are none"
    )
    prompts: int = Field(48, ge=8, description="policy prompts set aside for them, which train nothing")
    keep: Literal["last", "best"] = Field(
        "last",
        description="whose weights go on: the last batch's, or the evaluation point's with the best gold",
    )
    gold: Literal["checks", "second"] | None = Field(
        None,
        description="what tells the best: the share of verifiable checks passed, or the second reward "
        "model's score; null: checks where prompts set aside have any, else second",
    )
    second: str | None = Field(
        None,
        pattern=r"^path:.+",
        description="path:DIR of a reward model that only watches; null: a run's second one, if there is",
    )
    alarms: bool = Field(True, description="whether figures are looked at for what went wrong")
    false_alarms: float = Field(
        0.05, gt=0, lt=0.5, description="chance that a run in which nothing goes wrong has any alarm"
    )
    stop: tuple[AlarmName, ...] = Field((), description="alarms that end a run")

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.keep == "best" and self.every is None:
            raise ValueError(
                "keep is best, and there are no evaluation points to tell which is; set guards.every"
            )
        if self.stop and not self.alarms:
            raise ValueError(f"stop names {', '.join(self.stop)}, and alarms are off; set guards.alarms=true")
        return self
