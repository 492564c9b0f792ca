import hashlib
import json
from collections import Counter

import pytest

from gnomon.config import DataSettings
from gnomon.data.reader import Labelled
from gnomon.data.sources import COMPARISONS, ROLES, read_data
from gnomon.data.splits import near_duplicates, opening
from gnomon.errors import ConfigError, DataError
from gnomon.records import Comparison, Conversation, Label, to_json

NOTHING = {"demonstrations": (), "comparisons": (), "prompts": (), "red_team": (), "evaluation": ()}


@pytest.fixture(scope="module")
def builtin():
    return read_data(DataSettings(), seed=0)


@pytest.fixture
def written(tmp_path):
    def write(name, *rows):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        return str(path)

    return write


def read(seed=0, **lists):
    return read_data(DataSettings(**NOTHING | lists), seed)


def test_built_in_rows_are_shared_out_by_role(builtin):
    counts = builtin.report()["counts"]
    comparisons = sum(counts[role] for role in COMPARISONS)
    assert all(abs(counts[role] - share * comparisons) <= 1 for role, share in COMPARISONS.items())
    assert abs(counts["dev"] - 0.05 * (counts["sft"] + counts["dev"])) <= 1
    assert list(counts) == list(ROLES)
    assert [counts.pop(name) for name in ("ratings", "test_ratings", "gold")] == [0, 0, 0]
    assert min(counts.values()) > 40


def test_every_reason_is_in_each_part_of_the_comparisons(builtin):
    reasons = [
        Counter(row.label.reason for row in rows) for rows in (builtin.reward, builtin.second, builtin.test)
    ]
    sizes = sum(reasons, Counter())
    for counts, share in zip(reasons, COMPARISONS.values(), strict=True):
        assert all(abs(counts[name] - share * size) <= 1.5 for name, size in sizes.items())


def test_no_role_of_the_built_in_rows_shares_a_prompt_with_another(builtin):
    rows = [(ROLES[name], row) for name, held in builtin.by_role().items() for row in held]
    texts = [opening(row.prompt if hasattr(row, "prompt") else row.conversation) for _, row in rows]
    pairs = [(rows[i], rows[j]) for i, j in near_duplicates(texts)]
    assert [(one.id, other.id) for (role, one), (its, other) in pairs if role != its] == []


def test_the_seed_decides_which_rows_and_nothing_else_does(builtin):
    assert read_data(DataSettings(), seed=0) == builtin
    other = read_data(DataSettings(), seed=1)
    assert {row.id for row in other.test} != {row.id for row in builtin.test}
    assert other.digests == builtin.digests


def test_what_was_read_can_be_checked(builtin, written):
    assert "builtin/evaluation/bread.jsonl" in builtin.digests
    path = written("mine.jsonl", {"prompt": "What is a fox?"})
    with open(path, "rb") as file:
        assert read(prompts=[path]).digests == {path: hashlib.sha256(file.read()).hexdigest()}


def test_a_limit_takes_a_slice_of_each_kind_with_something_of_every_family(builtin):
    small = read_data(DataSettings(limit=48), seed=0)
    counts = small.report()["counts"]
    assert counts["sft"] + counts["dev"] == counts["reward"] + counts["second"] + counts["test"] == 48
    assert counts["policy"] == counts["red_team"] == counts["evaluation"] == 48
    assert {row.family for row in small.evaluation} == {row.family for row in builtin.evaluation}
    assert {row.family for row in small.sft + small.dev} == {row.family for row in builtin.sft}


def test_composed_rows_train_beside_the_demonstrations_they_are_made_of(builtin):
    more = read_data(DataSettings(composed=200), seed=0)
    added = more.sft[len(builtin.sft) :]
    assert more.sft[: len(builtin.sft)] == builtin.sft
    assert (len(added), {row.family for row in added}) == (200, {"composed"})
    sources = {row.id.removeprefix("composed-").rsplit("-", 1)[0] for row in added}
    assert sources <= {row.id for row in builtin.sft}
    assert {name: rows for name, rows in more.by_role().items() if name != "sft"} == {
        name: rows for name, rows in builtin.by_role().items() if name != "sft"
    }
    assert read_data(DataSettings(composed=200), seed=0) == more


