"""Saving in Hugging Face layout: adapters alone, or merged into full weights, with a model card."""

from pathlib import Path

from gnomon.distributed import leads
from gnomon.models.load import LanguageModel
from gnomon.models.lora import REFERENCE, TRAINED, has_adapters
from gnomon.models.shards import gathered, sharded_layers


def save_model(lm: LanguageModel, folder: Path, card: str) -> None:
    """Write adapters (with the base's name) or full weights, the chat template, and README.md.

    Of several processes all call it, and the first one writes.
    """
    weights = None
    if sharded_layers(lm.model):
        weights = gathered(lm.model, only=f".{TRAINED}." if has_adapters(lm.model) else "")
    if not leads():
        return
    if has_adapters(lm.model):
        lm.model.peft_config[TRAINED].base_model_name_or_path = _as_others_read(lm.ref)
        # embeddings are never trained beside adapters; "auto" would look the base up on the hub
        lm.model.save_pretrained(
            folder, selected_adapters=[TRAINED], save_embedding_layers=False, state_dict=weights
        )
    else:
        lm.model.save_pretrained(folder, state_dict=weights)
        lm.tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(lm.tokenizer.get_chat_template(), encoding="utf-8")
    readme = folder / "README.md"
    readme.write_text(card, encoding="utf-8")
    for weights_file in folder.glob("*.safetensors"):
        weights_file.chmod(readme.stat().st_mode)  # safetensors lets nobody but their owner read them


def _as_others_read(ref: str) -> str:
    """A folder as a path that holds wherever a tool is started, a model of the hub by its name there; other
    references as they are."""
    kind, _, name = ref.partition(":")
    if kind == "path":
        return str(Path(name).absolute())
    return name if kind == "hub" else ref


def export_merged(lm: LanguageModel, folder: Path, card: str) -> None:
    """Write full weights with the adapters merged in, as any other tool loads them."""
    save_model(merged(lm), folder, card)


def merged(lm: LanguageModel) -> LanguageModel:
    """The model with its adapters in its weights, which it gives away.

    The sum is rounded once to the base's dtype; in bfloat16 that costs part of a small update.
    """
    if not has_adapters(lm.model):
        return lm
    if REFERENCE in lm.model.peft_config:
        lm.model.delete_adapter(REFERENCE)
    return LanguageModel(lm.model.merge_and_unload(), lm.tokenizer, lm.template, lm.ref)
