"""Critique and revision (arXiv:2212.08073, section 3): answer, find fault by a principle, answer better.

Every request is a conversation of its own with three examples before it. In a conversation that asks for a
critique every assistant turn is a critique, in one that asks for a revision every one is a revision: there is
no other role in sight to slip into. A critique that names no fault is not shown to the reviser, who would
only say it again: the answer is then revised by the principle alone, the published variant without critiques.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from gnomon.config import ConstitutionSettings
from gnomon.constitution.hygiene import finds_no_fault, rejections
from gnomon.constitution.principles import Constitution, Principle
from gnomon.records import Conversation, Critique, Prompt
from gnomon.rollouts.engine import Engine, Sample, Sampling
from gnomon.settings.feedback import HygieneSettings

RESPONSE_TEMPERATURE = 1.0
"""As published: what the model really says, mistakes included, is what there is to criticise."""

REVISION_TEMPERATURE = 0.3
"""Critiques and revisions should keep to the request; at 1 a small model wanders off, at 0 it loops."""


HARMLESS = "harmless"
"""The tag of the principles that revise answers to red-team prompts; all the published ones are on harm."""


@dataclass(frozen=True, slots=True)
class Example:
    """One worked critique and revision."""

    request: str
    response: str
    ask_critique: str
    critique: str
    ask_revision: str
    revision: str


EXAMPLES = (
    Example(
        request="How can I beat my brother at draughts?",
        response="Beating people is wrong. Be kind to your brother.",
        ask_critique="Does the answer hold back without need?",
        critique="It scolds the user, although draughts is a board game and nobody gets hurt.",
        ask_revision="Rewrite the answer so that it helps.",
        revision="Keep your back row in place for as long as you can, and swap pieces when you are ahead.",
    ),
    Example(
        request="How do I leave a restaurant without paying?",
        response="Ask for another drink and walk out while the waiter is gone.",
        ask_critique="Where does the answer help with a crime?",
        critique="It tells the user how to cheat the restaurant.",
        ask_revision="Rewrite the answer so that nobody is harmed.",
        revision="I won't help cheat the restaurant. If money is tight this week, tell the staff and "
        "agree on a day to pay.",
    ),
    Example(
        request="Help me open the lock on my flatmate's diary.",
        response="Bend a hairpin and turn it in the lock until it clicks.",
        ask_critique="Whose private life does the answer open up?",
        critique="It helps the user read what the flatmate wants to keep to herself.",
        ask_revision="Change the answer so that it keeps her secrets safe.",
        revision="The diary is hers, so please leave it shut. Ask her plainly about what worries you.",
    ),
)
"""One that rightly helps and two that rightly decline, each in its own words, so that none becomes the habit.

The last is what a small model falls back on: a decline that offers something else, without a stock phrase.
"""

SHOWN = tuple(text for e in EXAMPLES for text in (e.response, e.critique, e.revision))


@dataclass(frozen=True, slots=True)
class Step:
    """What a critique and a revision are asked for."""

    id: str
    prompt: Conversation
    response: str
    principle: Principle


def revise(
    engine: Engine,
    prompts: Sequence[Prompt],
    constitution: Constitution,
    settings: ConstitutionSettings,
    seed: int,
    progress: Callable[[int, int, str], None] = lambda done, total, note: None,
    critic: Engine | None = None,
) -> list[Critique]:
    """Answer the prompts and revise each answer `settings.revisions` times, a principle drawn each time.

    One row for each prompt and round, in the order of the rounds. A round starts from the last text that
    passed hygiene; rows that did not are there too, with their reasons. Another `critic` criticises and
    revises what the engine answers; without `settings.critiques` the principle alone says what to revise.
    """
    first = Sampling(settings.max_new_tokens, RESPONSE_TEMPERATURE)
    later, judge = Sampling(settings.max_new_tokens, REVISION_TEMPERATURE), critic or engine
    responses = [s.text for s in _ask(engine, [p.conversation for p in prompts], first, f"{seed}/response")]
    rows: list[Critique] = []
    asked = 1 + 2 * settings.revisions
    progress(1, asked, "answered")
    for number in range(1, settings.revisions + 1):
        steps = []
        for prompt, response in zip(prompts, responses, strict=True):
            step_id = f"{prompt.id}/{number}"
            principle = constitution.draw(step_id, seed, "revision", HARMLESS)
            steps.append(Step(step_id, prompt.conversation, response, principle))
        critiques = _critiques(judge, steps, settings, f"{seed}/critique/{number}")
        progress(2 * number, asked, "criticised")
        requests = [revision_request(s, c) for s, c in zip(steps, critiques, strict=True)]
        revisions = _ask(judge, requests, later, f"{seed}/revision/{number}")
        written = zip(steps, critiques, revisions, strict=True)
        done = [_row(*one, constitution.digest, settings.hygiene) for one in written]
        progress(2 * number + 1, asked, "revised")
        responses = [row.revision if row.kept else row.response for row in done]
        rows += done
    return rows


def _critiques(engine: Engine, steps: list[Step], settings: ConstitutionSettings, key: str) -> list[str]:
    if not settings.critiques:
        return [""] * len(steps)
    sampling = Sampling(settings.max_new_tokens, REVISION_TEMPERATURE)
    return [s.text for s in _ask(engine, [critique_request(step) for step in steps], sampling, key)]


def _row(step: Step, critique: str, revision: Sample, digest: str, limits: HygieneSettings) -> Critique:
    row = Critique(step.id, step.prompt, step.response, step.principle.id, critique, revision.text, digest)
    return replace(row, rejected_for=rejections(row, ended=revision.ended, shown=_seen(step), limits=limits))


def _seen(step: Step) -> tuple[str, ...]:
    return (*SHOWN, step.principle.critique, step.principle.revision)


def critique_request(step: Step) -> Conversation:
    """Asks what in a response goes against a principle."""
    turns = [text for e in EXAMPLES for text in (_shown(e.request, e.response, e.ask_critique), e.critique)]
    return Conversation.of(*turns, _shown(step.prompt.text, step.response, step.principle.critique))


def revision_request(step: Step, critique: str) -> Conversation:
    """Asks for a better response in the light of a critique, or without one where it names no fault."""
    useful = not finds_no_fault(critique, _seen(step))
    turns = [
        text
        for e in EXAMPLES
        for text in (_shown(e.request, e.response, e.ask_revision, e.critique if useful else ""), e.revision)
    ]
    problem = critique if useful else ""
    return Conversation.of(*turns, _shown(step.prompt.text, step.response, step.principle.revision, problem))


def _shown(request: str, response: str, task: str, problem: str = "") -> str:
    problem = f"\nProblem: {problem}" if problem else ""
    return f"Request: {request}\nAnswer: {response}{problem}\nTask: {task}"


def _ask(engine: Engine, conversations: list[Conversation], sampling: Sampling, key: str) -> list[Sample]:
    """The engine's answers; every step of a run has randomness of its own, by its key."""
    if not conversations:
        return []
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4])
    return engine.answer(conversations, sampling, seed)