def test_no_composed_prompt_resembles_one_with_another_role():
    data = read_data(DataSettings(composed=600), seed=1)
    rows = [(ROLES[name], row) for name, held in data.by_role().items() for row in held]
    texts = [opening(row.prompt if hasattr(row, "prompt") else row.conversation) for _, row in rows]
    pairs = [(rows[i], rows[j]) for i, j in near_duplicates(texts)]
    assert [(one.id, other.id) for (role, one), (its, other) in pairs if role != its] == []


def test_where_nothing_trains_nothing_is_composed(written):
    assert read(composed=9, prompts=[written("mine.jsonl", {"prompt": "What is a fox?"})]).sft == ()


def test_files_of_ones_own_stand_beside_the_built_in_ones(builtin, written):
    path = written("birds.jsonl", {"prompt": "Which bird sings at night?", "response": "The nightingale."})
    data = read_data(DataSettings(demonstrations=("builtin", path)), seed=0)
    mine = next(row for row in data.sft + data.dev if row.family == "birds")
    assert mine.response == "The nightingale."
    assert len(data.sft + data.dev) == len(builtin.sft + builtin.dev) + 1


def test_ids_that_two_files_share_are_told_apart(written):
    one = written("one.jsonl", {"id": "1", "prompt": "What is a fox?"}, {"id": "1", "prompt": "And a hen?"})
    two = written("two.jsonl", {"id": "1", "prompt": "Why is the sea salty?", "category": "nature"})
    rows = read(evaluation=[one, two]).evaluation
    assert [(row.id, row.family) for row in rows] == [("1", "one"), ("1#2", "one"), ("1#3", "nature")]


def test_the_wrong_kind_of_row_is_refused_by_name(written):
    pairs = written("pairs.jsonl", {"prompt": "Up?", "chosen": "Yes.", "rejected": "No."})
    with pytest.raises(
        DataError, match=r"data.demonstrations takes demonstrations .* pairs:1 of .* comparison"
    ):
        read(demonstrations=[pairs])
    judged = written("kto.jsonl", {"prompt": "a", "completion": "b", "label": True})
    with pytest.raises(DataError, match=r"kto:1 of .* is a rating .* under data.ratings"):
        read(comparisons=[judged])
    alone = written("alone.jsonl", {"prompt": "a", "response_a": "b", "response_b": "c"})
    with pytest.raises(DataError, match=r"alone:1 of .* is a prompt; gnomon data inspect names the keys"):
        read(comparisons=[alone])
    with pytest.raises(DataError, match=r"data.evaluation takes prompts without an answer"):
        read(evaluation=[pairs])


def test_ratings_are_split_by_prompt_and_kept_from_what_tests(written):
    things = ("foxes", "bread", "rain", "chess", "iron", "lakes", "violins", "glass", "bees", "tides")
    rows = [
        {"prompt": f"How do {thing} come about in {year}?", "completion": f"Slowly {year}.", "label": good}
        for thing in things
        for year, good in ((1300, True), (1300, False), (1301, True))
    ]
    thumbs = written("thumbs.jsonl", *rows)
    data = read(ratings=[thumbs])
    assert len(data.ratings) + len(data.test_ratings) == 30
    assert len(data.test_ratings) == 6
    asked, held = ({row.prompt.text.split()[2] for row in own} for own in (data.ratings, data.test_ratings))
    assert len(held) == 2
    assert not asked & held
    again = written("again.jsonl", {"id": "again", "prompt": next(iter(data.ratings)).prompt.text})
    with pytest.raises(DataError, match=r"again.*thumbs:|thumbs:.*again"):
        read(ratings=[thumbs], evaluation=[again])


