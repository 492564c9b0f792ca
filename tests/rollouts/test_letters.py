import math

import pytest
from serving import QUICK, body, cut, engine, hang, status, vanish

from gnomon.errors import ModelError
from gnomon.models.reference import EndpointRef
from gnomon.records import Conversation
from gnomon.rollouts.letters import Letters, read_letters
from gnomon.rollouts.server import Patience

REF = EndpointRef("http://localhost/v1", "m")
AB = ("A", "B")


def place(token, **logps):
    """One place of an answer: what was said there, and the log-probs of what might have been."""
    names = {"open": "(", "a_bracket": "(A", "a_space": " A", "b_dot": "B."}
    tops = [{"token": names.get(name, name), "logprob": logp} for name, logp in logps.items()]
    return {"token": token, "logprob": 0.0, "top_logprobs": tops}


def reply(*places, text="(A)"):
    message = {"role": "assistant", "content": text}
    return {"choices": [{"message": message, "logprobs": {"content": list(places)}}]}


def test_both_letters_are_read_where_the_answer_has_its_letter():
    told = reply(place("(", open=-0.1, A=-4.0, B=-3.0), place("A", A=-0.2, B=-1.7))
    assert read_letters(told, AB, REF) == Letters((-0.2, -1.7), "(A)")


def test_brackets_and_space_make_no_other_letter_and_their_chances_add_up():
    told = reply(place("(A", a_bracket=math.log(0.3), a_space=math.log(0.2), b_dot=math.log(0.4)))
    a, b = read_letters(told, AB, REF).logps
    assert a == pytest.approx(math.log(0.5))
    assert b == pytest.approx(math.log(0.4))


def test_a_letter_that_is_not_told_is_as_likely_as_the_last_that_is():
    assert read_letters(reply(place("A", A=-0.1, the=-7.0)), AB, REF).logps == (-0.1, -7.0)


def test_an_answer_of_no_letter_is_read_where_letters_were_likely_first():
    told = reply(place("Well", Well=-0.3, A=-2.0, B=-2.5), place("A", A=-0.1, B=-3.0), text="Well A")
    assert read_letters(told, AB, REF) == Letters((-2.0, -2.5), "Well A")
    assert read_letters(reply(place("Well", Well=-0.3, so=-2.0)), AB, REF).logps == ()


TEN = tuple(str(number) for number in range(1, 11))


def numbers(said, **logps):
    """A place of numbers, n1 for 1 and so on."""
    tops = [{"token": name.strip("n_"), "logprob": logp} for name, logp in logps.items()]
    return {"token": said, "logprob": 0.0, "top_logprobs": tops}


def test_ten_is_read_where_it_is_a_token():
    found = read_letters(reply(numbers("10", n10=-0.2, n1=-2.0, n9=-3.0)), TEN, REF).logps
    assert (found[0], found[8], found[9]) == (-2.0, -3.0, -0.2)
    assert found[3] == -3.0


def test_ten_of_two_tokens_is_told_from_one_by_what_comes_after():
    """Of what begins with 1 nine tenths go on with 0: a server that says 10 is not read as saying 1."""
    told = reply(numbers("1", n1=math.log(0.5), n9=-3.0), numbers("0", n0=math.log(0.9), end=math.log(0.1)))
    found = read_letters(told, TEN, REF).logps
    assert (found[0], found[9]) == pytest.approx((math.log(0.05), math.log(0.45)))
    told = reply(numbers("1", n1=math.log(0.5), n9=-3.0), numbers(".", dot=-0.1))
    one, ten = read_letters(told, TEN, REF).logps[::9]
    assert one == pytest.approx(math.log(0.5))
    assert ten < -20


def test_where_nobody_knows_what_comes_after_one_it_is_as_much_ten():
    told = reply(numbers("7", n7=math.log(0.6), n1=math.log(0.2)))
    found = read_letters(told, TEN, REF).logps
    assert (found[0], found[9]) == pytest.approx((math.log(0.1), math.log(0.1)))
    assert found[6] == pytest.approx(math.log(0.6))


def test_a_server_that_tells_no_likelihoods_is_named():
    for choice in ({"message": {"content": "A"}}, {"message": {"content": "A"}, "logprobs": None}):
        with pytest.raises(ModelError, match=r"http://localhost/v1#m does not tell the log-probs"):
            read_letters({"choices": [choice]}, AB, REF)


ASKED = [Conversation.of(f"Which? Number {i}") for i in range(9)]


def test_a_server_tells_odds_once_whatever_goes_wrong(server, tmp_path):
    server.odds = lambda text: int(text.split()[-1]) - 4.0
    server.faults = [status(429, Retry_After="0"), status(500), cut, body("not json"), vanish, status(503)]
    told = engine(server, tmp_path / "kept.jsonl").choose(ASKED, AB)
    assert [own.logps[0] - own.logps[1] for own in told] == pytest.approx([i - 4.0 for i in range(9)])
    assert len(server.answered) == 9
    assert set(server.answered.values()) == {1}
    again = engine(server, tmp_path / "kept.jsonl").choose(ASKED, AB)
    assert again == told
    assert server.answered.total() == 9


def test_what_was_answered_before_a_crash_is_not_asked_again(server, tmp_path):
    server.odds = lambda text: 1.0
    server.limit = 5
    with pytest.raises(Exception, match="no more"):
        engine(server, tmp_path / "kept.jsonl").choose(ASKED, AB)
    server.limit = math.inf
    assert len(engine(server, tmp_path / "kept.jsonl").choose(ASKED, AB)) == 9
    assert len(server.answered) == 9
    assert server.answered.total() <= 9 + QUICK.requests  # those in flight may be lost


def test_a_server_that_hangs_is_asked_again(server):
    server.odds, server.faults = (lambda text: 2.0), [hang]
    hasty = Patience(requests=4, timeout=0.3, first_wait=0.01)
    (own,) = engine(server, patience=hasty).choose(ASKED[:1], AB)
    assert len(server.seen) == 2
    assert own.logps[0] - own.logps[1] == pytest.approx(2.0)


@pytest.mark.parametrize("told", ["{}", "[{}]", '[{"top_logprobs": [{"token": "A"}], "token": "A"}]'])
def test_a_reply_of_another_form_is_an_error_and_not_kept(server, tmp_path, told):
    choice = f'{{"message": {{"content": "A"}}, "logprobs": {{"content": {told}}}}}'
    server.odds, server.faults = (lambda text: 2.0), [body(f'{{"model": "tiny", "choices": [{choice}]}}')]
    with pytest.raises(ModelError, match=r"does not tell|not OpenAI's"):
        engine(server, tmp_path / "kept.jsonl").choose(ASKED[:1], AB)
    assert len(engine(server, tmp_path / "kept.jsonl").choose(ASKED[:1], AB)) == 1


def test_letters_and_answers_are_kept_apart(server, tmp_path):
    server.odds, server.says = (lambda text: 1.0), (lambda text: "Yes.")
    own = engine(server, tmp_path / "kept.jsonl")
    own.choose(ASKED[:1], AB)
    assert (tmp_path / "letters-kept.jsonl").exists()
    assert not (tmp_path / "kept.jsonl").exists()
