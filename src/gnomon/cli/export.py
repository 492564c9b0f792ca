"""`gnomon export`: a model as full weights, for any other tool."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

import gnomon
from gnomon.cli.console import out
from gnomon.cli.machine import is_reward_model, open_model, settle
from gnomon.cli.options import ModelArgument, model_ref, new_folder
from gnomon.runs import storing
from gnomon.store import full_disk_told


def export(
    model: ModelArgument,
    folder: Annotated[Path, typer.Option("--out", help="The folder to write; it must not exist yet.")],
) -> None:
    """Write full weights in Hugging Face layout, adapters merged in; of a reward model a classifier."""
    ref = model_ref(model)
    new_folder(folder)
    write = _scores(ref) if is_reward_model(ref) else _answers(ref)
    draft = folder.with_name(f".{folder.name}.draft")
    with storing(folder.parent):
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            with full_disk_told(folder.parent, draft):
                note = write(draft, folder.name)
            draft.replace(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    out.print(Text(f"full weights: {folder}{note}"), soft_wrap=True)


def _answers(ref: str) -> Callable[[Path, str], str]:
    """What writes a language model into a folder, and what is to be said of it."""
    lm = open_model(ref).lm
    from gnomon.models.gguf import terms_of  # noqa: PLC0415  torch is slow to import
    from gnomon.models.save import export_merged  # noqa: PLC0415

    def write(place: Path, name: str) -> str:
        export_merged(lm, place, card(name, ref, lm.ref, terms_of(lm.ref)))
        return ""

    return write


def _scores(ref: str) -> Callable[[Path, str], str]:
    """The same for a reward model."""
    settle()
    from gnomon.models.classifier import export_classifier  # noqa: PLC0415  torch is slow to import
    from gnomon.models.gguf import terms_of  # noqa: PLC0415
    from gnomon.models.reward_model import load_scorer  # noqa: PLC0415

    scorer = load_scorer(Path(ref.removeprefix("path:")))

    def write(place: Path, name: str) -> str:
        told = card(name, ref, scorer.lm.ref, terms_of(scorer.lm.ref))
        constant = export_classifier(scorer, place, told)
        return f" (AutoModelForSequenceClassification; a score is its logit {constant:+.4g})"

    return write


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
