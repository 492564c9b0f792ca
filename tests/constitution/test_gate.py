import random

import pytest

from gnomon.config import ConstitutionSettings
from gnomon.constitution.gate import measure, measured, with_sample
from gnomon.errors import DataError
from gnomon.judges.judgement import Abstention, Judgement
from gnomon.records import Comparison, Conversation, Label

SETTINGS = ConstitutionSettings()


class Planted:
    """A judge with a known share of right answers; `says` gives both orders for a comparison's number."""

    def __init__(self, says):
        self.says = says

    def prefer(self, comparisons):
        return [Judgement.of(*self.says(c), "kind") for c in comparisons]


def known(n):
    """Comparisons whose better answer says so, in the first place for even numbers."""
    rows = [
        Comparison.of(f"k{i}", Conversation.of("?"), f"good {i}", f"bad {i}", Label(1.0, "constructed"))
        for i in range(n)
    ]
    return [row if i % 2 == 0 else row.swap() for i, row in enumerate(rows)]


def right_on(share, confidence=0.8):
    """Right on the first comparisons of every hundred, in both orders."""

    def says(comparison):
        text = comparison.first[0].content
        good_first, number = text.startswith("good"), int(text.split()[1])
        p = confidence if (number % 100 < share * 100) == good_first else 1 - confidence
        return p, p

    return Planted(says)


def test_a_good_judge_passes_with_worked_figures():
    gate = measure(right_on(0.8), known(100), SETTINGS)
    assert gate.passed
    assert gate.accuracy.value == 0.8
    doubt = 1.984217**2 / 99  # Student's t of 99 degrees squared, over these
    half = (0.16 * doubt + doubt**2 / 4) ** 0.5
    assert gate.accuracy.low == pytest.approx((0.8 + doubt / 2 - half) / (1 + doubt), abs=1e-5)
    assert gate.accuracy.high == pytest.approx((0.8 + doubt / 2 + half) / (1 + doubt), abs=1e-5)
    assert gate.flip_rate == 0
    assert gate.ece == pytest.approx(0.0, abs=1e-9)  # it says 80 % and is right on 80 %
    assert "80.0% of 100" in gate.message


def test_overconfidence_is_seen():
    gate = measure(right_on(0.8, confidence=0.99), known(100), SETTINGS)
    assert gate.ece == pytest.approx(0.19)


def test_a_labeller_at_chance_is_stopped_with_the_figure_and_what_to_do():
    generator = random.Random(0)
    gate = measure(Planted(lambda _: (generator.random(), generator.random())), known(200), SETTINGS)
    assert not gate.passed
    assert 0.4 < gate.accuracy.value < 0.6
    assert f"{gate.accuracy.value:.1%} of 200" in gate.message
    assert "larger model" in gate.message
    assert "labels nothing" in gate.message


@pytest.mark.parametrize("says_a", [0.9, 0.999, 1.0, 0.1])
def test_one_that_always_says_a_is_at_a_half_and_stopped(says_a):
    gate = measure(Planted(lambda _: (says_a, 1 - says_a)), known(96), SETTINGS)
    assert gate.accuracy.value == 0.5
    assert gate.flip_rate == 1
    assert not gate.passed


def by_place(right, flipped, confidence=0.9):
    """Of every hundred the first `flipped` are chosen by place, `right` of them with a trace of the truth."""

    def says(comparison):
        text = comparison.first[0].content
        good_first, number = text.startswith("good"), int(text.split()[1]) % 100
        sure = confidence if (number < right) == good_first else 1 - confidence
        lean = 0.02 if (number < right) == good_first else -0.02
        return (0.9 + lean, 0.1 + lean) if number < flipped else (sure, sure)

    return Planted(says)


def test_one_that_chooses_by_place_is_stopped_however_often_it_is_right():
    gate = measure(by_place(right=66, flipped=96), known(100), SETTINGS)
    assert gate.accuracy.value == 0.66
    assert gate.accuracy.low > 0.55  # alone, this would do
    assert gate.flip_rate == 0.96
    assert not gate.passed
    assert "changes its mind on 96.0% when the answers swap places (allowed: 40% or less)" in gate.message
    assert "by place more than by content" in gate.message


@pytest.mark.parametrize(
    ("flipped", "allowed", "passes"), [(40, 0.4, True), (41, 0.4, False), (41, 0.5, True)]
)
def test_as_many_flips_as_allowed_and_no_more(flipped, allowed, passes):
    gate = measure(by_place(80, flipped), known(100), ConstitutionSettings(gate_flips=allowed))
    assert gate.accuracy.value == 0.8
    assert gate.flip_rate == flipped / 100
    assert gate.flips_allowed == allowed
    assert gate.passed is passes


