import pytest
from architectures import drawn_head
from pairs import pair

from gnomon.judges.judgement import sigmoid
from gnomon.judges.reward_model import RewardJudge
from gnomon.models.load import load
from gnomon.models.reward_model import Scorer
from gnomon.records import Conversation

PAIRS = [pair("a", "Because.", "No idea."), pair("b", "", "It follows.")]


@pytest.fixture(scope="module")
def scorer():
    lm = load("tiny:0", dtype="float32")
    return Scorer(lm, drawn_head(lm))


def test_the_preference_is_bradley_and_terry_s_of_both_scores(scorer):
    judgements = RewardJudge(scorer).prefer(PAIRS)
    (first, second), _ = (map(float, judgement.said) for judgement in judgements)
    assert judgements[0].preference == pytest.approx(sigmoid(first - second), abs=1e-4)
    assert first != second
    ids = scorer.lm.encode(Conversation.of("Why?", "Because.")).ids
    assert scorer.score([ids])[0] == pytest.approx(first, abs=1e-4)


def test_no_order_matters(scorer):
    ahead, behind = (RewardJudge(scorer).prefer(rows) for rows in (PAIRS, [own.swap() for own in PAIRS]))
    for one, other in zip(ahead, behind, strict=True):
        assert one.preference == pytest.approx(1 - other.preference, abs=1e-6)
        assert (one.flips, other.flips) == (False, False)


def test_an_answer_that_was_cut_off_is_scored_without_an_end(scorer):
    (whole, _), (cut, _) = (
        judge.prefer(PAIRS) for judge in (RewardJudge(scorer), RewardJudge(scorer, {("a", "Because.")}))
    )
    assert cut.said[0] != whole.said[0]
    assert cut.said[1] == whole.said[1]
    ids = scorer.lm.encode(Conversation.of("Why?", "Because.")).ids[:-1]
    assert scorer.score([ids])[0] == pytest.approx(float(cut.said[0]), abs=1e-4)
