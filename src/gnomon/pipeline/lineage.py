"""Where every artefact of a run came from: stages, settings, inputs, files, and the software around them."""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import gnomon
from gnomon.errors import ConfigError
from gnomon.pipeline.openings import earlier, entries, of_stages
from gnomon.pipeline.stage import Artefact
from gnomon.runs import RunFolder
from gnomon.store import Store, write_json

PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "peft", "numpy")


def write_manifest(
    run: RunFolder, store: Store, artefacts: Sequence[Artefact], *, seed: int, data: Mapping[str, str]
) -> dict[str, Any]:
    """Save and return what the run's artefacts were made of, and by what; `data` is file → sha256.

    Parents are those of this run. An artefact that was made beside older rows read the same files of them:
    its `read` has their digests. Openings of held-out rows that the manifest there has are kept.
    """
    manifest: dict[str, Any] = {
        **entries(earlier(run), of_stages(store)),
        "software": software(),
        "seed": seed,
        "data": dict(data),
        "artefacts": {made.id: {**store.about(made.id), "inputs": parents(made)} for made in artefacts},
    }
    write_json(run.manifest, manifest)
    return manifest


def parents(made: Artefact) -> dict[str, str]:
    """The ids of what an artefact was made of, in the order in which a file has them."""
    return {name: made.inputs[name].id for name in sorted(made.inputs)}


def lineage(manifest: Mapping[str, Any], id: str) -> list[dict[str, Any]]:
    """An artefact's ancestors and itself, each after all it was made of; ConfigError where one is unknown."""
    found: dict[str, dict[str, Any]] = {}

    def visit(id: str) -> None:
        if id in found:
            return
        if id not in manifest["artefacts"]:
            known = ", ".join(f"{key} ({about['stage']})" for key, about in manifest["artefacts"].items())
            raise ConfigError(f"no artefact {id!r} in this manifest; it has {known or 'none'}")
        about = manifest["artefacts"][id]
        for parent in about["inputs"].values():
            visit(parent)
        found[id] = about

    visit(id)
    return list(found.values())


def software() -> dict[str, Any]:
    """Versions, the commit where Gnomon is a checkout, and the machine."""
    return {
        "gnomon": gnomon.__version__,
        "commit": git_commit(Path(gnomon.__file__).parent),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
    }


def git_commit(package: Path) -> str | None:
    """The commit a package's files are tracked at, `-dirty` added where they differ; None where they are not.

    A package installed inside somebody else's checkout is not tracked by it and has no commit.
    """
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    commit = _git(package, "rev-parse", "--verify", "HEAD")
    changed = _git(package, "status", "--porcelain", "--", ".")
    return f"{commit}-dirty" if commit and changed else commit


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints, None where it fails or is not there."""
    # Inside a git hook these variables would point it at another repository.
    around = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=around)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
