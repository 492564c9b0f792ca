"""Judges that write, on a server on this machine."""

import re
from collections import Counter

import pytest
from pairs import pair
from serving import Server, engine

from gnomon.judges.judgement import QUALITY, Abstention, flip_rate
from gnomon.judges.written import WrittenJudge, parse_verdict, written_request

LETTERED = re.compile(r"\(A\) (.*)\n\n\(B\) (.*)\n\nWhich answer", re.S)


PAIRS = [pair("a", "Because it is so.", "No idea."), pair("b", "So.", "It follows from that.")]


def asked(server: Server, says, kept=None):
    server.says, server.seen = says, []
    return WrittenJudge(engine(server, kept), QUALITY)


def longer(request):
    first, second = LETTERED.search(request).groups()
    return f"It says more.\n\n**Verdict: {'A' if len(first) > len(second) else 'B'}**"


@pytest.mark.parametrize(
    ("reply", "worth"),
    [
        ("Verdict: A", 1.0),
        ("B says more.\n**Verdict:** B", 0.0),
        ("verdict - [[A]].", 1.0),
        ("Final verdict: a tie.", 0.5),
        ("I like A.\nVerdict: Answer B is better", 0.0),
        ("Verdict:\nA", 1.0),
        ("Verdict: A\nSo, once more, verdict: A", 1.0),
        ("(B)", 0.0),
        ("tie", 0.5),
        ("", None),
        ("Answer A is the better of both.", None),
        ("Verdict: A or B", None),
        ("Verdict: A close call", None),
        ("Verdict: a better one is hard to find", None),
        ("Verdict: A\nVerdict: B", None),
        ("Verdict: AB", None),
        ("Verdict: neither", None),
        ("A verdict is hard to give", None),
        ("Verdict: B is the clear winner over A.", 0.0),
        ("Verdict: A is better than answer B, as it does not lecture.", 1.0),
        ("Verdict: A is worse than B.", None),
        ("Verdict: A is not better; B is.", None),
        ("Verdict: A is good but B wins.", None),
        ("Verdict: A wins on style, B on substance.", None),
        ("Verdict: A is better, but hardly.", None),
    ],
)
def test_a_verdict_is_read_where_it_is_said_and_not_guessed_where_it_is_not(reply, worth):
    assert parse_verdict(reply) == worth


def test_both_orders_are_asked_and_the_verdict_does_not_depend_on_them(server):
    judge = asked(server, longer)
    judgements = judge.prefer(PAIRS)
    assert [j.preference for j in judgements] == [1.0, 0.0]
    assert flip_rate(judgements) == 0
    requests = {body["messages"][-1]["content"] for _, body, _ in server.seen}
    orders = [order for own in PAIRS for order in (own, own.swap())]
    assert requests == {written_request(order, QUALITY) for order in orders}
    assert judgements[0].said == (
        longer(written_request(PAIRS[0], QUALITY)),
        longer(written_request(PAIRS[0].swap(), QUALITY)),
    )


def test_a_judge_that_always_says_the_first_says_a_half_and_always_flips(server):
    judgements = asked(server, lambda _: "Verdict: A").prefer(PAIRS)
    assert [j.preference for j in judgements] == [0.5, 0.5]
    assert flip_rate(judgements) == 1


def test_a_reply_without_a_verdict_in_one_order_is_none_at_all(server):
    judge = asked(server, lambda request: "Hm." if "(A) So." in request else longer(request))
    said = judge.prefer(PAIRS)
    assert said[0].preference == 1.0
    assert isinstance(said[1], Abstention)
    assert (said[1].reason, said[1].said[0]) == ("unparsable", "Hm.")


def test_what_a_server_said_is_not_asked_for_again(server, tmp_path):
    first = asked(server, longer, tmp_path / "kept.jsonl").prefer(PAIRS)
    assert len(server.seen) == 4
    again = asked(server, lambda _: "Verdict: tie", tmp_path / "kept.jsonl").prefer(PAIRS)
    assert (again, server.seen) == (first, [])


def test_a_reply_without_a_verdict_is_asked_for_again_where_that_is_wanted(server, tmp_path):
    tries = Counter()

    def third(request):
        tries[request] += 1
        return longer(request) if tries[request] == 3 else "Hm."

    def prefer(retries, kept):
        return WrittenJudge(engine(server, kept), QUALITY, retries).prefer(PAIRS)

    server.says, server.seen = third, []
    first = prefer(2, tmp_path / "kept.jsonl")
    assert [one.preference for one in first] == [1.0, 0.0]
    settings = [(body["temperature"], body.get("seed")) for _, body, _ in server.seen]
    assert Counter(settings) == {(0.0, None): 4, (1.0, 1): 4, (1.0, 2): 4}
    assert prefer(2, tmp_path / "kept.jsonl") == first
    assert len(server.seen) == 12
    tries.clear()
    assert all(isinstance(one, Abstention) for one in prefer(1, None))


def test_what_is_drawn_for_a_pair_hangs_on_no_other(server):
    """Processes have their own pairs, and each would else draw by how many of them were silent."""
    server.says = lambda _: "Hm."
    found = []
    for pairs in (PAIRS, PAIRS[1:]):
        server.seen = []
        WrittenJudge(engine(server), QUALITY, 2).prefer(pairs)
        own = [written_request(order, QUALITY) for order in (PAIRS[1], PAIRS[1].swap())]
        drawn = [(body["messages"][-1]["content"], body.get("seed")) for _, body, _ in server.seen]
        found.append(Counter(each for each in drawn if each[0] in own))
    assert found[0] == found[1]
    assert found[0].total() == 2 * 3
