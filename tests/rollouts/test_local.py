import pytest
import torch
from architectures import NAMES
from engines import engine, passes, random_prompts, same

from gnomon.errors import DataError
from gnomon.records import Conversation
from gnomon.rollouts.decoding import Limits
from gnomon.rollouts.engine import Sampling
from gnomon.rollouts.local import LocalEngine

PROMPTS = random_prompts(3, 17, 1, 9, 17, 5)
SEEDS = list(range(40, 48))
SAMPLING = Sampling(max_new_tokens=12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.mistake("padding-moves-positions")
def test_a_row_is_sampled_alike_alone_and_among_others(name):
    """Left padding with rotary, learned and sliding-window positions; prompts longer than the window."""
    it = engine(name)
    together = it.sample(PROMPTS, SAMPLING, SEEDS)
    alone = [it.sample([prompt], SAMPLING, [seed])[0] for prompt, seed in zip(PROMPTS, SEEDS, strict=True)]
    same(together, alone)
    assert len({len(sample.response_ids) for sample in together}) > 2


@pytest.mark.parametrize("name", NAMES)
def test_greedy_answers_are_those_of_generate(name):
    it = engine(name, stops=())
    ours = it.sample(PROMPTS, Sampling(8, temperature=0.0), SEEDS)
    for prompt, sample in zip(PROMPTS, ours, strict=True):
        ids = it.lm.model.generate(
            torch.tensor([prompt]), max_new_tokens=8, do_sample=False, pad_token_id=0, eos_token_id=1
        )
        assert sample.response_ids == tuple(ids[0, len(prompt) :].tolist())


def test_the_same_seed_gives_the_same_answer_and_another_seed_another():
    it = engine(stops=())
    same(it.sample(PROMPTS, SAMPLING, SEEDS), it.sample(PROMPTS, SAMPLING, SEEDS))
    one, other = it.sample([PROMPTS[0]] * 2, SAMPLING, [1, 2])
    assert one.response_ids != other.response_ids


def test_samples_of_one_prompt_share_its_prefill():
    it = engine(stops=())
    seen = passes(it)
    it.sample([PROMPTS[1]] * 5 + [PROMPTS[0]] * 3, SAMPLING, SEEDS)
    assert [shape[:2] for shape in seen] == [(2, 18), *[(8, 1)] * 11]


def test_no_step_is_taken_once_every_row_ended():
    it = engine(stops=range(3, 259))
    seen = passes(it)
    samples = it.sample(PROMPTS, SAMPLING, SEEDS)
    assert [len(sample.response_ids) for sample in samples] == [1] * 8
    assert all(read > 1 for _, read, _ in seen)  # prompts, and no token after them


@pytest.mark.mistake("score-after-the-end")
def test_a_response_ends_with_its_first_stop_token_or_at_the_limit():
    it = engine()
    samples = it.sample(PROMPTS * 4, SAMPLING, range(32))
    assert {sample.ended for sample in samples} == {True, False}
    for sample in samples:
        stops = [token in it.lm.stop_ids for token in sample.response_ids]
        assert not any(stops[:-1])
        assert stops[-1] == sample.ended
        assert sample.ended or len(sample.response_ids) == 12
        assert len(sample.logps) == len(sample.response_ids)
        kept = sample.response_ids[: len(stops) - sample.ended]
        assert sample.text == it.lm.tokenizer.decode(list(kept), skip_special_tokens=True).strip()


def test_one_token_may_be_all():
    samples = engine().sample(PROMPTS, Sampling(max_new_tokens=1), SEEDS)
    assert {len(sample.response_ids) for sample in samples} == {1}


def test_nothing_to_do_is_nothing_done():
    assert engine().sample([], SAMPLING, []) == []


def test_a_prompt_that_leaves_no_room_is_refused_before_anything_is_sampled():
    it = engine()
    longest = [2] * (256 - 12)
    assert len(it.sample([longest], SAMPLING, [0])) == 1
    message = r"prompt 1 has 245 tokens and may get 12 more, beyond the model's context of 256; shorten it"
    with pytest.raises(DataError, match=message):
        it.sample([longest, [*longest, 5]], SAMPLING, [0, 1])
    with pytest.raises(DataError, match="beyond the model's context"):
        list(it.stream(Conversation.of("x" * 300), SAMPLING))
    with pytest.raises(DataError, match="prompt 0 is empty"):
        it.sample([[]], SAMPLING, [0])


def test_dropout_is_off_and_the_mode_comes_back():
    it = engine("gpt2")
    wanted = it.sample(PROMPTS, SAMPLING, SEEDS)
    it.lm.model.train()
    same(it.sample(PROMPTS, SAMPLING, SEEDS), wanted)
    assert it.lm.model.training


def test_conversations_are_answered_under_the_template():
    it = engine()
    talks = [Conversation.of("Hi!"), Conversation.of("1+1?", "2", "Sure?")]
    answers = it.answer(talks, SAMPLING, seed=5)
    assert [list(a.prompt_ids) for a in answers] == [it.lm.encode_prompt(talk) for talk in talks]
    same(answers, it.sample([it.lm.encode_prompt(talk) for talk in talks], SAMPLING, [5, 6]))


def test_raw_text_is_continued_as_it_is():
    it = engine()
    (answer,) = it.answer([Conversation.of("Once upon")], SAMPLING, raw=True)
    assert list(answer.prompt_ids) == it.lm.template.encode_raw("Once upon")
    assert it.lm.tokenizer.decode(list(answer.prompt_ids)) == "Once upon"


@pytest.mark.parametrize("seed", range(6))
def test_a_stream_is_the_answer_in_pieces(seed):
    """Random bytes: many characters lack a byte when their first comes, and the last may lack it for good."""
    it = engine(stops=())
    talk, sampling = Conversation.of("Hi!"), Sampling(40)
    pieces = list(it.stream(talk, sampling, seed))
    assert "".join(pieces) == it.answer([talk], sampling, seed)[0].text
    assert sum(map(bool, pieces)) > 3


def test_it_tells_how_many_are_done_of_all_that_were_asked_for():
    """Two rows at a time: those that have left are counted with those of the batch that are done."""
    heard = []
    lm = engine(stops=()).lm
    it = LocalEngine(lm, Limits(rows=2), told=lambda done, total: heard.append((done, total)))
    it.sample(PROMPTS, SAMPLING, SEEDS)
    counts = [done for done, _ in heard]
    assert {total for _, total in heard} == {len(PROMPTS)}
    assert counts == sorted(counts)
    assert 0 in counts
    assert max(counts) >= len(PROMPTS) - 2
