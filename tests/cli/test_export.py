import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from gnomon.config import LoraSettings
from gnomon.models.load import load
from gnomon.models.lora import add_lora
from gnomon.models.reward_model import RewardModel, Scorer, save_scorer
from gnomon.models.save import save_model


def test_adapters_are_merged_into_weights_any_tool_loads(gnomon, tmp_path):
    lm = add_lora(load("tiny:0"), LoraSettings(rank=2), seed=0)
    with torch.no_grad():
        for name, weight in lm.model.named_parameters():
            if "lora_B" in name:
                weight.fill_(0.5)
    save_model(lm, tmp_path / "tuned", "card")
    done = gnomon("export", "tuned", "--out", "full")
    assert (done.code, done.out) == (0, "full weights: full\n"), done.err
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "full").state_dict()
    base = load("tiny:0").model.state_dict()
    key = "model.layers.0.self_attn.q_proj.weight"
    assert merged.keys() == base.keys()
    assert not torch.equal(merged[key].float(), base[key].float())
    assert "`path:tuned` merged in" in (tmp_path / "full" / "README.md").read_text()
    assert not list(tmp_path.glob(".full*"))


def test_a_reward_model_becomes_a_classifier(gnomon, tmp_path):
    lm = load("tiny:0")
    save_scorer(Scorer(lm, RewardModel(lm)), tmp_path / "rm", "card")
    done = gnomon("export", "rm", "--out", "full")
    assert done.code == 0, done.err
    assert done.out == "full weights: full (AutoModelForSequenceClassification; a score is its logit +0)\n"
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path / "full").config.num_labels == 1
    assert "Full weights" in (tmp_path / "full" / "README.md").read_text()


def test_what_is_there_is_not_written_over(gnomon, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    done = gnomon("export", "tiny:0", "--out", "full")
    assert done.code == 2
    assert "is there already" in done.err
