import pytest

from gnomon.errors import DataError
from gnomon.evaluation.following import (
    Followed,
    accuracy_by_kind,
    followed,
    instruction_accuracy,
    prompt_accuracy,
)
from gnomon.judges.instructions.following import instructions_of
from gnomon.stats.proportion import wilson

TITLE, COMMA, QUOTED = "detectable_format:title", "punctuation:no_comma", "startend:quotation"
ASKED = instructions_of(
    {"key": 7, "prompt": "A poem?", "instruction_id_list": [TITLE, COMMA, QUOTED], "kwargs": [{}] * 3}
)
ROWS = [
    Followed("1", (TITLE, COMMA), (True, True), (True, True)),
    Followed("2", (COMMA,), (False,), (True,)),
    Followed("3", (TITLE, COMMA, QUOTED), (True, False, False), (True, True, False)),
    Followed("4", (QUOTED,), (False,), (False,)),
]


def test_an_answer_is_measured_both_ways():
    answer = 'Sure, here:\n"<<Rome>> and hills"'
    assert followed(ASKED, answer) == Followed("7", (TITLE, COMMA, QUOTED), (True, False, False), (True,) * 3)


def test_a_prompt_counts_where_all_its_instructions_are_followed():
    assert prompt_accuracy(ROWS, "strict").value == 1 / 4
    assert prompt_accuracy(ROWS, "loose").value == 2 / 4
    assert prompt_accuracy(ROWS, "loose").n == 4


def test_every_instruction_counts_once():
    assert instruction_accuracy(ROWS, "strict").value == pytest.approx(3 / 7)
    assert instruction_accuracy(ROWS, "loose").value == pytest.approx(5 / 7)
    assert instruction_accuracy(ROWS, "loose").n == 7


def test_each_kind_has_its_own_share():
    strict, loose = accuracy_by_kind(ROWS, "strict"), accuracy_by_kind(ROWS, "loose")
    assert list(strict) == [TITLE, COMMA, QUOTED]
    assert {kind: (found.value, found.n) for kind, found in strict.items()} == {
        TITLE: (1.0, 2),
        COMMA: (pytest.approx(1 / 3), 3),
        QUOTED: (0.0, 2),
    }
    assert loose[COMMA].value == 1
    assert loose[COMMA].low == wilson(3, 3).low


def test_rows_of_one_prompt_are_one_unit_of_doubt():
    apart = [Followed(str(at), (TITLE,), (at < 20,), (True,)) for at in range(40)]
    together = [Followed(str(at // 20), row.kinds, row.strict, row.loose) for at, row in enumerate(apart)]
    for measure in ("strict", "loose"):
        assert prompt_accuracy(apart, measure).value == prompt_accuracy(together, measure).value
        assert prompt_accuracy(apart, measure).low > prompt_accuracy(together, measure).low
        kinds = [accuracy_by_kind(rows, measure)[TITLE].low for rows in (apart, together)]
        assert kinds[0] > kinds[1]


def test_accuracies_of_nothing_are_refused():
    with pytest.raises(DataError):
        prompt_accuracy([], "strict")
    with pytest.raises(DataError):
        instruction_accuracy([], "loose")
    assert accuracy_by_kind([], "strict") == {}
