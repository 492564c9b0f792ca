import json

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoTokenizer, FalconH1Config, FalconH1ForCausalLM

from gnomon.config import LoraSettings
from gnomon.errors import ConfigError, ModelError
from gnomon.models.load import LanguageModel, adapter_base, load, with_adapter
from gnomon.models.lora import add_lora, has_adapters
from gnomon.models.save import save_model
from gnomon.models.templates import Template
from gnomon.models.tiny import tiny_tokenizer
from gnomon.records import Conversation

TALK = Conversation.of("Hi!", "Hello.", "And 1+1?", "2", system="Be brief.")
OTHER = (
    "{{ bos_token }}{% for message in messages %}[{{ message['role'] }}] {{ message['content'] }}"
    "{{ eos_token }}{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}"
)


@pytest.fixture
def base():
    return load("tiny:0", dtype="float32")


@pytest.fixture
def adapted(base, tmp_path):
    """A folder of adapters that do something, on tiny:0."""
    lm = add_lora(base, LoraSettings(rank=2), seed=0)
    with torch.no_grad():
        for name, parameter in lm.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1, generator=torch.Generator().manual_seed(1))
    save_model(lm, tmp_path / "adapters", "card")
    return tmp_path / "adapters", lm


def falcon(folder, multiplier):
    """A random model whose logits are multiplied by what `output_head` does not read."""
    tokenizer = tiny_tokenizer()
    config = FalconH1Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        mamba_d_ssm=32,
        mamba_n_heads=4,
        mamba_d_head=8,
        mamba_d_state=8,
        lm_head_multiplier=multiplier,
    )
    FalconH1ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return f"path:{folder}"


def counted(read, reads):
    """The same, and what was read stands in `reads`."""
    return lambda source: reads.append(source) or read(source)


def logits(lm):
    with torch.no_grad():
        return lm.model.eval()(input_ids=torch.tensor([lm.encode(TALK).ids])).logits


@pytest.mark.parametrize("ref", ["tiny", "disk:x", "tiny:x", ""])
def test_a_bad_reference_is_refused_before_anything_is_loaded(ref):
    with pytest.raises(ConfigError):
        load(ref)


def test_a_folder_that_is_missing_or_holds_no_model_is_named(tmp_path):
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(ModelError, match=rf"model path:{folder}: no config.json or adapter_config.json"):
            load(f"path:{folder}")


def test_a_folder_of_models_says_where_they_are(tmp_path):
    (tmp_path / "models" / "sft").mkdir(parents=True)
    with pytest.raises(ModelError, match=rf"; name one of those in {tmp_path}/models"):
        load(f"path:{tmp_path}")


def test_a_folder_whose_files_are_damaged_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match=rf"model path:{tmp_path} cannot be loaded: "):
        load(f"path:{tmp_path}")


def test_full_weights_come_back(base, tmp_path):
    save_model(base, tmp_path / "full", "card")
    again = load(f"path:{tmp_path / 'full'}", dtype="float32")
    assert torch.equal(logits(again), logits(base))
    assert not again.model.training
    assert again.encode(TALK) == base.encode(TALK)
    assert again.stop_ids == base.stop_ids


@pytest.mark.mistake("logits-not-a-product")
def test_a_model_whose_logits_are_made_in_an_unknown_way_is_not_loaded(tmp_path):
    """Not to sample from either: log-probs would be those of another temperature."""
    plain, louder = (falcon(tmp_path / str(factor), factor) for factor in (1.0, 2.0))
    assert load(plain, dtype="float32").stop_ids
    with pytest.raises(ModelError, match="FalconH1ForCausalLM does something to its logits"):
        load(louder, dtype="float32")


@pytest.mark.mistake("logits-not-a-product")
def test_adapters_that_alter_the_head_are_not_loaded(base, tmp_path):
    config = LoraConfig(r=2, target_modules=["lm_head"], task_type="CAUSAL_LM", init_lora_weights=False)
    adapted = get_peft_model(base.model, config)
    adapted.peft_config["default"].base_model_name_or_path = "tiny:0"
    adapted.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="does something to its logits"):
        load(f"path:{tmp_path}", dtype="float32")


def test_a_model_by_a_link_is_known_by_where_it_leads(base, tmp_path):
    save_model(base, tmp_path / "full", "card")
    (tmp_path / "link").symlink_to("full")
    assert load(f"path:{tmp_path / 'link'}", dtype="float32").ref == f"path:{tmp_path / 'full'}"


@pytest.mark.mistake("adapters-merged-to-sample")
def test_saved_adapters_give_to_the_bit_what_the_trained_model_gives_in_bfloat16(tmp_path):
    lm = add_lora(load("tiny:0", dtype="bfloat16"), LoraSettings(rank=2), seed=0)
    with torch.no_grad():
        for name, parameter in lm.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.02, generator=torch.Generator().manual_seed(1))
    save_model(lm, tmp_path / "adapters", "card")
    again = load(f"path:{tmp_path / 'adapters'}", dtype="bfloat16")
    assert torch.equal(logits(again), logits(lm))


