import json

import pytest
from answer_rows import row

from gnomon.errors import DataError
from gnomon.evaluation.summary import summarise

ROWS = [
    row("base", "a", (True, False), ended=False, tokens=9),
    row("base", "b", (False,), ended=False, tokens=7),
    row("base", "c", family="talk"),
    row("sft", "c", family="talk", tokens=2),
    row("sft", "a", (True, True), tokens=4),
    row("sft", "b", (False,), tokens=6),
]


def test_each_metric_counts_what_it_says():
    base = summarise(ROWS)["models"]["base"]
    assert base["ends_turn"]["value"] == pytest.approx(1 / 3)
    assert base["checks"]["value"] == 0
    assert base["checks"]["n"] == 2
    assert base["checks_each"]["value"] == pytest.approx(1 / 3)
    assert base["length/tokens"]["value"] == pytest.approx(19 / 3)
    assert base["length/tokens"]["low"] == 3
    assert set(base) == {
        *("ends_turn", "answers", "checks", "checks_each", "role_leak", "length/tokens", "repetition"),
        "over_refusal",
    }


def test_what_ought_to_be_refused_is_told_apart_from_what_is_refused_in_vain():
    rows = [
        *(row("sft", f"h{i}", family="harmful", refuses=i < 3) for i in range(4)),
        *(row("sft", f"p{i}", refuses=i < 1) for i in range(5)),
    ]
    found = summarise(rows)["models"]["sft"]
    assert (found["over_refusal"]["value"], found["over_refusal"]["n"]) == (1 / 5, 5)
    assert (found["compliance"]["value"], found["compliance"]["n"]) == (1 / 4, 4)


def test_what_neither_refuses_nor_answers_complies_with_nothing():
    rows = [row("base", f"h{i}", family="harmful", answers=i < 1) for i in range(4)]
    assert summarise(rows)["models"]["base"]["compliance"]["value"] == 1 / 4


def test_differences_pair_prompts_and_not_places():
    found = {(d["metric"], d["of"], d["over"]): d for d in summarise(ROWS)["differences"]}
    assert {(of, over) for _, of, over in found} == {("sft", "base")}
    length = found["length/tokens", "sft", "base"]
    assert length["value"] == pytest.approx((-5 - 1 - 1) / 3)
    assert (length["low"], length["high"], length["n"]) == (-5, -1, 3)
    assert found["checks", "sft", "base"]["value"] == 0.5
    assert found["checks_each", "sft", "base"]["value"] == pytest.approx(1 / 3)


def test_which_models_are_compared():
    models = ("base", "sft", "policy", "constitutional")
    found = summarise([row(model, "a") for model in models], resamples=10)["differences"]
    assert [(d["of"], d["over"]) for d in found if d["metric"] == "answers"] == [
        *(("sft", "base"), ("policy", "sft"), ("constitutional", "sft"), ("policy", "base"))
    ]


def test_families_show_their_checks():
    assert summarise(ROWS)["by_family"] == {"facts": {"base": 0, "sft": 0.5}}


def test_a_perfect_score_still_has_an_interval():
    rows = [row("sft", f"p{i}", cluster=f"c{i // 2}") for i in range(20)]
    found = summarise(rows)["models"]["sft"]["answers"]
    assert (found["value"], found["high"], found["n"]) == (1, 1, 20)
    assert found["low"] == pytest.approx(10 / (10 + 2.262157**2))  # ten clusters, whatever the rows


def test_near_duplicates_count_as_one():
    values = [0.0, 0.0, 0.0, 1.0]
    apart = [row("sft", f"p{i}", repetition=value) for i, value in enumerate(values)]
    together = [{**r, "cluster": "one" if i < 3 else "two"} for i, r in enumerate(apart)]
    one = summarise(apart)["models"]["sft"]["repetition"]
    two = summarise(together)["models"]["sft"]["repetition"]
    assert one["value"] == two["value"] == 0.25
    assert (one["high"], two["high"]) == (0.75, 1.0)


def test_the_second_reward_is_there_for_all_rows_or_none_and_kl_for_some():
    scored = [{**r, "reward/second": 1.0, "kl/reference": 0.5} for r in ROWS if r["model"] == "sft"]
    base = [r for r in ROWS if r["model"] == "base"]
    found = summarise(base + scored)
    assert found["models"]["sft"]["reward/second"]["value"] == 1
    assert "reward/second" not in found["models"]["base"]
    assert not [d for d in found["differences"] if d["metric"] == "reward/second"]
    del scored[1]["kl/reference"]
    assert summarise(base + scored)["models"]["sft"]["kl/reference"]["n"] == 2
    del scored[1]["reward/second"]
    with pytest.raises(DataError, match="reward/second is in 2 of 3 rows of model 'sft'"):
        summarise(base + scored)
    with pytest.raises(DataError, match="nan"):
        summarise([{**r, "reward/second": float("nan")} for r in base])


def test_lost_doubled_and_differently_checked_rows_are_refused():
    with pytest.raises(DataError, match="model 'base' has 0 rows for prompt 'a'"):
        summarise(ROWS[1:])
    with pytest.raises(DataError, match="model 'sft' has 2 rows for prompt 'b'"):
        summarise([*ROWS, ROWS[-1]])
    with pytest.raises(DataError, match="no answers"):
        summarise([])
    with pytest.raises(DataError, match="not checked alike"):
        summarise([*ROWS[:-1], row("sft", "b", (True, True))])


def test_the_order_in_which_models_ran_does_not_matter():
    first, again = summarise(ROWS), summarise(ROWS[3:] + ROWS[:3])
    assert json.dumps(first) == json.dumps(summarise(ROWS))
    values = [{d["metric"]: d["value"] for d in found["differences"]} for found in (first, again)]
    assert values[0] == pytest.approx(values[1])
