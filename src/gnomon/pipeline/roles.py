"""Who generates, criticises and labels: the model at hand, another one in memory, or one on a server."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gnomon.constitution.labeller import Who
from gnomon.distributed import agreed, leads
from gnomon.errors import ConfigError
from gnomon.judges.choosing import Backend, endpoint_backend, local_backend
from gnomon.models.load import LanguageModel, load
from gnomon.models.reference import is_served, parse_endpoint_ref, parse_model_ref
from gnomon.pipeline.stages import Start
from gnomon.records import Conversation
from gnomon.rollouts.engine import Engine, Sample, Sampling
from gnomon.rollouts.letters import Letters
from gnomon.rollouts.local import LocalEngine
from gnomon.rollouts.shared import SharedEngine
from gnomon.settings.feedback import RoleSettings
from gnomon.settings.policy import RewardTerm
from gnomon.store import KeptRows

if TYPE_CHECKING:
    from gnomon.rollouts.endpoint import EndpointEngine


@dataclass(frozen=True)
class AskedOnce:
    """A server that the first of several processes asks for all of them."""

    engine: "EndpointEngine"

    def sample(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling, seeds: Sequence[int]
    ) -> list[Sample]:
        """As the engine does."""
        return agreed(self.engine.sample(prompts, sampling, seeds) if leads() else [])

    def answer(
        self,
        conversations: Sequence[Conversation],
        sampling: Sampling,
        seed: int | Sequence[int] = 0,
        *,
        raw: bool = False,
    ) -> list[Sample]:
        """As the engine does."""
        return agreed(self.engine.answer(conversations, sampling, seed, raw=raw) if leads() else [])

    def choose(
        self, conversations: Sequence[Conversation], letters: Sequence[str], attempt: int = 0
    ) -> list[Letters]:
        """As the engine does."""
        return agreed(self.engine.choose(conversations, letters, attempt) if leads() else [])


@dataclass
class Cast:
    """The models of a stage, each loaded once; what servers answer is kept in `folder` until it ends.

    `own` is the model at hand; `roles` says how servers are asked.
    """

    own: Start
    dtype: str
    folder: Path
    roles: RoleSettings = field(default_factory=RoleSettings)
    _loaded: LanguageModel | None = None

    def engine(self, role: str, ref: str | None) -> Engine:
        """What answers in a role; null is the model at hand."""
        if ref is None:
            return SharedEngine(LocalEngine(self.model))
        if is_served(ref):
            return asked_once(ref, self.folder / f"{role}.jsonl", self.roles)
        return SharedEngine(LocalEngine(load(ref, dtype=self.dtype)))

    def backend(self, ref: str | None) -> Backend:
        """What labels; null is the model at hand."""
        if ref is not None and is_served(ref):
            return endpoint_backend(asked_once(ref, self.folder / "labeller.jsonl", self.roles), ref)
        start = self.own if ref is None else Start(ref)
        lm = self.model if ref is None else load(ref, dtype=self.dtype)
        backend = local_backend(lm, f"{name_of(start)} in {self.dtype}")
        return replace(backend, engine=SharedEngine(LocalEngine(lm)))

    @property
    def model(self) -> LanguageModel:
        """The model at hand."""
        if self._loaded is None:
            self._loaded = load(self.own.ref, dtype=self.dtype)
        return self._loaded


def who(ref: str | None, own: Start) -> Who:
    """Whether a role is the model's own or another's, and whose."""
    return Who("self", name_of(own)) if ref is None else Who("teacher", name_of(Start(ref)))


def name_of(start: Start) -> str:
    """What rows call a model: a stage and its artefact, a reference, or the id of a folder's weights."""
    if start.artefact is not None:
        return f"{start.artefact.stage}:{start.artefact.id}"
    return start.ref if not start.digest else f"{start.ref.partition(':')[0]}:{start.digest}"


def settings_of(*refs: str | None) -> list[str | None]:
    """What tells the models of roles apart in a stage's settings; ConfigError for what names none."""
    for ref in refs:
        if ref is not None and not is_served(ref):
            parse_model_ref(ref)
    return [None if ref is None else name_of(Start(ref)) for ref in refs]


def kept_rows(path: Path) -> KeptRows:
    """Rows of earlier attempts, the first process's for all, who alone adds to them."""
    kept = KeptRows(path if leads() else None)
    kept.rows = agreed(kept.rows)
    return kept


def asked_once(ref: str, kept: Path | None, roles: RoleSettings | None = None) -> AskedOnce:
    """A server by its reference, asked by the first process as `roles` say; replies are added to the file
    `kept`."""
    roles = roles or RoleSettings()
    return AskedOnce(_endpoint(ref, kept, roles.budget, roles))


def asked_by_each(ref: str, kept: Path, term: RewardTerm, budget: int | None = None) -> "EndpointEngine":
    """A server that each of several processes asks about samples of its own, as a reward's settings say: each
    keeps what it was told in a file of its own, and has an equal part of what is left of the budget."""
    return _endpoint(ref, kept, budget, term, each=True)


def _endpoint(
    ref: str, kept: Path | None, budget: int | None, asked: RoleSettings | RewardTerm, *, each: bool = False
) -> "EndpointEngine":
    try:
        from gnomon.rollouts.endpoint import EndpointEngine  # noqa: PLC0415  only here is its extra needed
        from gnomon.rollouts.server import Patience  # noqa: PLC0415  the same extra
    except ImportError as problem:
        raise ConfigError(
            f"{ref} needs a package that is missing ({problem}): pip install 'gnomon[endpoint]'"
        ) from problem
    patience = Patience(requests=asked.concurrency, timeout=asked.timeout)
    return EndpointEngine(parse_endpoint_ref(ref), kept, patience, budget=budget, each=each)
