import random
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path

import pytest

from gnomon.data.splits import (
    REWORDED,
    SIMILAR,
    assign,
    cluster,
    near_duplicates,
    opening,
    refuse_overlap,
    similarity,
    take,
    yielding,
)
from gnomon.data.wording import closeness
from gnomon.errors import DataError
from gnomon.records import Conversation

PROBES = Path(__file__).parent / "rewordings.tsv"
COMPARISONS = {"reward": 0.55, "second": 0.25, "test": 0.2}


def test_similarity_is_the_jaccard_of_words_and_neighbours():
    # Five words and four pairs each, four words and three pairs in common.
    assert similarity("How do I make bread?", "how do I make SOUP") == 7 / 11
    assert similarity("How do I make bread?", "How can I make bread?") == 6 / 12
    year = "year did the Berlin Wall come down?"
    assert similarity(f"In which {year}", f"In what {year}") == 14 / 20
    assert similarity("Don’t stop!", "don't, stop") == 1
    assert similarity("red", "blue") == 0
    assert similarity("", " ") == 1


def test_what_counts_as_the_same_word():
    assert similarity("a step-by-step guide", "A step by step guide") == 1
    assert similarity("What is 12 - 5?", "What is 12 + 5?") < SIMILAR
    assert similarity("12-5", "12+5") < SIMILAR
    assert similarity("???", "!") == 0


def test_clusters_join_duplicates_and_what_resembles_them_in_turn():
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    first = " ".join(words)
    second = " ".join([*words[:9], "zehn"])
    third = " ".join(["eins", *words[1:9], "zehn"])
    assert similarity(first, third) < SIMILAR < similarity(first, second)
    assert cluster([first, "else", third, "ELSE!", second]) == [0, 1, 0, 1, 0]
    assert cluster([first, "else", third]) == [0, 1, 2]
    assert cluster([]) == []


def test_a_rewording_joins_too():
    asked = ["Tell me how I can bake bread.", "How do I make soup?", "How would one go about baking bread?"]
    assert similarity(asked[0], asked[2]) < SIMILAR < 1
    assert closeness(asked[0], asked[2]) == 2 / 2.5
    assert cluster(asked) == [0, 1, 0]


def test_no_pair_is_missed_and_none_invented():
    texts = list(dict.fromkeys(_sentences(300)))
    found = list(near_duplicates(texts))
    assert len(found) == len(set(found)) > 20
    assert set(found) == _expected(texts)


def test_no_rewording_is_missed_and_none_invented():
    """The prompts of the probes: half of them ask the same as another one, in other words."""
    probes = [line.split("\t")[2:] for line in PROBES.read_text("utf-8").splitlines()[1:]]
    texts = list(dict.fromkeys(text for pair in probes for text in pair))
    found = list(near_duplicates(texts))
    assert len(found) == len(set(found)) > 100
    assert set(found) == _expected(texts)


def test_a_pair_that_differs_in_its_rarest_words_alone_is_found():
    assert similarity("a b c d e f", "a b c d e f x y") == 11 / 15
    assert cluster(["a b c d e f", "a b c d e f x y"]) == [0, 0]


def test_clusters_do_not_depend_on_the_order():
    texts = _sentences(300)
    shuffled = random.Random(1).sample(texts, len(texts))
    assert _partition(texts) == _partition(shuffled)
    assert max(map(len, _partition(texts))) > 2


def test_rows_in_one_long_frame_are_one_cluster_without_comparing_all_pairs():
    frame = "Is this review good or bad? Answer with one word and nothing else, since a program reads it:"
    texts = [f"{frame} item{number}" for number in range(1000)]
    assert set(cluster([*texts, "How do I make bread?"])) == {0, 1}
    assert sum(1 for _ in near_duplicates(texts)) < 1000 * 101


def test_a_conversation_is_known_by_how_it_opens():
    assert opening(Conversation.of("How do I make bread?", "Mix.", "Shorter.")) == "How do I make bread?"
    assert opening(Conversation.of("hi", "Hello.", "is tea a drink", "Yes.", "ok")) == "hi\nis tea a drink"
    assert opening(Conversation.of("Hello!", system="You are kind.")) == "Hello!"


