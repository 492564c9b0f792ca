"""Pairs put before judge after judge: what each said of them, as figures and as rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from gnomon.evaluation.agreement import agreement
from gnomon.evaluation.judging import Progress, is_alike, judged, outcomes
from gnomon.evaluation.told import Told
from gnomon.evaluation.win_rates import anchored, length_difference, win_rate_figures
from gnomon.judges.judgement import PairwiseJudge, Said, answer_text, said_to_json
from gnomon.pipeline.judges import Case, judge_id, kind_of, open_judge, question_ids
from gnomon.records import Comparison
from gnomon.store import KeptRows

OF_PROMPTS_ALONE = ("checks", "votes")
"""Kinds of judges that have nothing to say of other pairs than those of the prompts."""

OF_WEIGHTS = ("reward", "model")
"""Kinds whose judgements are kept here; a server's replies are kept as they come."""


@dataclass
class Hearing:
    """The pairs that every judge is asked, those with labels that are known, and what was said so far."""

    pairs: Sequence[Comparison]
    clusters: Sequence[str]
    known: Sequence[Comparison]
    known_clusters: Sequence[str]
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    worth: dict[str, list[float | None]] = field(default_factory=dict)
    alike: dict[str, list[bool]] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)

    def hear(self, name: str, ref: str, case: Case, folder: Path, told: Progress) -> None:
        """Ask the judge that a reference names; what it says is kept in a folder, and not asked again."""
        kind, own_id = kind_of(ref), judge_id(ref)
        place = folder / f"{own_id}.jsonl"
        judge = open_judge(ref, case, place)
        pairs = [*self.pairs, *(() if kind in OF_PROMPTS_ALONE else self.known)]
        kept = KeptRows(place if kind in OF_WEIGHTS else None)
        self._take(name, judge, judged(judge, pairs, kept, question_ids(own_id, pairs, case), told))

    def stand_beside(self, name: str, judge: PairwiseJudge) -> None:
        """Ask a judge that no reference names, as baselines are."""
        pairs = [*self.pairs, *self.known]
        self._take(name, judge, judged(judge, pairs, KeptRows(None), [str(i) for i in range(len(pairs))]))

    def _take(self, name: str, judge: PairwiseJudge, said: Sequence[Said]) -> None:
        """Add what a judge said of the pairs and, where there is more, of those with known labels."""
        own, known = said[: len(self.pairs)], said[len(self.pairs) :]
        agrees = agreement(judge, self.known, known, self.known_clusters) if known else None
        figures = win_rate_figures(judge, self.pairs, own, self.clusters, agrees)
        self.figures[name] = figures | ({"agreement": agrees.figures} if agrees else {})
        self.worth[name], self.alike[name] = outcomes(judge, own), [is_alike(one) for one in own]
        parts = [*(["prompts"] * len(own)), *(["calibration"] * len(known))]
        told = zip(parts, [*self.pairs, *self.known], said, outcomes(judge, said), strict=False)
        self.rows += [_row(name, *one) for one in told]

    def anchor(self, people: str, judges: Sequence[str]) -> None:
        """Add to each of the judges the win rate that it and the votes of `people` come to together."""
        for name in judges:
            told = Told()
            rows = self.worth[people], self.worth[name], self.clusters, self.alike[name]
            told.add("with_people", partial(anchored, *rows))
            self.figures[name] |= told.figures
            self.figures[name]["missing"] |= told.missing


def _row(judge: str, part: str, pair: Comparison, said: Said, worth: float | None) -> dict[str, Any]:
    """All that is needed to see why a judge said what it said; `label` is that of pairs with known ones."""
    return {
        "judge": judge,
        "part": part,
        "id": pair.id,
        "prompt": pair.prompt.text,
        "first": answer_text(pair.first),
        "second": answer_text(pair.second),
        "length_difference": length_difference(pair),
        "label": pair.label.preference if pair.label else None,
        "worth": worth,
        **said_to_json(said),
    }
