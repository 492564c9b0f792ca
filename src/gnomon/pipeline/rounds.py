"""A policy's pairs into a labelling project: a batch at a time, each kept whole with how far the round is."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from gnomon.errors import ModelError
from gnomon.pipeline.collect import Asking, Pair, Progress, answered, nothing_to_compare, questions
from gnomon.pipeline.stages import Start
from gnomon.records import to_json
from gnomon.rollouts.engine import Engine
from gnomon.store import content_id

if TYPE_CHECKING:
    from gnomon.labelling.items import Item
    from gnomon.labelling.store.database import Store


class Queued(NamedTuple):
    """What of a round is in its project: all its pairs, those among them that came now, and the prompts that
    were skipped, by reason."""

    pairs: int
    added: int
    skipped: Mapping[str, int]


def collect_into(
    store: "Store",
    project: str,
    asking: Asking,
    count: int,
    engine: Callable[[], Engine],
    progress: Progress | None = None,
) -> Queued:
    """Add the round's pairs to a project until `count` prompts are asked.

    What was added before is not asked for again, and `engine` not opened where that is all. ConfigError where
    there is no such project, DataError where no pair of the round can be compared.
    """
    from gnomon.labelling.store import projects, rounds  # noqa: PLC0415  an extra

    asked, about = questions(asking.prompts, count, asking.seed), _about(asking)
    digest = content_id(about | {"policy": about["digest"] or about["policy"]})
    with store.write() as tx:
        found = projects.named(tx, project)
        begun = standing = rounds.begin(tx, found.id, digest, about)
    opened = engine() if standing.asked < count else None
    while opened and standing.asked < count:
        for batch in answered(opened, asked, asking.seed, asking.sampling, standing.asked):
            items = [_item(pair, about, digest) for pair in batch.pairs]
            with store.write() as tx:
                standing = rounds.advance(tx, found.id, standing, batch.asked, items, batch.skipped)
            if progress:
                progress(min(count, standing.asked), count)
            if standing.asked != batch.asked:  # another process is at it: go on where that one is
                break
    if not standing.pairs:
        raise nothing_to_compare(Counter(standing.skipped))
    return Queued(standing.pairs, standing.pairs - begun.pairs, standing.skipped)


def _item(pair: Pair, about: Mapping[str, Any], digest: str) -> "Item":
    """A pair as an item; its id says the round, since other policies are asked the same."""
    from gnomon.labelling.items import Drawn, Item, Response  # noqa: PLC0415  an extra

    told = {name: about[name] for name in ("policy", "digest", "sampling", "seed")}
    told |= {"propensity": pair.question.propensity, "attempts": pair.attempts}
    answers = (pair.comparison.first, pair.comparison.second)
    return Item(
        id=f"{digest[:8]}/{pair.comparison.id}",
        prompt=pair.comparison.prompt.messages,
        responses=tuple(Response(messages=answer, origin=about["policy"]) for answer in answers),
        drawn=Drawn.of(pair.samples, **told),
    )


def _about(asking: Asking) -> dict[str, Any]:
    """What identifies the round, weights included; ModelError where the policy's folder is not there."""
    start = Start(asking.policy)
    if asking.policy.startswith("path:") and not start.folder.is_dir():
        raise ModelError(f"model {asking.policy}: there is no such folder; check the path")
    return {
        "policy": asking.policy,
        "digest": start.digest,
        "prompts": content_id([to_json(prompt) for prompt in asking.prompts]),
        "seed": asking.seed,
        "sampling": asdict(asking.sampling),
    }