def test_rankings_are_read_as_comparisons_and_unjudged_pairs_are_refused(written):
    ranked = written("ranked.jsonl", {"prompt": "Up?", "responses": ["a", "b", "c"], "scores": [2, 3, 1]})
    data = read(comparisons=[ranked])
    assert [(row.chosen[0].content, row.rejected[0].content) for row in data.reward] == [
        ("b", "a"),
        ("a", "c"),
        ("b", "c"),
    ]
    (ranking,) = {row.label.ranking for row in data.reward}
    assert ranking
    assert [row.label.weight for row in data.reward] == [2 / 3] * 3
    pair = Comparison.of("p", Conversation.of("Up?"), "Yes.", "No.", None)
    with pytest.raises(DataError, match=r"comparison p of .* has no label yet"):
        read(comparisons=[written("unjudged.jsonl", to_json(pair))])


def test_training_on_a_held_out_prompt_stops_the_run(written):
    leaked = written("leaked.jsonl", {"id": "x", "prompt": "how do i make bread", "response": "Bake it."})
    with pytest.raises(
        DataError, match=r"sft row x .* and test row test-bread-001 \(How do I make bread\?\)"
    ):
        read(demonstrations=[leaked], evaluation=["builtin"])


@pytest.mark.parametrize(
    ("asked", "held"),
    [
        ("Tell me how I would make some bread.", r"test-bread-001 \(How do I make bread\?\)"),
        ("What vitamin is it that skin makes with sunlight's help?", "test-questions-030"),
        ("In which way does soap lift the grease off plates if water alone can't?", "test-explanation-010"),
    ],
)
def test_training_on_a_held_out_prompt_in_other_words_stops_it_too(written, asked, held):
    leaked = written("leaked.jsonl", {"id": "x", "prompt": asked, "response": "Like this."})
    with pytest.raises(DataError, match=rf"sft row x .* and test row {held}"):
        read(demonstrations=[leaked], evaluation=["builtin"])


def test_gold_is_kept_from_all_that_train_and_from_what_tests(written):
    pairs = [
        {"id": f"g{number}", "prompt": text, "chosen": "Yes.", "rejected": "No."}
        for number, text in enumerate(("What is a fox?", "Why is the sea salty?"))
    ]
    gold = written("gold.jsonl", *pairs)
    shown = written("shown.jsonl", {"id": "x", "prompt": "what are foxes", "response": "Animals."})
    with pytest.raises(DataError, match=r"sft row x \(what are foxes\) and gold row g0 \(What is a fox\?\)"):
        read(gold=[gold], demonstrations=[shown])
    asked = {"id": "x", "prompt": "How come the sea is salty?"}
    for role, field, more in (
        ("reward", "comparisons", {"chosen": "A", "rejected": "B"}),
        ("policy", "prompts", {}),
        ("test", "evaluation", {}),
    ):
        with pytest.raises(DataError) as refused:
            read(gold=[gold], **{field: [written(f"{field}.jsonl", asked | more)]})
        assert "gold row g1 (Why is the sea salty?)" in str(refused.value)
        assert f"{role} row x (How come the sea is salty?)" in str(refused.value)


def test_where_rows_are_skipped_gold_stays_and_what_trains_goes(written):
    gold = written("gold.jsonl", {"id": "g", "prompt": "What is a fox?", "chosen": "Yes.", "rejected": "No."})
    shown = written(
        "shown.jsonl",
        {"id": "x", "prompt": "what are foxes", "response": "Animals."},
        {"id": "y", "prompt": "What is a hen?", "response": "A bird."},
    )
    data = read(gold=[gold], demonstrations=[shown], on_bad_row="skip")
    assert [row.id for row in data.gold] == ["g"]
    assert [row.id for row in data.sft + data.dev] == ["y"]
    assert data.report()["counts"]["gold"] == 1


def test_gold_is_read_whole_whatever_the_limit(written):
    pairs = [
        {"prompt": f"What is the {word}?", "chosen": "Yes.", "rejected": "No."}
        for word in ("fox", "hen", "owl", "cow")
    ]
    assert len(read(gold=[written("gold.jsonl", *pairs)], limit=1).gold) == 4


