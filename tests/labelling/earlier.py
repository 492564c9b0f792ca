"""Rows as earlier versions of Gnomon left them in each table, step by step of the schema."""

from hashlib import sha256
from typing import Any

AT = 1_700_000_000_000
SETTINGS = {"overlap": 2, "gold_rate": 0.0, "repeat_rate": 0.0}
PROMPT = [{"role": "user", "content": "Und „ümlaut“?\n\n`a` < b"}]
ANSWERS = [[{"role": "assistant", "content": text}] for text in ("Ja.", "Nein; 100 %, 'so'.", "Jein")]


def item(number: int, **more: Any) -> dict[str, Any]:
    row = {"id": number, "project_id": 1, "external_id": f"pair-{number}", "purpose": "ordinary"}
    return {**row, "prompt": PROMPT, "expected": None, "taken": 0, "created_at": AT, **more}


def responses(number: int, count: int = 2) -> list[dict[str, Any]]:
    return [
        {"item_id": number, "place": place, "messages": messages, "origin": ("tuned", None)[place % 2]}
        for place, messages in enumerate(ANSWERS[:count])
    ]


def assignment(number: int, item: int, **more: Any) -> dict[str, Any]:
    row = {"id": number, "token": f"token-{number}", "project_id": 1, "item_id": item, "annotator_id": 1}
    row |= {"pass_number": 1, "shown_order": [1, 0], "chosen_by": "uniform", "propensity": 1 / 3}
    row |= {"guideline_version": 1, "state": "done", "created_at": AT, "expires_at": AT + 60_000}
    return {**row, **more}


def event(number: int, assignment: int, kind: str = "label", **more: Any) -> dict[str, Any]:
    row = {"id": number, "assignment_id": assignment, "idempotency_key": f"key-{number}", "kind": kind}
    told = {"outcome": None, "preferred": None, "strength": None, "flags": None, "rationale": None}
    return {**row, **told, "active_ms": None, "elapsed_ms": None, "created_at": AT + number, **more}


FIRST = {
    "projects": [
        {"id": 1, "slug": "talk", "title": "Talk", "settings": SETTINGS, "created_at": AT},
        {"id": 2, "slug": "empty", "title": "„Empty“", "settings": {}, "created_at": AT},
    ],
    "guidelines": [{"project_id": 1, "version": 1, "text": "Be *fair*.", "created_at": AT}],
    "items": [
        item(1, taken=1),
        item(2, taken=1),
        item(3),
        item(4, purpose="gold", expected=1),
    ],
    "responses": [row for number in (1, 2, 3, 4) for row in responses(number)],
    "annotators": [
        {"id": 1, "pseudonym": "a-one", "site_admin": False, "created_at": AT},
        {"id": 2, "pseudonym": "a-two", "site_admin": True, "created_at": AT},
    ],
    "identities": [{"annotator_id": 1, "name": "Ada Lovelace", "password_hash": "$argon2id$..."}],
    "memberships": [{"project_id": 1, "annotator_id": 1, "role": "annotator"}],
    "invitations": [
        {
            "token_hash": "0" * 64,
            "project_id": None,
            "role": "admin",
            "created_at": AT,
            "expires_at": AT + 1,
            "used_at": AT,
        }
    ],
    "sessions": [{"token_hash": "1" * 64, "annotator_id": 1, "created_at": AT, "expires_at": AT + 1}],
    "api_keys": [
        {
            "id": 1,
            "token_hash": "2" * 64,
            "hint": "gnomon_x",
            "annotator_id": 2,
            "project_id": 1,
            "scopes": ["label", "read"],
            "created_at": AT,
            "revoked_at": None,
        }
    ],
    "assignments": [
        assignment(1, 1),
        assignment(2, 2, state="leased", shown_order=[0, 1]),
        assignment(3, 3, state="returned", guideline_version=None),
        assignment(4, 4, chosen_by="gold", propensity=1.0),
        assignment(5, 1, pass_number=2, chosen_by="repeat", shown_order=[0, 1]),
    ],
    "events": [
        event(1, 1, outcome="prefer", preferred=0, strength=3, flags={"1": ["wrong"]}, rationale="so, „so“"),
        event(2, 1, "undo"),
        event(3, 1, outcome="tie", flags={}, rationale="", active_ms=900, elapsed_ms=2**40),
        event(4, 4, outcome="prefer", preferred=1, strength=4, flags={}, rationale=""),
        event(5, 5, outcome="both_bad", flags={}, rationale=""),
        event(6, 2, outcome="skip", flags={}, rationale=""),
        event(7, 2, "undo"),
    ],
    "audit": [
        {
            "id": 1,
            "actor_id": 2,
            "project_id": 1,
            "action": "items imported",
            "detail": {"items": 4},
            "created_at": AT,
        }
    ],
}

