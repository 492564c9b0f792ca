"""Whether a judge is kin to a model it judges, as far as references, files and manifests tell.

A model prefers its own answers, a reward model those that were made to please it, and one that learnt from a
model's labels what that model prefers: such a judge is named for what it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gnomon.models.load import adapter_base
from gnomon.models.reference import parse_endpoint_ref
from gnomon.pipeline.scoring import MODEL
from gnomon.pipeline.stages import Start
from gnomon.runs import read_json
from gnomon.store import MANIFEST, file_digest

Keys = frozenset[str]
"""Names and content ids that models go by."""

NONE: Keys = frozenset()


@dataclass(frozen=True, slots=True)
class Origin:
    """What a model goes by, what it was made from, and by whose judgement."""

    own: Keys
    ancestors: Keys = NONE
    """Models it goes on from, and the base of its adapters."""
    rewards: Keys = NONE
    """Reward models it, or one it goes on from, was optimised against."""
    labellers: Keys = NONE
    """Models whose labels it learnt from, or its reward model did."""


def origin(ref: str) -> Origin:
    """Where a model by its checked reference comes from; what is gone or was made elsewhere tells nothing."""
    kind, _, name = ref.partition(":")
    if kind == "endpoint":
        return Origin(frozenset({ref, parse_endpoint_ref(ref).model}))
    if kind != "path" or not Path(name).is_dir():
        return Origin(frozenset({ref, name} if kind == "hub" else {ref}))
    folder = Path(name)
    found = Origin(frozenset({Start(ref).digest}))
    if (folder / "adapter_config.json").exists():
        found = _after(found, origin(adapter_base(folder)))
    made = _artefact(folder)
    return found if made is None else _joined(found, _of_artefact(made))


def kin(judges: Mapping[str, str], models: Mapping[str, str]) -> dict[str, list[str]]:
    """What each judge is to the models (both name to reference), in sentences; none where it is no kin."""
    known = {name: origin(ref) for name, ref in models.items()}
    found = {name: origin(ref) for name, ref in judges.items()}
    return {
        name: [sentence for model, own in known.items() for sentence in _relations(it, own, model)]
        for name, it in found.items()
    }


def _relations(judge: Origin, model: Origin, name: str) -> list[str]:
    """What is said of near kin, or else that both have a base in common."""
    near = {
        f"it is {name} itself": judge.own & model.own,
        f"{name} was optimised against it": judge.own & model.rewards,
        f"it was trained on labels of {name}": judge.labellers & model.own,
        f"it was trained on labels of a model that {name} goes on from": judge.labellers & model.ancestors,
        f"{name} was trained on its labels": judge.own & model.labellers,
        f"it goes on from {name}": judge.ancestors & model.own,
        f"{name} goes on from it": judge.own & model.ancestors,
    }
    said = [sentence for sentence, shared in near.items() if shared]
    common = judge.ancestors & model.ancestors
    return said or ([f"it has a base in common with {name}"] if common else [])


def _after(model: Origin, start: Origin) -> Origin:
    """A model that goes on from `start`."""
    return Origin(
        model.own,
        model.ancestors | start.own | start.ancestors,
        model.rewards | start.rewards,
        model.labellers | start.labellers,
    )


def _joined(one: Origin, other: Origin) -> Origin:
    """All that is known of one model in two ways."""
    return Origin(
        one.own | other.own,
        one.ancestors | other.ancestors,
        one.rewards | other.rewards,
        one.labellers | other.labellers,
    )


def _of_artefact(folder: Path) -> Origin:
    """What the manifests in a store tell of the artefact in `folder`; its id alone where it has none."""
    found = Origin(frozenset({folder.name}))
    inputs: Mapping[str, str] = _about(folder).get("inputs", {})
    found = _after(found, _start(folder))
    if "reward" in inputs:
        reward = _of_artefact(folder.with_name(inputs["reward"]))
        found = _joined(found, Origin(NONE, NONE, reward.own, reward.labellers))
    if "extra" in inputs:  # labels, by the stage that asked a model for them
        labeller = _start(folder.with_name(inputs["extra"]))
        found = _joined(found, Origin(NONE, NONE, NONE, labeller.own))
    return found


def _start(folder: Path) -> Origin:
    """The model that the artefact in `folder` goes on from; a folder that has changed since is only an id."""
    about = _about(folder)
    settings: Mapping[str, Any] = about.get("settings", {})
    if "start" in about.get("inputs", {}):
        return _of_artefact(folder.with_name(about["inputs"]["start"]))
    if "start" not in settings:
        return Origin(NONE)
    digest, found = settings.get("digest"), origin(settings["start"])
    return found if not digest or digest in found.own else Origin(frozenset({digest}))


def _about(folder: Path) -> dict[str, Any]:
    file = folder / MANIFEST
    about: dict[str, Any] = read_json(file) if file.is_file() else {}
    return about


def _artefact(model: Path) -> Path | None:
    """The artefact whose model lies in this folder, or was copied to it beside its store."""
    model = model.resolve()  # a run names its models by links
    if (model.parent / MANIFEST).is_file():
        return model.parent
    weights = {path.name: file_digest(path) for path in model.glob("*.safetensors")}
    for manifest in sorted(model.parent.glob(f"artefacts/*/{MANIFEST}")):
        files = read_json(manifest)["files"]
        if weights and all(
            files.get(f"{MODEL}/{name}", {}).get("sha256") == digest for name, digest in weights.items()
        ):
            return manifest.parent
    return None