def test_where_bad_rows_are_skipped_the_row_that_trains_is_left_out_and_counted(written):
    rows = [
        {"id": "x", "prompt": "how do i make bread", "response": "Bake it."},
        {"id": "y", "prompt": "What is a fox?", "response": "A wild animal."},
        {"id": "z", "prompt": "What is a hen?", "response": ""},
    ]
    path = written("leaked.jsonl", *rows)
    held = written("held.jsonl", {"id": "e", "prompt": "How do I make bread?"})
    data = read(demonstrations=[path], evaluation=[held], on_bad_row="skip")
    assert [row.id for row in data.sft + data.dev] == ["y"]
    assert [row.id for row in data.evaluation] == ["e"]
    report = data.report()
    assert (report["overlap_removed"], report["dropped"]) == (1, {path: {"empty response": 1}})


def test_prompts_that_train_the_policy_may_resemble_each_other_but_no_comparison(written):
    prompts = written("prompts.jsonl", {"prompt": "What is a fox?"})
    assert len(read(prompts=[prompts], red_team=[prompts]).by_role()["red_team"]) == 1
    pairs = written("pairs.jsonl", {"prompt": "what is a fox", "chosen": "An animal.", "rejected": "A hen."})
    with pytest.raises(DataError, match=r"reward row pairs:1 .* and policy row prompts:1"):
        read(prompts=[prompts], comparisons=[pairs])


def test_evaluation_prompts_that_resemble_each_other_share_a_cluster(written):
    texts = {"a": "What is a fox?", "b": "Why is the sea salty?", "c": "what is a fox"}
    held = written("held.jsonl", *({"id": name, "prompt": text} for name, text in texts.items()))
    assert read(evaluation=[held]).clusters == {"a": "a", "b": "b", "c": "a"}


def test_published_conversations_that_begin_alike_stay_together(published):
    path = str(published("hh/harmless-base-test-first1500.jsonl.gz"))
    data = read(comparisons=[path], on_bad_row="skip")
    roles = {}
    for role in COMPARISONS:
        for row in getattr(data, role):
            roles.setdefault(opening(row.prompt), set()).add(role)
    counts = data.report()["counts"]
    total = sum(counts.values())
    assert total > 1400
    assert len(roles) < total - 40
    assert all(len(found) == 1 for found in roles.values())
    assert all(abs(counts[role] / total - share) < 0.01 for role, share in COMPARISONS.items())


ASKED = ("Who found penicillin?", "Where do swans sleep?", "Why does iron rust?", "How deep is the sea?")


def said(flips: float | None, *prompts: str) -> Labelled:
    """What one person said of answers to some prompts."""
    label = Label(0.8, "person")
    rows = tuple(
        Comparison.of(f"talk/{text}", Conversation.of(text), "Yes.", "No.", label) for text in prompts
    )
    return Labelled(rows, ({"id": "talk/1"},), flips, {"rows": len(rows)}, {"silent": 2}, "0123")


def test_labels_of_projects_come_from_the_reader_that_is_handed_in(written):
    path = written("mine.jsonl", {"prompt": "Is coal a stone?", "chosen": "It is a rock.", "rejected": "No."})
    asked = []

    def reader(project: str) -> Labelled:
        asked.append(project)
        return said(0.25, *ASKED)

    settings = DataSettings(**NOTHING | {"comparisons": ("labels:talk", path)})
    data = read_data(settings, 0, reader)
    assert asked == ["talk"]
    assert data.digests["labels:talk"] == "0123"
    assert data.dropped == {"labels:talk": {"silent": 2}}
    assert data.report()["labels"] == {"labels:talk": {"rows": 4}}
    train = (*data.reward, *data.second)
    people = [row for row in train if row.label.source == "person"]
    assert 0 < len(people) < len(train), "the file's row trains as well, and is taken to be right"
    assert data.flips() == pytest.approx(0.25 * len(people) / len(train))
    assert "labels" not in read_data(DataSettings(**NOTHING), 0).report()


