"""Answers that are left off once a text to stop at is in them."""

import pytest
from engines import engine, passes, random_prompts

from gnomon.rollouts.decoding import LOOK
from gnomon.rollouts.engine import Sampling

PROMPTS = random_prompts(3, 17, 1, 9, 17, 5, 30, 2)
SAMPLING = Sampling(max_new_tokens=40)


def seen(it, ids):
    """Characters of single tokens that can be printed, by their places."""
    said = {i: it.lm.tokenizer.decode([token]) for i, token in enumerate(ids)}
    return {i: text for i, text in said.items() if text.isascii() and text.isprintable() and text.strip()}


@pytest.fixture(scope="module")
def it():
    return engine(stops=())


def pairs(it, seeds):
    """Rows whose tokens on both sides of a look are two characters: prompt, seed, ids, place, the two."""
    for seed in seeds:
        prompt = PROMPTS[seed % len(PROMPTS)]
        (whole,) = it.sample([prompt], SAMPLING, [seed])
        ids = whole.response_ids
        known = seen(it, ids)
        for place in (LOOK, 2 * LOOK):
            two = known.get(place, "") + known.get(place + 1, "")
            if len(two) == 2 and it.lm.tokenizer.decode(list(ids)).index(two) > 0:
                yield prompt, seed, ids, place, two


def test_a_text_is_found_wherever_it_began(it):
    """The first look sees one token, each later one `LOOK` more: these texts lie across one."""
    found = list(pairs(it, range(48)))
    assert len(found) > 3
    for prompt, seed, ids, place, stop in found:
        (left,) = it.sample([prompt], SAMPLING, [seed], [stop])
        assert left.response_ids == ids[: len(left.response_ids)]
        assert len(left.response_ids) <= place + 2 + LOOK
        assert stop in it.lm.tokenizer.decode(list(left.response_ids))


def test_the_others_go_on(it):
    prompt, seed, ids, _, stop = next(pairs(it, range(48)))
    others = [row for row in PROMPTS if row != prompt]
    seeds = list(range(100, 100 + len(others)))
    wanted = it.sample(others, SAMPLING, seeds)
    free = [stop not in it.lm.tokenizer.decode(list(sample.response_ids)) for sample in wanted]
    assert sum(free) > 3
    left, *got = it.sample([prompt, *others], SAMPLING, [seed, *seeds], [stop])
    assert len(left.response_ids) < len(ids)
    for one, other, same in zip(got, wanted, free, strict=True):
        assert not same or one.response_ids == other.response_ids


def test_nothing_is_sampled_for_rows_that_are_left(it):
    _, seed, _, _, stop = next(pairs(it, range(48)))
    prompt = PROMPTS[seed % len(PROMPTS)]
    steps = passes(it)
    it.sample([prompt], SAMPLING, [seed], [stop])
    assert 0 < len(steps) < SAMPLING.max_new_tokens
