"""`gnomon export`: a model as full weights, for any other tool."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

import gnomon
from gnomon.cli.console import out
from gnomon.cli.machine import is_reward_model, open_model, settle
from gnomon.cli.options import ModelArgument, model_ref, new_folder
from gnomon.runs import storing
from gnomon.store import full_disk_told

if TYPE_CHECKING:
    from gnomon.models.load import LanguageModel


def export(
    model: ModelArgument,
    folder: Annotated[Path, typer.Option("--out", help="The folder to write; it must not exist yet.")],
) -> None:
    """Write full weights in Hugging Face layout, adapters merged in; of a reward model a classifier."""
    ref = model_ref(model)
    new_folder(folder)
    lm, write = _scores(ref) if is_reward_model(ref) else _answers(ref)
    from gnomon.models.gguf import terms_of  # noqa: PLC0415  torch is slow to import

    told = card(folder.name, ref, lm.ref, terms_of(lm.ref))
    draft = folder.with_name(f".{folder.name}.draft")
    with storing(folder.parent):
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            with full_disk_told(folder.parent, draft):
                note = write(draft, told)
            draft.replace(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    out.print(Text(f"full weights: {folder}{note}"), soft_wrap=True)


Write = Callable[[Path, str], str]
"""Writes a model into a folder with a card, and gives what is to be said of it."""


def _answers(ref: str) -> tuple["LanguageModel", Write]:
    lm = open_model(ref).lm
    from gnomon.models.save import export_merged  # noqa: PLC0415  torch is slow to import

    def write(place: Path, told: str) -> str:
        export_merged(lm, place, told)
        return ""

    return lm, write


def _scores(ref: str) -> tuple["LanguageModel", Write]:
    settle()
    from gnomon.models.classifier import export_classifier  # noqa: PLC0415  torch is slow to import
    from gnomon.models.reward_model import load_scorer  # noqa: PLC0415

    scorer = load_scorer(Path(ref.removeprefix("path:")))

    def write(place: Path, told: str) -> str:
        constant = export_classifier(scorer, place, told)
        return f" (AutoModelForSequenceClassification; a score is its logit {constant:+.4g})"

    return scorer.lm, write


def card(name: str, ref: str, base: str, terms: str) -> str:
    """README.md of the exported model."""
    made = "" if ref == base else f", with the adapters of `{ref}` merged in"
    return f"""---
library_name: transformers
tags: [gnomon]
---
# {name}

Full weights of `{base}`{made}, written by Gnomon {gnomon.__version__}.

{terms or "The base model's own terms apply."}
"""
