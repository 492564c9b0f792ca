"""Which objective a loss of preferences has."""

from collections.abc import Sequence

from gnomon.models.load import LanguageModel
from gnomon.settings.preference import PreferenceSettings
from gnomon.training.judged import Judged, both_judged
from gnomon.training.kto import KahnemanTverskyOptimisation
from gnomon.training.pairs import EncodedPair
from gnomon.training.preference import PreferenceOptimisation

Offline = PreferenceOptimisation | KahnemanTverskyOptimisation


def offline(
    lm: LanguageModel,
    pairs: Sequence[EncodedPair],
    settings: PreferenceSettings,
    seed: int,
    reference: LanguageModel | None = None,
    rated: Sequence[Judged] = (),
) -> Offline:
    """The objective on pairs; with `kto` on verdicts, for which a pair is two, and on the `rated` answers."""
    if settings.loss == "kto":
        return KahnemanTverskyOptimisation(lm, [*both_judged(pairs), *rated], settings, seed, reference)
    return PreferenceOptimisation(lm, pairs, settings, seed, reference)
