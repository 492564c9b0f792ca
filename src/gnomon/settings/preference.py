"""Settings of preference optimisation: which loss, and what each loss has of its own to set."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from gnomon.settings.base import OptimSettings, Seed, Settings

Loss = Literal[
    "dpo",
    "robust_dpo",
    "ipo",
    "hinge",
    "slic",
    "kto",
    "orpo",
    "simpo",
    "cpo",
    "ld_dpo",
    "r_dpo",
    "apo_zero",
    "apo_down",
]

OWN: Mapping[Loss, Mapping[str, Any]] = {
    "dpo": {"beta": 0.1},
    "robust_dpo": {"beta": 0.1},
    "ipo": {"beta": 0.1, "average": False},
    "hinge": {"beta": 0.1},
    "slic": {"delta": 1.0, "sft_weight": 0.1},
    "kto": {"beta": 0.1, "desirable_weight": 1.0, "undesirable_weight": 1.0},
    "orpo": {"odds_weight": 0.1, "sft_weight": 1.0},
    "simpo": {"beta": 2.0, "gamma": 1.0},
    "cpo": {"beta": 0.1, "sft_weight": 1.0},
    "ld_dpo": {"beta": 0.1, "tail_weight": 0.5},
    "r_dpo": {"beta": 0.1, "length_penalty": 0.01},
    "apo_zero": {"beta": 0.1},
    "apo_down": {"beta": 0.1},
}
"""What each loss is set by, and its value where the settings have none."""

COMMON: Mapping[str, Any] = {"sft_weight": 0.0, "tail_weight": 1.0}
"""What the objective asks of every loss, and its value with those that do not set it themselves."""

REFERENCE_FREE = ("slic", "orpo", "simpo", "cpo")
"""Losses of the policy's own log-probs."""


class PreferenceSettings(Settings):
    """Preference optimisation: no reward model and no samples, comparisons alone.

    A setting that is null takes its loss's value in `OWN`; one that the loss knows nothing of is refused.
    """

    optim: OptimSettings = OptimSettings(lr=5e-5, epochs=1.0, batch_size=16)
    seed: Seed = None
    loss: Loss = "dpo"
    label_smoothing: float = Field(0.0, ge=0, lt=0.5, description="share of labels taken to be flipped")
    sft_weight: float | None = Field(
        None, ge=0, description="weight of the cross-entropy on the preferred answer, a token's mean"
    )
    beta: float | None = Field(
        None,
        gt=0,
        description="reward for each nat of log-ratio to the reference; simpo and cpo: of the log-prob, "
        "simpo's a token",
    )
    average: bool | None = Field(None, description="ipo: log-ratios of a token, not of the whole answer")
    gamma: float | None = Field(None, ge=0, description="simpo: reward margin that is aimed at")
    delta: float | None = Field(None, gt=0, description="slic: nats between both answers that are enough")
    odds_weight: float | None = Field(None, gt=0, description="orpo: weight of the odds ratio's loss")
    desirable_weight: float | None = Field(None, gt=0, description="kto: weight of the better answers")
    undesirable_weight: float | None = Field(None, gt=0, description="kto: weight of the worse answers")
    tail_weight: float | None = Field(
        None, ge=0, le=1, description="ld_dpo: what a token past the shorter answer's length counts"
    )
    length_penalty: float | None = Field(
        None, ge=0, description="r_dpo: reward that a token of an answer is taken to cost"
    )

    @property
    def own(self) -> dict[str, Any]:
        """What the loss is set by, each as it is set or as `OWN` has it."""
        names = [*OWN[self.loss], *(["sft_weight"] if self.sft_weight is not None else [])]
        given = {name: getattr(self, name) for name in dict.fromkeys(names)}
        return {name: OWN[self.loss][name] if value is None else value for name, value in given.items()}

    @property
    def common(self) -> dict[str, Any]:
        """What the objective asks of every loss."""
        return {name: self.own.get(name, value) for name, value in COMMON.items()}

    @property
    def arguments(self) -> dict[str, Any]:
        """What the loss's own function is called with."""
        return {name: value for name, value in self.own.items() if name not in COMMON}

    @property
    def needs_reference(self) -> bool:
        """Whether the loss compares with a reference."""
        return self.loss not in REFERENCE_FREE

    @property
    def averages(self) -> bool:
        """Whether the loss compares answers by their mean log-prob a token."""
        return self.loss in ("simpo", "orpo") or bool(self.own.get("average"))

    @model_validator(mode="after")
    def _of_this_loss(self) -> Self:
        known = {name for names in OWN.values() for name in names} - {"sft_weight"}
        for name in sorted(known):
            if getattr(self, name) is not None and name not in OWN[self.loss]:
                others = ", ".join(loss for loss, names in OWN.items() if name in names)
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}, and loss {self.loss} has no such setting; leave it "
                    f"out, or take a loss that has it ({others})"
                )
        return self

    @model_validator(mode="after")
    def _flips_to_correct_for(self) -> Self:
        if self.loss == "robust_dpo" and not self.label_smoothing:
            raise ValueError(
                "label_smoothing is 0, and loss robust_dpo corrects for the share of labels that are "
                "flipped; set it, or take loss dpo"
            )
        return self