ADJUDICATION = {
    "annotators": [
        {"id": number, "pseudonym": f"a-{number}", "site_admin": False, "created_at": AT}
        for number in (3, 4, 5)
    ],
    "memberships": [
        {"project_id": 1, "annotator_id": 3, "role": "annotator"},
        {"project_id": 1, "annotator_id": 4, "role": "annotator"},
        {"project_id": 1, "annotator_id": 5, "role": "adjudicator"},
    ],
    "items": [item(5, taken=2), item(6, taken=2)],
    "responses": [*responses(5), *responses(6)],
    "assignments": [
        assignment(6, 5, annotator_id=3),
        assignment(7, 5, annotator_id=4),
        assignment(8, 6, annotator_id=3),
        assignment(9, 6, annotator_id=4),
        assignment(10, 5, annotator_id=5, pass_number=0, chosen_by="adjudication", propensity=0.5),
        assignment(11, 6, annotator_id=5, pass_number=0, chosen_by="adjudication", state="returned"),
    ],
    "events": [
        event(8, 6, outcome="prefer", preferred=0, strength=1, flags={}, rationale="", seen=None),
        event(9, 7, outcome="prefer", preferred=1, strength=4, flags={}, rationale="", seen=None),
        event(10, 8, outcome="prefer", preferred=1, strength=2, flags={}, rationale="", seen=None),
        event(11, 9, outcome="prefer", preferred=0, strength=2, flags={}, rationale="", seen=None),
        event(12, 10, "decision", outcome="tie", flags={}, rationale="", seen=[8, 9]),
        event(13, 10, "undo", seen=None),
        event(14, 10, "decision", outcome="prefer", preferred=1, strength=3, flags={}, seen=[8, 9]),
    ],
    "audit": [
        {
            "id": 2,
            "actor_id": 5,
            "project_id": 1,
            "action": "item adjudicated",
            "detail": {"item": "pair-5", "event": 14, "outcome": "prefer", "seen": [8, 9]},
            "created_at": AT,
        }
    ],
}
"""A pair on which two people differ and that was decided, twice, and another that waits for it."""

RANKINGS = {
    "items": [item(7, taken=1, answers=3)],
    "responses": responses(7, 3),
    "assignments": [assignment(12, 7, shown_order=[2, 0, 1])],
    "events": [event(15, 12, outcome="ranked", flags={"2": ["wrong"]}, rationale="", ranks=[1, 2, 2])],
}

ROUNDS = {
    "items": [
        item(
            8,
            drawn={
                "policy": "tiny:0",
                "digest": "",
                "sampling": {"temperature": 1.0},
                "seed": 0,
                "propensity": 0.5,
                "attempts": 1,
                "tokens": [3, 4],
                "logps": [-1.5, None],
                "ended": [True, False],
            },
        )
    ],
    "responses": responses(8),
    "rounds": [
        {
            "id": 1,
            "project_id": 1,
            "digest": "0123456789abcdef",
            "about": {"policy": "tiny:0", "seed": 0},
            "asked": 2,
            "pairs": 1,
            "skipped": {"identical": 1},
            "created_at": AT,
        }
    ],
}

WEBHOOKS = {
    "webhooks": [
        {
            "id": 1,
            "project_id": 1,
            "url": "https://hooks.example/ä?b=c",
            "events": ["item.finished"],
            "secret": "whsec_AAAA",
            "paused": True,
            "created_at": AT,
            "deleted_at": None,
        }
    ],
    "outbox": [
        {
            "id": 1,
            "webhook_id": 1,
            "message": "msg_one",
            "event": "item.finished",
            "body": '{"type":"item.finished"}',
            "state": "waiting",
            "attempts": 1,
            "due_at": AT,
            "created_at": AT,
        }
    ],
    "attempts": [
        {"id": 1, "outbox_id": 1, "status": None, "error": "no reply", "took_ms": 3, "created_at": AT}
    ],
}