def test_the_bar_for_flips_lies_where_a_coin_seldom_gets():
    generator = random.Random(1)
    coin = Planted(lambda _: (generator.random(), generator.random()))
    rates = [measure(coin, known(96), SETTINGS).flip_rate for _ in range(200)]
    assert sum(rates) / 200 == pytest.approx(0.5, abs=0.02)
    assert sum(rate <= SETTINGS.gate_flips for rate in rates) / 200 < 0.05


def test_too_few_right_says_nothing_of_place():
    assert "by place" not in measure(right_on(0.3), known(100), SETTINGS).message


def test_enough_right_on_too_few_is_not_enough():
    gate = measure(right_on(0.62), known(100), ConstitutionSettings(gate_lower=0.55))
    assert gate.accuracy.value >= SETTINGS.gate_accuracy
    assert not gate.passed
    assert measure(right_on(0.62), known(1000), ConstitutionSettings(gate_lower=0.55)).passed


def test_a_judge_that_is_always_wrong_is_stopped():
    gate = measure(right_on(0.0), known(96), SETTINGS)
    assert gate.accuracy.value == 0
    assert not gate.passed


def test_the_bar_is_the_recipe_s():
    assert not measure(right_on(0.8), known(100), ConstitutionSettings(gate_accuracy=0.9)).passed


def test_unknown_answers_cannot_measure():
    with pytest.raises(DataError, match="none were given"):
        measure(right_on(1.0), [], SETTINGS)
    unlabelled = Comparison("u", Conversation.of("?"), (), ())
    with pytest.raises(DataError, match="comparison u has no known better answer"):
        measure(right_on(1.0), [unlabelled], SETTINGS)


def test_the_report_has_the_fields_the_summary_shows():
    values = measure(right_on(0.8), known(100), SETTINGS).to_json()
    assert values["accuracy"]["n"] == 100
    assert set(values) == {
        *("accuracy", "flip_rate", "ece", "required", "lower_required", "flips_allowed", "passed", "message"),
        *("known", "sample"),
    }


def test_the_very_pairs_have_to_pass_as_well():
    gate = measure(right_on(0.8), known(100), SETTINGS)
    assert "on the very pairs it labels it was not measured" in gate.message
    assert with_sample(gate, right_on(0.8), known(100), SETTINGS).passed
    worse = with_sample(gate, right_on(0.5), known(100), SETTINGS)
    assert not worse.passed
    assert worse.sample.accuracy.value == 0.5
    assert worse.accuracy.value == 0.8
    assert "on the very pairs, the labeller is right on 50.0% of 100" in worse.message


def test_a_sample_cannot_mend_what_known_answers_shut():
    gate = measure(right_on(0.5), known(100), SETTINGS)
    assert not with_sample(gate, right_on(1.0), known(100), SETTINGS).passed


def test_intervals_are_of_conversations_not_of_rows():
    """Ten rows a conversation, all right or all wrong in it, tell as much as one."""
    rows = known(100)
    clusters = [int(row.first[0].content.split()[1]) // 10 for row in rows]
    said = right_on(0.8).prefer(rows)
    clustered, apart = measured(said, rows, clusters), measured(said, rows)
    assert clustered.accuracy.value == apart.accuracy.value == 0.8
    assert clustered.accuracy.low < 0.5 < apart.accuracy.low
    assert not measure(right_on(0.8), rows, SETTINGS, clusters).passed


def test_what_is_measured_beside():
    rows = known(40)
    by_place = measured(Planted(lambda _: (0.9, 0.1)).prefer(rows), rows)
    assert (by_place.says_first, by_place.flips_raw, by_place.accuracy.value) == (1.0, 1.0, 0.5)
    assert by_place.longer_wins == 1.0  # "good" is longer than "bad"
    assert measured(right_on(1.0).prefer(rows), rows).says_first == 0.5
    ties = Judgement.of(0.5, 0.5, "kind"), Judgement.of(0.5 - 1e-12, 0.5, "kind")
    assert measured(ties, rows[:2]).says_first == 0.5
    assert measured([*ties, Judgement.of(0.9, 0.1, "kind")], rows[:3]).says_first == 1.0


def test_where_nothing_is_said_half_is_right():
    rows = known(4)
    said = [*right_on(1.0).prefer(rows[:2]), Abstention("neither letter"), Abstention("neither letter")]
    found = measured(said, rows)
    assert found.accuracy.value == 0.75
    assert found.abstained == 2
    assert found.flips_raw == 0
    none = measured([Abstention("neither letter")] * 4, rows)
    assert (none.accuracy.value, none.flip_rate) == (0.5, None)
