"""How a model labels comparisons under a constitution: the settings of RL-CAI, of its gate and its roles."""

from typing import Literal, Self

from pydantic import Field, model_validator

from gnomon.settings import Settings

NO_EXAMPLES = "none"

BUILTIN_EXAMPLES = "builtin"

Shape = Literal["soft", "hard", "clamped"]
"""What a probability becomes as a label: itself, 0 or 1, or itself within bounds."""


class RoleSettings(Settings):
    """Who does what; null is the model at hand itself, else a reference or endpoint:URL#MODEL."""

    generator: str | None = Field(None, description="answers the prompts")
    critic: str | None = Field(None, description="criticises the answers and revises them")
    labeller: str | None = Field(None, description="says which of two answers is the better")


class FeedbackSettings(Settings):
    """How comparisons are labelled, and where known answers to the very pairs come from."""

    method: Literal["choice", "contrast"] = Field(
        "choice",
        description="choice: log-probs of (A) against (B); contrast: log-prob of each answer where a "
        "principle is asked for against where its breach is, for models too small for letters",
    )
    labels: Shape | None = Field(None, description="null: clamped with chain of thought, else soft")
    clamp: tuple[float, float] = Field((0.4, 0.6), description="bounds of clamped labels")
    ensemble: int = Field(1, ge=1, description="principles drawn for each comparison, their mean its label")
    order: Literal["both", "one"] = Field("both", description="both: the mean of both orders of the answers")
    reasoning: int = Field(0, ge=0, description="chains of thought for each principle and order, averaged")
    reasoning_tokens: int = Field(160, ge=1, description="tokens of one chain of thought")
    reasoning_temperature: float = Field(1.0, gt=0)
    examples: str = Field(NO_EXAMPLES, description="worked comparisons before each: none, builtin or a file")
    sample: tuple[str, ...] = Field(
        (), description="files of comparisons with known labels, of the very kind that is to be labelled"
    )
    gate: Literal["holds", "warns"] = Field(
        "holds", description="whether a labeller below the bar is stopped, or only warned of"
    )
    share: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="share of the reward model's loss that AI comparisons make up; null: a pair is a pair",
    )

    @property
    def shape(self) -> Shape:
        """The labels' shape; chains of thought are too sure of themselves, and clamped (arXiv:2212.08073)."""
        return self.labels or ("clamped" if self.reasoning else "soft")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        low, high = self.clamp
        if not 0 <= low <= 0.5 <= high <= 1:
            raise ValueError(f"clamp is {list(self.clamp)}; give a bound from 0 to 0.5 and one from 0.5 to 1")
        if self.method == "contrast" and (self.reasoning or self.examples != NO_EXAMPLES):
            raise ValueError("contrast reads answers and asks nothing: leave out reasoning and examples")
        return self