LOTS = {
    "items": [item(9, purpose="gold", expected=0, taken=0)],
    "responses": responses(9),
    "assignments": [assignment(13, 9, chosen_by="gold", propensity=0.5)],
    "events": [event(16, 13, outcome="prefer", preferred=0, strength=1, flags={}, rationale="")],
}

LIVE = 3
"""The project of dialogues, whose pairs want one vote."""
TALK = [{"role": "user", "content": "Hi"}, *ANSWERS[1], {"role": "user", "content": "Why?"}]
DIALOGUES = {
    "projects": [
        {"id": LIVE, "slug": "live", "title": "Live", "settings": {"kind": "dialogue"}, "created_at": AT}
    ],
    "memberships": [{"project_id": LIVE, "annotator_id": 1, "role": "annotator"}],
    "items": [
        item(10, project_id=LIVE, purpose="topic", answers=0),
        item(11, project_id=LIVE, prompt=TALK[:1], taken=1, answers=2),
        item(12, project_id=LIVE, prompt=TALK, taken=1, answers=2),
    ],
    "responses": [*responses(11), *responses(12)],
    "assignments": [
        assignment(14, 11, project_id=LIVE, chosen_by="dialogue", propensity=1.0),
        assignment(15, 12, project_id=LIVE, chosen_by="dialogue", propensity=1.0, state="leased"),
    ],
    "events": [event(17, 14, outcome="tie", flags={}, rationale="")],
    "dialogues": [
        {
            "id": 1,
            "token": "token-live",
            "project_id": LIVE,
            "annotator_id": 1,
            "topic_id": 10,
            "propensity": 0.5,
            "state": "open",
            "created_at": AT,
            "expires_at": AT + 60_000,
        }
    ],
    "exchanges": [
        {
            "id": number + 1,
            "dialogue_id": 1,
            "number": number,
            "message": ("Hi", "Why?")[number],
            "idempotency_key": f"said-{number}",
            "seed": 2**32 - 1 - number,
            "state": "answered",
            "asked_at": AT,
            "item_id": 11 + number,
            "goes_on": (1, None)[number],
            "chosen_by": ("draw", None)[number],
        }
        for number in range(2)
    ],
}
"""A dialogue whose first pair was a tie, one of which was drawn, and whose second waits to be judged."""

PROBES = {
    "items": [
        item(13, purpose="probe", probe={"pair": "taste", "kind": "sycophancy", "favours": 0}),
        item(14, purpose="probe", probe={"pair": "taste", "kind": "sycophancy", "favours": 1}),
    ],
    "responses": [*responses(13), *responses(14)],
}

OPENID = {
    "subjects": [
        {"issuer": "https://login.example", "subject": "ä-1", "annotator_id": 5, "email": "eve@example.org"}
    ],
    "sign_ins": [{"state_hash": "3" * 64, "browser_hash": "4" * 64, "expires_at": AT}],
    "invitations": [
        {
            "token_hash": "5" * 64,
            "project_id": 1,
            "role": "annotator",
            "created_at": AT,
            "expires_at": AT + 1,
            "used_at": None,
            "email": "ada@example.org",
        }
    ],
}

ROWS = {
    "0001": FIRST,
    "0002": ADJUDICATION,
    "0003": RANKINGS,
    "0004": ROUNDS,
    "0005": WEBHOOKS,
    "0006": LOTS,
    "0007": DIALOGUES,
    "0008": PROBES,
    "0009": OPENID,
}
"""What each step has rows for beside those before it. A step that is released keeps its rows as they are."""


def drawable(name: str, row: dict[str, Any]) -> dict[str, Any]:
    """A row with what step 0006 keeps in it: votes that are missing, a place on the circle, a last answer."""
    if name == "items":
        votes = 1 if row["project_id"] == LIVE else SETTINGS["overlap"]
        wanted = votes - row["taken"] if row["purpose"] == "ordinary" else 1
        lot = int(sha256(row["external_id"].encode()).hexdigest()[:16], 16) % 2**53
        return row | {"wanted": wanted, "lot": lot}
    if name == "assignments" and row["state"] == "done":
        told = (rows["id"] for step in ROWS.values() for rows in step.get("events", ())
                if rows["assignment_id"] == row["id"])  # fmt: skip
        return row | {"answered_by": max(told)}
    return row
