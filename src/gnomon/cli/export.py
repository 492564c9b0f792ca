"""`gnomon export`: a model as full weights, for any other tool."""

import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

import gnomon
from gnomon.cli.console import out
from gnomon.cli.machine import open_model
from gnomon.cli.options import ModelArgument, model_ref, new_folder
from gnomon.runs import storing
from gnomon.store import full_disk_told


def export(
    model: ModelArgument,
    folder: Annotated[Path, typer.Option("--out", help="The folder to write; it must not exist yet.")],
) -> None:
    """Write full weights in Hugging Face layout, adapters merged in."""
    ref = model_ref(model)
    new_folder(folder)
    lm = open_model(ref).lm
    from gnomon.models.gguf import terms_of  # noqa: PLC0415  torch is slow to import
    from gnomon.models.save import export_merged  # noqa: PLC0415

    terms = terms_of(lm.ref)
    draft = folder.with_name(f".{folder.name}.draft")
    with storing(folder.parent):
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            with full_disk_told(folder.parent, draft):
                export_merged(lm, draft, card(folder.name, ref, lm.ref, terms))
            draft.replace(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    out.print(Text(f"full weights: {folder}"), soft_wrap=True)


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
