"""The REST interface to disagreements: hearing cases, deciding them, and who may."""

from dataclasses import asdict

from fastapi import APIRouter, HTTPException, Response

from gnomon.labelling.adjudication import Case
from gnomon.labelling.api import IdempotencyKey
from gnomon.labelling.auth import Cases, Database, MayAdjudicate, MayManage
from gnomon.labelling.judgement import Judgement
from gnomon.labelling.store import people
from gnomon.labelling.wire import CaseSeen, Invited, MemberSeen, NextCase, StandingSeen

adjudication_api = APIRouter(prefix="/api/v1/projects/{slug}")


@adjudication_api.post("/adjudication/next")
def next_case(bench: Cases, access: MayAdjudicate) -> NextCase:
    """The case in the caller's hands, or else another one."""
    given = bench.next(access.turn)
    if isinstance(given, Case):
        return NextCase(case=CaseSeen.model_validate(asdict(given)), state="case")
    return NextCase(case=None, state=given)


@adjudication_api.post("/adjudication/{token}/decide")
def decide(
    token: str, body: Judgement, idempotency_key: IdempotencyKey, bench: Cases, access: MayAdjudicate
) -> dict[str, bool]:
    """Keep a decision; `skip` leaves the case open. The same key, sent again, changes nothing."""
    bench.decide(access.turn, token, body, idempotency_key)
    return {"kept": True}


@adjudication_api.post("/adjudication/{token}/undo")
def undo_decision(token: str, bench: Cases, access: MayAdjudicate) -> CaseSeen:
    """Take a decision back: the case is in the caller's hands again."""
    return CaseSeen.model_validate(asdict(bench.undo(access.turn, token)))


@adjudication_api.post("/adjudication/{token}/release")
def release_case(token: str, bench: Cases, access: MayAdjudicate) -> Response:
    """Give a case back undecided."""
    bench.release(access.turn, token)
    return Response(status_code=204)


@adjudication_api.get("/adjudication/standing")
def standing_of_cases(bench: Cases, access: MayAdjudicate) -> StandingSeen:
    """How many cases the caller has decided or left open, and how many wait for them."""
    return StandingSeen.model_validate(bench.standing(access.turn)._asdict())


@adjudication_api.put("/members/{pseudonym}")
def put_member(pseudonym: str, body: Invited, store: Database, access: MayManage) -> MemberSeen:
    """Give somebody in the project another role; 404 for nobody there."""
    with store.write() as tx:
        if not people.set_role(tx, access.project.id, pseudonym, body.role, access.caller.annotator.id):
            raise HTTPException(404, "there is nobody of this pseudonym in this project")
    return MemberSeen(pseudonym=pseudonym, role=body.role)
