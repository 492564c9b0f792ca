"""A reward model that leaves Gnomon scores as it did here."""

import pytest
import torch
from architectures import drawn_head
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from gnomon.config import LoraSettings
from gnomon.errors import ModelError
from gnomon.models.classifier import export_classifier
from gnomon.models.load import load
from gnomon.models.lora import add_lora
from gnomon.models.reward_model import RewardModel, Scorer

ROWS = [[1, 40, 50, 60, 70], [1, 9, 8], [1, 100, 101, 102, 103, 104, 105]]


def scorer(**head):
    lm = add_lora(load("tiny:0", dtype="float32"), LoraSettings(rank=2), seed=0)
    with torch.no_grad():
        for name, weight in lm.model.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.2)
    made = Scorer(lm, RewardModel(lm, heads=head["heads"]) if head else drawn_head(lm))
    with torch.no_grad():
        made.model.score.weight.normal_()
        made.model.score.bias.fill_(0.5)
        made.model.shift.fill_(2.0)
        made.model.scale.fill_(3.0)
    return made


def read(folder, rows):
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype="float32").eval()
    pad = AutoTokenizer.from_pretrained(folder).pad_token_id
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows])
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=(ids != pad).long()).logits.squeeze(1).tolist()


@pytest.mark.parametrize("head", [{}, {"heads": 3}])
def test_a_logit_is_the_score_less_a_constant(head, tmp_path):
    """Rows of several lengths in one batch, by transformers alone."""
    it = scorer(**head)
    wanted = it.score(ROWS)
    constant = export_classifier(it, tmp_path, "# The card")
    assert constant == pytest.approx((0.5 - 2.0) / 3.0)
    assert [logit + constant for logit in read(tmp_path, ROWS)] == pytest.approx(wanted, abs=1e-4)


def test_what_a_classifier_cannot_say_is_refused(tmp_path):
    freed = scorer()
    freed.model.slope.fill_(0.1)
    with pytest.raises(ModelError, match="length_debias=false"):
        export_classifier(freed, tmp_path, "")
    several = scorer()
    several.others = (scorer().model,)
    with pytest.raises(ModelError, match="ensemble of 2 bodies"):
        export_classifier(several, tmp_path, "")
    assert not list(tmp_path.iterdir())
