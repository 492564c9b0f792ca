"""The pages on which disagreements are decided, one after the other."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response

from gnomon.labelling.adjudication import Bench, Case, Rest
from gnomon.labelling.auth import Access, Cases, MayAdjudicate
from gnomon.labelling.pages import Answer, beside
from gnomon.labelling.views import after_answer, show

router = APIRouter()


@router.get("/p/{slug}/adjudicate")
def hear(request: Request, bench: Cases, access: MayAdjudicate) -> Response:
    """The page of cases; loading it again shows the same one."""
    return show(request, "work.html", caller=access.caller, guidelines=None, **_hearing(bench, access))


@router.post("/p/{slug}/adjudicate/{token}/decide")
def decide(
    request: Request, token: str, form: Annotated[Answer, Form()], bench: Cases, access: MayAdjudicate
) -> Response:
    """Keep a decision and show the next case in its place; on a page of its own where no script asked."""
    bench.decide(access.turn, token, form.judgement(), form.key)
    return after_answer(request, _here(access), access.caller, lambda: _hearing(bench, access))


@router.post("/p/{slug}/adjudicate/{token}/undo")
def undo(request: Request, token: str, bench: Cases, access: MayAdjudicate) -> Response:
    """Take back a decision and show its case again."""
    case = bench.undo(access.turn, token)
    return show(request, "turn.html", caller=access.caller, **_hearing(bench, access, case))


def _hearing(bench: Bench, access: Access, case: Case | Rest | None = None) -> dict[str, Any]:
    given = case or bench.next(access.turn)
    return beside(access, bench) | {
        "task": given if isinstance(given, Case) else None,
        "state": "task" if isinstance(given, Case) else "nothing to decide",
        "said": given.said if isinstance(given, Case) else None,
        "here": _here(access),
        "tasks": _here(access),
        "verb": "decide",
    }


def _here(access: Access) -> str:
    return f"/p/{access.project.slug}/adjudicate"
