"""How comparisons are labelled under a constitution: the settings of RL-CAI, of its gate, its roles and what
its snapshots are measured by."""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from gnomon.settings.base import Settings

NO_EXAMPLES = "none"

BUILTIN_EXAMPLES = "builtin"

Shape = Literal["soft", "hard", "clamped"]
"""What a probability becomes as a label: itself, 0 or 1, or itself within bounds."""


SELF, TRAINED_JUDGE, TRUTH = "self", "trained_judge", "truth:"
"""Labellers that no reference names: the model at hand, a reward model of the given comparisons, and the
truth, which stands before the probability that it errs."""


class RoleSettings(Settings):
    """Who does what; null or self is the model at hand itself, else a reference or endpoint:URL#MODEL."""

    generator: str | None = Field(None, description="answers the prompts")
    critic: str | None = Field(None, description="criticises the answers and revises them")
    labeller: str | None = Field(
        None,
        description="says which of two answers is the better; trained_judge: a reward model of the given "
        "comparisons, truth:P: known answers and a rule, wrong with probability P",
    )

    budget: int | None = Field(
        None,
        ge=1,
        description="replies that a stage may have of a server in one role, earlier attempts' included",
    )
    concurrency: int = Field(16, ge=1, description="requests that a server is asked at a time")
    timeout: float = Field(600.0, gt=0, description="seconds a server may take for one reply")

    @field_validator("generator", "critic", "labeller", mode="before")
    @classmethod
    def _self_is_null(cls, value: Any) -> Any:
        return None if value == SELF else value

    @field_validator("labeller")
    @classmethod
    def _errs_with_a_probability(cls, value: str | None) -> str | None:
        if value is not None and value.startswith(TRUTH):
            try:
                possible = 0 <= float(value.removeprefix(TRUTH)) <= 1
            except ValueError:
                possible = False
            if not possible:
                raise ValueError(f"it is {value!r}; give a probability from 0 to 1, as in {TRUTH}0.1")
        return value

    @property
    def noise(self) -> float | None:
        """The probability that the truth errs, where it labels."""
        found = self.labeller is not None and self.labeller.startswith(TRUTH)
        return float(str(self.labeller).removeprefix(TRUTH)) if found else None


class DirectSettings(Settings):
    """How whoever labels scores single answers, where a policy is paid by the constitution itself."""

    method: Literal["contrast", "rating"] = Field(
        "contrast",
        description="contrast: nats by which an answer is likelier where a principle is asked for than where "
        "its breach is; rating: the mean of 1 to 10 by their likelihoods as the reply, from -1 to 1",
    )
    ensemble: int = Field(
        1, ge=1, description="principles drawn for each prompt of a batch, whose mean its samples are paid"
    )


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
    when_shut: Literal["stop", "helpful_only", "trained_judge"] = Field(
        "helpful_only",
        description="what a road does where the gate stays shut: stop, go on without AI labels, or have a "
        "judge label that is trained on the given comparisons",
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


Fault = Literal[
    "unchanged",
    "role leak",
    "repetition",
    "closer",
    "emoji",
    "cut off",
    "critique instead of revision",
    "echo",
    "speaks as the user",
    "declines and does it",
    "lost content",
]
"""Why a revision is not kept, beside being empty."""


class HygieneSettings(Settings):
    """When a revision is not kept."""

    shared: float = Field(
        0.5,
        gt=0,
        le=1,
        description="a text says another again when it has more than this share of that text's 4-word "
        "windows, or the other way round",
    )
    within: float = Field(
        0.85,
        gt=0,
        le=1,
        description="a text is within another that has this share of its words in the same order",
    )
    twice: float = Field(
        0.03, ge=0, le=1, description="share of 4-word windows that may have come before in a revision"
    )
    ignored: tuple[Fault, ...] = Field((), description="faults that are let through")


class SnapshotSettings(Settings):
    """What every model of a constitutional road is measured by."""

    red_team: str = Field("builtin", description="held-out prompts that ask for harm: builtin, or a file")
    safe: str = Field("builtin", description="prompts that only look harmful: builtin, or XSTest's file")
    judge: str | None = Field(
        None,
        description="who compares answers with the helpful model's, and has taught nothing: a model, a "
        "reward model or an endpoint; null: the second reward model",
    )
    judged: int = Field(
        120, ge=1, description="helpful prompts, a seeded slice, that a judge other than null is asked about"
    )
