"""Reward models as others read them: transformers' classifiers of sequences, with one label."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from gnomon.errors import ModelError
from gnomon.models.heads import body
from gnomon.models.load import LanguageModel
from gnomon.models.reward_model import Scorer
from gnomon.models.save import merged, save_model


@torch.no_grad()
def classifier(scorer: Scorer) -> tuple[LanguageModel, float]:
    """A model whose one logit for a row is the row's score less a constant, and the constant.

    Its head has no bias, which is the constant, and is rounded to the body's dtype; several heads are their
    mean. ModelError for what such a model cannot say: several bodies, a score that is freed of length.
    """
    lm, model = scorer.lm, scorer.model
    if scorer.others:
        raise ModelError(
            f"{lm.ref} is an ensemble of {len(scorer.models)} bodies, and a classifier has one; export a "
            "member's folder, or make one of them with gnomon train reward --average"
        )
    if model.slope.any():
        raise ModelError(
            f"{lm.ref} takes what length is worth out of its scores, which a classifier cannot; train it "
            "with reward.length_debias=false"
        )
    if lm.pad_id in lm.stop_ids:
        raise ModelError(
            f"{lm.ref} is padded with what ends a turn, and a classifier reads the last token that is no "
            "padding: it would score another one"
        )
    inner = merged(lm)
    config = deepcopy(inner.model.config)
    if type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        raise ModelError(f"transformers has no classifier of sequences with the body of {lm.ref}")
    config.num_labels, config.pad_token_id = 1, lm.pad_id
    made: Any = AutoModelForSequenceClassification.from_config(config, dtype=inner.model.dtype)
    getattr(made, made.base_model_prefix).load_state_dict(body(inner.model).state_dict())
    made.score.weight.copy_(model.score.weight[: model.heads].mean(dim=0) / model.scale)
    constant = float(((model.score.bias[: model.heads] - model.shift) / model.scale).mean())
    return LanguageModel(made.eval(), lm.tokenizer, lm.template, lm.ref), constant


def export_classifier(scorer: Scorer, folder: Path, card: str) -> float:
    """Write `classifier` in Hugging Face layout; the constant that its logits lack. ModelError as there."""
    lm, constant = classifier(scorer)
    save_model(lm, folder, card)
    return constant