def test_flips_are_told_by_votes_behind_what_trains_or_not_at_all():
    settings = DataSettings(**NOTHING | {"comparisons": ("labels:talk",)})
    assert read_data(settings, 0, lambda name: said(None, *ASKED)).flips() is None
    gold = DataSettings(**NOTHING | {"gold": ("labels:talk",)})
    assert read_data(gold, 0, lambda name: said(0.2, *ASKED)).flips() is None


def test_projects_are_refused_where_nobody_can_read_them():
    with pytest.raises(ConfigError, match="labels:talk: votes are not read here; gnomon label export"):
        read(comparisons=["labels:talk"])


def test_prompts_for_practice_are_made_and_told_of():
    data = read(prompts=["verifiable:30"], evaluation=["verifiable:10"], seed=2)
    assert [row.id for row in data.policy[:2]] == ["verifiable-0001", "verifiable-0002"]
    assert [row.id for row in data.evaluation[:1]] == ["verifiable-apart-0001"]
    assert (len(data.policy), len(data.evaluation)) == (30, 10)
    assert all(row.checks for row in (*data.policy, *data.evaluation))
    assert set(data.digests) == {"prompts: verifiable:30", "evaluation: verifiable:10"}
    assert read(prompts=["verifiable:30"], seed=2).policy == data.policy
    other = read(prompts=["verifiable:30"], seed=3)
    assert other.policy != data.policy
    assert other.digests["prompts: verifiable:30"] != data.digests["prompts: verifiable:30"]


def test_prompts_for_practice_are_asked_for_by_their_number():
    with pytest.raises(
        ConfigError, match=r"data.prompts: verifiable:many asks for 'many' prompts; write ver"
    ):
        read(prompts=["verifiable:many"])
    with pytest.raises(DataError, match=r"data\.demonstrations takes demonstrations"):
        read(demonstrations=["verifiable:3"])


@pytest.mark.mistake("yardstick-practised")
@pytest.mark.parametrize("on_bad_row", ["stop", "skip"])
def test_a_prompt_for_practice_gives_way_to_what_tests(written, on_bad_row):
    """To an evaluation prompt, and to what a suite asks: others of its kind stay."""
    made = read(prompts=["verifiable:30"]).policy
    file = written("mine.jsonl", {"prompt": f"{made[4].conversation.text} Please."})
    settings = DataSettings(
        **NOTHING | {"prompts": ["verifiable:30"], "evaluation": [file]}, on_bad_row=on_bad_row
    )
    data = read_data(settings, 0, asked=[("suite-1", made[7].conversation.text)])
    assert data.policy == (*made[:4], *made[5:7], *made[8:])
    assert data.overlap_removed == 2


@pytest.mark.mistake("yardstick-practised")
def test_no_row_that_trains_resembles_what_a_suite_asks(written):
    rows = [{"prompt": text, "completion": "Yes."} for text in ("Do bees sleep at night?", "What is a fox?")]
    file, asked = written("mine.jsonl", *rows), [("suite-1", "do bees sleep at night")]
    with pytest.raises(DataError, match="test row suite-1"):
        read_data(DataSettings(**NOTHING | {"demonstrations": [file]}), 0, asked=asked)
    settings = DataSettings(**NOTHING | {"demonstrations": [file]}, on_bad_row="skip")
    data = read_data(settings, 0, asked=asked)
    assert [row.prompt.text for row in (*data.sft, *data.dev)] == ["What is a fox?"]


@pytest.mark.mistake("yardstick-practised")
def test_composed_rows_may_leave_out_the_kinds_that_are_held_out():
    """Two of those that show: postscripts and titles."""

    def count(choice):
        data = read(demonstrations=["builtin"], limit=400, composed=300, composed_kinds=choice)
        said = {row.id: row.response for row in data.sft}
        made = [row for row in data.sft if row.family == "composed"]
        sources = [said[row.id.removeprefix("composed-").rpartition("-")[0]] for row in made]
        pairs = zip(made, sources, strict=True)
        return sum(shows(row.response) and not shows(source) for row, source in pairs)

    def shows(text):
        return "P.S." in text or text.startswith("<<")

    assert count("practised") == 0 < count("all")
