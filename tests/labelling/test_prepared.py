"""Statements that are built once: their arguments are bound anew, what shapes them is not."""

from sqlalchemy import Executable, literal, select

from gnomon.labelling.store.prepared import prepared


def test_a_statement_is_built_once_and_run_with_the_arguments_of_each_call(store):
    built = []

    @prepared
    def doubled(value: int, *, less: int = 0) -> Executable:
        built.append(less)
        return select(literal(2) * value - less)

    with store.read() as tx:
        assert [doubled(tx, value).scalar() for value in (1, 2, 3)] == [2, 4, 6]
        assert [doubled(tx, value, less=1).scalar() for value in (1, 2, 3)] == [1, 3, 5]
    assert built == [0, 1]
