"""Statements that are built once and run often."""

from collections.abc import Callable
from functools import cache, wraps
from inspect import Parameter, signature
from typing import Any, Concatenate, ParamSpec

from sqlalchemy import CursorResult, Executable, bindparam

from gnomon.labelling.store.database import Transaction

P = ParamSpec("P")
Rows = CursorResult[*tuple[Any, ...]]


def prepared(build: Callable[P, Executable]) -> Callable[Concatenate[Transaction, P], Rows]:
    """Make what builds a statement into what runs it in a transaction.

    To build one takes SQLAlchemy ten times as long as to run it, so it is built at its first use, with
    parameters for arguments; only arguments by keyword alone are what they are while it is built, and there
    is one statement for each combination of them.
    """
    taken = signature(build).parameters.values()
    bound = [one.name for one in taken if one.kind is not Parameter.KEYWORD_ONLY]

    @cache
    def built(**shape: Any) -> Executable:
        return build(*(bindparam(f"given_{name}") for name in bound), **shape)  # type: ignore[arg-type]

    @wraps(build)
    def run(tx: Transaction, /, *args: P.args, **shape: P.kwargs) -> Rows:
        values = {f"given_{name}": value for name, value in zip(bound, args, strict=True)}
        return tx.connection.execute(built(**shape), values)  # type: ignore[arg-type]

    return run
