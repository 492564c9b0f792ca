"""Reward models of the laboratory: learnt from choices among sampled answers, on the very ids sampled."""

from collections.abc import Sequence

from gnomon.config import ModelSettings, RewardSettings
from gnomon.models.lora import load_trainable
from gnomon.models.reward_model import RewardModel, Scorer
from gnomon.overopt.planted import Pairs
from gnomon.overopt.settings import ProxySettings
from gnomon.records import EncodedRow
from gnomon.rollouts.engine import Sample
from gnomon.stats.units import Floats
from gnomon.training.pairs import EncodedPair, EncodedPairs


def unlearnt(model: ModelSettings, proxy: ProxySettings, reward: RewardSettings, seed: int) -> Scorer:
    """A reward model of the proxy's size that prefers nothing yet, its members heads on one body.

    The scale of adapters of another rank than the model's is that of the model's.
    """
    if model.lora is not None:
        alpha = model.lora.alpha * proxy.rank / model.lora.rank
        lora = model.lora.model_copy(update={"rank": proxy.rank, "alpha": alpha})
        model = model.model_copy(update={"lora": lora})
    lm = load_trainable(model.ref, model, seed)
    return Scorer(lm, RewardModel(lm, heads=reward.members, variance=reward.head == "mean_variance"))


def encoded(pairs: Pairs, choices: Floats) -> EncodedPairs:
    """Pairs as reward models learn from them; `choices` [pairs] are 1 for the first answer, -1 for the
    second."""
    rows = [
        EncodedPair(f"pair-{k}", _row(first), _row(second), (1 + choice) / 2, 1.0)
        for k, (first, second, choice) in enumerate(
            zip(pairs.first, pairs.second, choices.tolist(), strict=True)
        )
    ]
    return EncodedPairs(tuple(rows))


def ids_of(samples: Sequence[Sample]) -> list[tuple[int, ...]]:
    """What a reward model reads of each sample."""
    return [(*sample.prompt_ids, *sample.response_ids) for sample in samples]


def _row(sample: Sample) -> EncodedRow:
    mask = (False,) * len(sample.prompt_ids) + (True,) * len(sample.response_ids)
    return EncodedRow((*sample.prompt_ids, *sample.response_ids), mask)
