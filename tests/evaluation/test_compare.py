import json

import pytest

from gnomon.errors import DataError
from gnomon.evaluation.compare import compare
from gnomon.evaluation.runner import judge
from gnomon.records import Conversation, Prompt
from gnomon.rollouts.engine import Sample


def answered(model, **texts):
    """Rows of a model's texts, one for each prompt."""
    return [
        judge(
            Prompt(name, Conversation.of("Up or down?"), checks=({"kind": "words", "max": 1},)),
            Sample((1,), (1,) * len(text), (0.0,) * len(text), text, ended=True),
            model=model,
            cluster=name,
        )
        for name, text in texts.items()
    ]


ROWS = (
    answered("old", a="Up, I think", b="Down") + answered("new", b="Up", a="Up") + answered("other", a="No")
)


def test_answers_stand_side_by_side_and_differences_are_the_second_minus_the_first():
    found = compare(ROWS, "old", "new")
    assert [(one["answer"], two["answer"]) for one, two in found.pairs] == [
        ("Up, I think", "Up"),
        ("Down", "Up"),
    ]
    checks = next(d for d in found.differences if d["metric"] == "checks")
    assert (checks["of"], checks["over"], checks["value"], checks["n"]) == ("new", "old", 0.5, 2)
    length = next(d for d in found.differences if d["metric"] == "length/tokens")
    assert length["value"] == ((2 - 11) + (2 - 4)) / 2
    assert found.models["old"]["checks"]["value"] == 0.5
    assert json.loads(json.dumps(found.to_json()))["pairs"][1][0]["answer"] == "Down"


def test_models_that_are_not_there_or_answered_others_are_refused():
    with pytest.raises(DataError, match="no answers of model 'newer'"):
        compare(ROWS, "old", "newer")
    with pytest.raises(DataError, match="model 'other' has 0 rows for prompt 'b'"):
        compare(ROWS, "old", "other")
