"""Options that several commands share, and the recipe they make together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from gnomon.config import Recipe
from gnomon.errors import ConfigError
from gnomon.judges.reference import CHECKS, VOTES
from gnomon.models.reference import is_served, parse_endpoint_ref, parse_model_ref
from gnomon.recipe import changed, load_recipe
from gnomon.settings.feedback import SELF, TRAINED_JUDGE, TRUTH

BUILTIN = "builtin"

Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="key=value", help="Settings, for example policy.steps=10.")
]
RecipeFile = Annotated[Path | None, typer.Option("--recipe", help="A recipe whose settings to start from.")]
Model = Annotated[
    str | None,
    typer.Option("--model", help="hub:ORG/NAME, path:DIR, gguf:PACKAGE/FILE, tiny:SEED, or a folder."),
]
ModelArgument = Annotated[
    str, typer.Argument(help="hub:ORG/NAME, path:DIR, gguf:PACKAGE/FILE, tiny:SEED, or a folder.")
]
EngineArgument = Annotated[
    str,
    typer.Argument(
        help="hub:ORG/NAME, path:DIR, gguf:PACKAGE/FILE, tiny:SEED, endpoint:URL#MODEL, or a folder."
    ),
]
Rows = Annotated[list[str] | None, typer.Option("--data", help="A file of rows; may be given several times.")]
Out = Annotated[Path | None, typer.Option("--out", help="The folder to write; runs/NAME if not given.")]
Prompts = Annotated[str, typer.Option("--prompts", help="A file of prompts, or builtin.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Ask this many prompts, a seeded slice.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


def model_ref(text: str) -> str:
    """A model as people type it: a reference, or the folder of a saved model; ConfigError otherwise."""
    ref = f"path:{text}" if Path(text).is_dir() else text
    if ":" not in ref:
        raise ConfigError(
            f"model {text!r}: there is no such folder; check the path, or write hub:ORG/NAME, "
            "gguf:PACKAGE/FILE or tiny:SEED"
        )
    parse_model_ref(ref)
    return ref


def engine_ref(text: str) -> str:
    """A model that only has to answer: like `model_ref`, or a model on a server; ConfigError otherwise."""
    return str(parse_endpoint_ref(text)) if is_served(text) else model_ref(text)


def labeller_ref(text: str) -> str:
    """Who labels: itself, a judge that is trained for it, the truth with noise, or as `engine_ref` has it."""
    named = text in (SELF, TRAINED_JUDGE) or text.startswith(TRUTH)
    return text if named else engine_ref(text)


def judge_ref(text: str) -> str:
    """A judge: `checks`, a file of votes, or a model that answers or scores; ConfigError otherwise."""
    if text == CHECKS:
        return text
    if text.startswith(VOTES):
        if not Path(text.removeprefix(VOTES)).is_file():
            raise ConfigError(f"judge {text!r}: there is no such file of votes")
        return text
    try:
        return engine_ref(text)
    except ConfigError as problem:
        raise ConfigError(
            f"judge {text!r} is not {CHECKS} or {VOTES}FILE, and as a model: {problem}"
        ) from None


def recipe_of(
    file: Path | None,
    overrides: Sequence[str] | None,
    *,
    model: str | None = None,
    data: Mapping[str, Any] | None = None,
) -> Recipe:
    """The recipe of a file, or the defaults, with overrides and with the sections options speak of."""
    recipe = load_recipe(file, overrides or ())
    changes: dict[str, Any] = {}
    ref = recipe.model.ref if model is None else model
    changes["model"] = recipe.model.model_copy(update={"ref": model_ref(ref)})
    if data:
        changes["data"] = recipe.data.model_copy(update=dict(data))
    return changed(recipe, **changes)


def new_folder(out: Path) -> Path:
    """The folder itself, where there is nothing in it yet; ConfigError where there is."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is there already; name another with --out, or remove it first")
    return out
