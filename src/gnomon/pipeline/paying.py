"""What pays a policy, opened: each source of its rewards, and the models behind them."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gnomon.config import ConstitutionSettings, Recipe
from gnomon.constitution.direct import ConstitutionReward
from gnomon.errors import ModelError
from gnomon.judges.asking import RETRIES
from gnomon.judges.judgement import QUALITY, PairwiseJudge
from gnomon.judges.pairwise import multiple_choice_judge
from gnomon.judges.written import WrittenJudge
from gnomon.models.load import LanguageModel, load, reads_alike
from gnomon.models.reference import is_served, parse_endpoint_ref
from gnomon.models.reward_model import Scorer, load_scorer
from gnomon.pipeline.direct import direct_scorer
from gnomon.pipeline.roles import asked_by_each
from gnomon.pipeline.stage import Artefact
from gnomon.pipeline.stages import Start, shared_out
from gnomon.records import Prompt
from gnomon.rewards.combine import ModelReward, Reward, Term, Terms
from gnomon.rewards.functions import FunctionReward, find_function
from gnomon.rewards.judged import JudgeReward
from gnomon.rewards.rules import RULES, RuleReward
from gnomon.settings.policy import CONSTITUTION, PolicySettings, RewardTerm
from gnomon.store import file_digest


@dataclass(frozen=True, slots=True)
class Payers:
    """The models that pay a policy or watch it, none of which trains with it.

    `direct` is what the gate found of whoever scores by the constitution, where it let them pay; `judge` a
    reward model that was trained and pays in their place.
    """

    reward: Start | None = None
    second: Start | None = None
    direct: Artefact | None = None
    judge: Start | None = None

    @property
    def inputs(self) -> dict[str, Artefact]:
        """Those of them that earlier stages made, as inputs."""
        models = {"reward": self.reward, "second": self.second, "judge": self.judge}
        made = {name: None if start is None else start.artefact for name, start in models.items()}
        return {name: it for name, it in (made | {"direct": self.direct}).items() if it is not None}


@dataclass(frozen=True)
class Paying:
    """All that it takes to open the rewards of a policy: `prompts` are found by the ids that are sampled
    from, and what servers answer is kept in `folder`."""

    recipe: Recipe
    settings: PolicySettings
    start: Start
    payers: Payers
    lm: LanguageModel
    prompts: Mapping[tuple[int, ...], Prompt]
    folder: Path

    def terms(self, scorer: Scorer | None) -> Terms:
        """Every reward with its settings; `scorer` is the reward model of this run, opened."""
        return Terms(tuple(Term(term, self._reward(term, scorer)) for term in self.settings.rewards))

    def _reward(self, term: RewardTerm, scorer: Scorer | None) -> Reward:
        """What a reward's source says of samples."""
        kind, _, name = term.source.partition(":")
        if kind == "python":
            return FunctionReward(term.source, find_function(name), self.prompts, term.timeout, term.batch)
        if kind in RULES:
            return RuleReward(RULES[kind], self.prompts)
        if kind == "judge":
            return JudgeReward(self._judge(term, name), self.prompts, self.settings.samples)
        if kind == "path":
            scorer = frozen_scorer(self.recipe, Path(name), self.lm)
        elif kind == CONSTITUTION:
            if self.payers.judge is None:
                return self._by_constitution(term)
            scorer = frozen_scorer(self.recipe, self.payers.judge.folder, self.lm)
        assert scorer is not None
        return ModelReward(scorer, self.settings.ensemble, cost=term.costs)

    def _judge(self, term: RewardTerm, ref: str) -> PairwiseJudge:
        """A model that is asked for a letter, or on a server for a verdict in words, as in win rates."""
        if is_served(ref):
            kept = self.folder / f"{term.called}.jsonl"
            engine = asked_by_each(ref, kept, term, self._constitution.roles.budget)
            return WrittenJudge(engine, QUALITY, RETRIES)
        return multiple_choice_judge(load(ref, dtype=self.recipe.model.dtype), lambda _: QUALITY)

    def _by_constitution(self, term: RewardTerm) -> ConstitutionReward:
        assert self.payers.direct is not None, "whoever scores has to be measured first"
        own = self._constitution
        ref, kept = own.roles.labeller, self.folder / "labeller.jsonl"
        served = asked_by_each(ref, kept, term, own.roles.budget) if ref and is_served(ref) else None
        scorer = direct_scorer(self.recipe, own, self.start, served)
        return ConstitutionReward(scorer, self.prompts, self.settings.samples)

    @property
    def _constitution(self) -> ConstitutionSettings:
        return self.recipe.constitution or ConstitutionSettings()


def digests(settings: PolicySettings) -> dict[str, str]:
    """What rewards from elsewhere consist of: other files make another policy.

    What a server's weights are nobody knows: its reference is all there is of it.
    """
    found = {}
    for source in settings.sources:
        kind, _, name = source.partition(":")
        if kind == "judge":
            if is_served(name):
                parse_endpoint_ref(name)  # what is wrong with it is better said before anything is loaded
            found[source] = Start(name).digest
        elif kind == "path":
            found[source] = Start(source).digest
        elif kind == "python":
            file = inspect.getsourcefile(inspect.unwrap(find_function(name)))
            found[source] = file_digest(Path(file)) if file else ""
    return found


def frozen_scorer(recipe: Recipe, folder: Path, lm: LanguageModel) -> Scorer:
    """A reward model that is no longer trained, and reads what the policy writes."""
    scorer = load_scorer(folder, dtype=recipe.model.dtype, device=recipe.model.loaded_to)
    if not reads_alike(lm, scorer.lm):
        raise ModelError(
            f"the reward model in {folder} reads another vocabulary or chat template than the "
            "policy; train one that starts from this policy's model"
        )
    shared_out(recipe, scorer.model)
    return scorer
