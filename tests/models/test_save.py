import json
from dataclasses import replace

import pytest
import torch
from peft import AutoPeftModelForCausalLM
from torch.testing import assert_close

from gnomon.config import LoraSettings
from gnomon.errors import ModelError
from gnomon.models.load import adapter_base, load
from gnomon.models.logps import sequence_logps
from gnomon.models.lora import add_lora, freeze_reference
from gnomon.models.save import export_merged, save_model


@pytest.fixture
def adapted():
    lm = add_lora(load("tiny:0", dtype="float32"), LoraSettings(rank=2), seed=0)
    with torch.no_grad():
        for name, parameter in lm.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1, generator=torch.Generator().manual_seed(1))
    return lm


def logps(lm):
    return torch.cat(sequence_logps(lm, [[2, 50, 60]], [[70, 80, 1]]))


def test_an_adapter_folder_holds_adapters_template_and_card(adapted, tmp_path):
    save_model(adapted, tmp_path / "out", "# The card")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"README.md", "adapter_config.json", "adapter_model.safetensors", "chat_template.jinja"}
    assert (tmp_path / "out" / "README.md").read_text() == "# The card"
    assert (tmp_path / "out" / "chat_template.jinja").read_text() == adapted.tokenizer.chat_template


def test_adapters_on_a_folder_name_it_whole_as_other_tools_read_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    export_merged(load("tiny:0", dtype="float32"), tmp_path / "base", "# The card")
    save_model(
        add_lora(load("path:base", dtype="float32"), LoraSettings(rank=2), seed=0), tmp_path / "own", ""
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    config = json.loads((tmp_path / "own/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tmp_path / "base")
    assert AutoPeftModelForCausalLM.from_pretrained(tmp_path / "own").peft_config["default"].r == 2
    load(f"path:{tmp_path / 'own'}", dtype="float32")
    (tmp_path / "base").rename(tmp_path / "moved")
    with pytest.raises(
        ModelError, match=rf"adapters in {tmp_path}/own belong on the model in {tmp_path}/base, .*moved"
    ):
        load(f"path:{tmp_path / 'own'}", dtype="float32")


def test_adapters_on_a_model_of_the_hub_name_it_as_it_is_called_there(adapted, tmp_path):
    save_model(replace(adapted, ref="hub:org/model"), tmp_path, "")
    assert (
        json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == "org/model"
    )
    assert adapter_base(tmp_path) == "hub:org/model"


def test_merged_weights_need_no_adapters_any_more(adapted, tmp_path):
    """Also where a frozen reference stands beside, as after policy optimisation."""
    freeze_reference(adapted.model)
    wanted = logps(adapted)
    export_merged(adapted, tmp_path, "# The card")
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "llama"
    assert not (tmp_path / "adapter_config.json").exists()
    assert_close(logps(load(f"path:{tmp_path}", dtype="float32")), wanted, rtol=0, atol=1e-5)


def test_weights_can_be_read_by_whom_the_rest_can(tmp_path):
    export_merged(load("tiny:0"), tmp_path, "# The card")
    modes = {file.stat().st_mode for file in tmp_path.iterdir()}
    assert len(modes) == 1


def test_full_weights_are_exported_as_they_are(tmp_path):
    lm = load("tiny:0", dtype="float32")
    export_merged(lm, tmp_path, "# The card")
    assert torch.equal(logps(load(f"path:{tmp_path}", dtype="float32")), logps(lm))