def test_a_tokenizer_is_read_once_and_each_model_has_a_template_of_its_own(base, tmp_path, monkeypatch):
    save_model(base, tmp_path / "full", "card")
    reads = []
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", counted(AutoTokenizer.from_pretrained, reads))
    one, other = (load(f"path:{tmp_path / 'full'}") for _ in range(2))
    assert len(reads) == 1
    template = other.tokenizer.chat_template
    one.tokenizer.chat_template = OTHER
    assert other.tokenizer.chat_template == template
    assert one.tokenizer("Hello, world.") == other.tokenizer("Hello, world.")


def test_a_tokenizer_whose_files_are_written_anew_is_read_anew(base, tmp_path):
    save_model(base, tmp_path / "full", "card")
    before = load(f"path:{tmp_path / 'full'}")
    base.tokenizer.chat_template = OTHER
    save_model(base, tmp_path / "full", "card")
    assert before.tokenizer.chat_template != OTHER
    assert load(f"path:{tmp_path / 'full'}").tokenizer.chat_template == OTHER


@pytest.mark.parametrize("adapters", [False, True])
def test_the_template_that_was_trained_with_is_saved_and_loaded(base, tmp_path, adapters):
    base.tokenizer.chat_template = OTHER
    lm = LanguageModel(base.model, base.tokenizer, Template(base.tokenizer), base.ref)
    if adapters:
        lm = add_lora(lm, LoraSettings(rank=2), seed=0)
    save_model(lm, tmp_path / "saved", "card")
    again = load(f"path:{tmp_path / 'saved'}", dtype="float32")
    assert again.encode(TALK) == lm.encode(TALK)
    assert again.encode_prompt(TALK) == lm.encode_prompt(TALK)
    assert again.encode(TALK) != load("tiny:0").encode(TALK)


def test_the_models_own_stops_survive_in_an_adapter_folder(base, tmp_path):
    lm = LanguageModel(base.model, base.tokenizer, Template(base.tokenizer, [77]), base.ref)
    save_model(add_lora(lm, LoraSettings(rank=2), seed=0), tmp_path, "card")
    fresh = load("tiny:0")
    fresh.template = Template(fresh.tokenizer, [77])
    assert with_adapter(fresh, tmp_path).stop_ids == {1, 77}


def test_adapters_come_back_on_their_base(adapted):
    folder, lm = adapted
    again = load(f"path:{folder}", dtype="float32")
    assert has_adapters(again.model)
    assert again.ref == "tiny:0"
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == "tiny:0"
    torch.testing.assert_close(logits(again), logits(lm), rtol=1e-5, atol=1e-5)
    assert not torch.equal(logits(again), logits(load("tiny:0", dtype="float32")))
    assert not any(parameter.requires_grad for parameter in again.model.parameters())


def test_adapters_can_be_loaded_to_train_on(adapted):
    lm = with_adapter(load("tiny:0", dtype="float32"), adapted[0], trainable=True)
    trained = {name for name, parameter in lm.model.named_parameters() if parameter.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)


@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"peft_type": "LORA"}'])
def test_a_damaged_adapter_config_is_named(adapted, content):
    (adapted[0] / "adapter_config.json").write_text(content)
    with pytest.raises(ModelError, match=r"adapter_config.json is damaged .*write it again"):
        load(f"path:{adapted[0]}")


def test_adapters_whose_weights_are_damaged_or_missing_are_named(adapted):
    weights = adapted[0] / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ModelError, match=rf"adapters in {adapted[0]} cannot be read"):
        load(f"path:{adapted[0]}")
    weights.unlink()
    with pytest.raises(ModelError, match=rf"adapters in {adapted[0]} cannot be read"):
        load(f"path:{adapted[0]}")


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("tiny:4", "tiny:4"),
        ("gguf:a/b", "gguf:a/b"),
        ("org/model", "hub:org/model"),
        ("{here}", "path:{here}"),
        ("{here}/gone", "path:{here}/gone"),
    ],
)
def test_the_base_of_adapters_made_elsewhere_is_found(tmp_path, written, found):
    text = json.dumps({"base_model_name_or_path": written.format(here=tmp_path)})
    (tmp_path / "adapter_config.json").write_text(text)
    assert adapter_base(tmp_path) == found.format(here=tmp_path)


def test_padding_is_the_tokenizers_or_else_a_turn_end(base):
    assert base.pad_id == 0
    base.tokenizer.pad_token = None
    assert base.pad_id == 1