def test_rows_are_shared_out_in_the_given_shares():
    roles = assign(range(100), COMPARISONS, seed=0)
    assert Counter(roles) == {"reward": 55, "second": 25, "test": 20}
    assert roles == assign(range(100), COMPARISONS, seed=0)
    assert roles != assign(range(100), COMPARISONS, seed=1)


def test_every_stratum_is_shared_out_alike():
    strata = ["wrong"] * 60 + ["padded"] * 20 + ["rude"] * 7
    roles = assign(range(87), COMPARISONS, seed=3, strata=strata)
    for name, size in Counter(strata).items():
        counts = Counter(role for role, own in zip(roles, strata, strict=True) if own == name)
        assert all(abs(counts[role] - share * size) <= 1 for role, share in COMPARISONS.items())


def test_many_small_strata_do_not_starve_a_small_share():
    roles = assign(range(100), {"sft": 0.95, "dev": 0.05}, seed=0, strata=[str(i) for i in range(100)])
    assert Counter(roles) == {"sft": 95, "dev": 5}


def test_a_cluster_has_one_role_and_others_make_up_for_its_size():
    clusters = [0] * 40 + [1] * 15 + list(range(2, 47))
    roles = assign(clusters, COMPARISONS, seed=0)
    assert len(set(roles[:40])) == len(set(roles[40:55])) == 1
    assert Counter(roles) == {"reward": 55, "second": 25, "test": 20}


def test_a_slice_has_something_of_everything_then_in_proportion():
    rows = [("common", i) for i in range(80)] + [("usual", i) for i in range(19)] + [("rare", 0)]
    kinds = Counter(kind for kind, _ in take(rows, 3, 0, _kind))
    assert kinds == {"common": 1, "usual": 1, "rare": 1}
    found = take(rows, 20, 0, _kind)
    assert Counter(kind for kind, _ in found) == {"common": 15, "usual": 4, "rare": 1}
    assert found == sorted(found, key=rows.index)
    assert found != take(rows, 20, 1, _kind)
    assert take(rows, None, 0, _kind) == take(rows, 1000, 0, _kind) == rows


def test_an_overlap_of_roles_is_refused_by_name():
    rows = {
        "sft": [("a", "How do I make bread?"), ("b", "What is a fox?")],
        "test": [("c", "how do i make bread"), ("d", "Why is the sea salty?")],
    }
    with pytest.raises(DataError, match=r"sft row a \(How do I make bread\?\) and test row c \(how do"):
        refuse_overlap(rows)
    refuse_overlap({"sft": [*rows["sft"], ("e", "What is a fox?")], "test": rows["test"][1:]})


def test_only_the_first_of_many_overlaps_are_named():
    texts = [
        f"What does the word {word} mean?" for word in ("bark", "leaf", "root", "stem", "bud", "sap", "gum")
    ]
    rows = [(str(i), f"{text} {text[::-1]}") for i, text in enumerate(texts)]
    with pytest.raises(DataError) as refused:
        refuse_overlap({"reward": rows, "policy": rows})
    assert str(refused.value).count("policy row") == 5
    assert "and 2 more" in str(refused.value)


def test_a_row_that_trains_yields_to_one_that_tests():
    roles = ["sft", "test", "policy", "reward", "sft", "sft"]
    assert yielding(roles, [0, 0, 1, 1, 2, 2]) == [True, False, True, False, False, False]


def _expected(texts):
    """The pairs that are alike, by comparing each text with each other."""
    return {
        (i, j)
        for i, j in combinations(range(len(texts)), 2)
        if similarity(texts[i], texts[j]) >= SIMILAR or closeness(texts[i], texts[j]) >= REWORDED
    }


def _kind(row):
    return row[0]


def _sentences(count):
    """Short sentences of which some differ by a word or two."""
    draw = random.Random(0)
    words = [f"word{i}" for i in range(60)]
    texts = []
    while len(texts) < count:
        own = draw.choices(words, k=draw.randint(1, 12))
        texts.append(" ".join(own))
        for _ in range(2):
            own[draw.randrange(len(own))] = draw.choice(words)
            texts.append(" ".join(own))
    return texts


def _partition(texts):
    groups = defaultdict(list)
    for text, number in zip(texts, cluster(texts), strict=True):
        groups[number].append(text)
    return sorted(sorted(group) for group in groups.values())
