"""Reward models of the laboratory: learnt from choices among sampled answers, on the very ids sampled."""

from collections.abc import Sequence

from gnomon.config import LoraSettings, ModelSettings, RewardSettings
from gnomon.errors import ConfigError
from gnomon.models.heads import body
from gnomon.models.load import LanguageModel
from gnomon.models.lora import load_trainable
from gnomon.models.reward_model import RewardModel, Scorer
from gnomon.overopt.planted import Pairs
from gnomon.overopt.settings import ProxySettings
from gnomon.records import EncodedRow
from gnomon.rollouts.engine import Sample
from gnomon.stats.units import Floats
from gnomon.training.pairs import EncodedPair, EncodedPairs


def unlearnt(model: ModelSettings, proxy: ProxySettings, reward: RewardSettings, seed: int) -> Scorer:
    """A reward model of the proxy's size that prefers nothing yet, its members heads on one body."""
    if proxy.rank is not None:
        lora = LoraSettings(rank=proxy.rank, alpha=2 * proxy.rank)
        model = model.model_copy(update={"lora": lora})
    lm = load_trainable(model.ref, model, seed)
    if proxy.layers is not None:
        _keep_layers(lm, proxy.layers)
    return Scorer(lm, RewardModel(lm, heads=reward.members, variance=reward.head == "mean_variance"))


def _keep_layers(lm: LanguageModel, count: int) -> None:
    """Leave a body its first layers alone; ConfigError where it has not as many."""
    decoder, config = body(lm.model), lm.model.config.get_text_config()
    if count > len(decoder.layers):
        raise ConfigError(f"proxies.layers is {count}, and {lm.ref} has {len(decoder.layers)}; set fewer")
    decoder.layers = decoder.layers[:count]
    config.num_hidden_layers = count
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:count]


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
