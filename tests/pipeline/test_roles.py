from threading import Event

import pytest
from serving import SAMPLING

from gnomon.errors import ConfigError
from gnomon.pipeline.roles import Cast, kept_rows, name_of, settings_of, who
from gnomon.pipeline.stage import Artefact
from gnomon.pipeline.stages import Start
from gnomon.records import Conversation
from gnomon.settings.feedback import RoleSettings

OWN = Start("tiny:0")
BUDGET = RoleSettings(budget=3)


def test_a_role_is_the_model_s_own_or_a_teacher_s(tmp_path):
    assert str(who(None, OWN)) == "self tiny:0"
    assert str(who("tiny:1", OWN)) == "teacher tiny:1"
    made = Start("path:somewhere", Artefact("abc123", "sft", tmp_path))
    assert str(who(None, made)) == "self sft:abc123"


def test_a_folder_is_called_by_its_weights_not_by_its_place(tmp_path):
    for folder, weights in (("one", b"1"), ("same", b"1"), ("other", b"2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.safetensors").write_bytes(weights)
    one, same, other = (name_of(Start(f"path:{tmp_path / name}")) for name in ("one", "same", "other"))
    assert one == same != other
    assert one.startswith("path:")
    assert str(tmp_path) not in one


def test_settings_tell_models_apart_and_refuse_what_is_none():
    assert settings_of(None, "tiny:1", "endpoint:http://localhost:1/v1#m") == [
        None,
        "tiny:1",
        "endpoint:http://localhost:1/v1#m",
    ]
    with pytest.raises(ConfigError, match="nobody"):
        settings_of("nobody")


def test_the_model_at_hand_is_loaded_once_for_all_its_roles(tmp_path):
    cast = Cast(OWN, "float32", tmp_path)
    assert cast.backend(None).engine.engine.lm is cast.engine("generator", None).engine.lm
    other = cast.backend("tiny:1")
    assert other.engine.engine.lm is not cast.model
    assert other.id == "tiny:1 in float32"


def test_a_server_samples_answers_and_keeps_both(server, local, tmp_path):
    cast = Cast(OWN, "float32", tmp_path)
    engine = cast.engine("critic", str(server.ref))
    prompts, seeds = [[2, 40, 41], [2, 50]], [1, 2]
    found = engine.sample(prompts, SAMPLING, seeds)
    assert [s.response_ids for s in found] == [s.response_ids for s in local.sample(prompts, SAMPLING, seeds)]
    assert engine.answer([Conversation.of("Hi")], SAMPLING)[0].text is not None
    assert (tmp_path / "critic.jsonl").exists()
    asked = server.answered.total()
    engine.sample(prompts, SAMPLING, seeds)
    assert server.answered.total() == asked


def test_rows_of_earlier_attempts_are_there_and_added_to(tmp_path):
    kept_rows(tmp_path / "asked.jsonl").add({"a": {"probability": 0.5, "said": []}})
    again = kept_rows(tmp_path / "asked.jsonl")
    assert again.rows == [{"id": "a", "probability": 0.5, "said": []}]


def test_a_server_is_asked_for_no_more_than_its_budget_earlier_attempts_included(server, tmp_path):
    talks = [Conversation.of(text) for text in ("One", "Two", "Three", "Four")]
    for asked in (talks[:2], talks[:3]):
        Cast(OWN, "float32", tmp_path, BUDGET).engine("critic", str(server.ref)).answer(asked, SAMPLING)
    again = Cast(OWN, "float32", tmp_path, BUDGET).engine("critic", str(server.ref))
    with pytest.raises(ConfigError, match="has given 3 answers, and 1 more are beyond the budget of 3"):
        again.answer(talks, SAMPLING)
    assert server.answered.total() == 3
    assert len(again.answer(talks[:3], SAMPLING)) == 3


def test_chains_of_thought_and_letters_share_a_budget(server, tmp_path):
    server.odds = lambda request: 1.0
    talks = [Conversation.of(text) for text in ("One", "Two", "Three")]
    for asked in (talks[:1], talks[:2]):
        engine = Cast(OWN, "float32", tmp_path, BUDGET).backend(str(server.ref)).engine
        engine.answer(asked, SAMPLING)
    engine.choose(talks[:1], ("A", "B"))
    again = Cast(OWN, "float32", tmp_path, BUDGET).backend(str(server.ref)).engine
    for ask in (lambda: again.choose(talks[1:], ("A", "B")), lambda: again.answer(talks[2:], SAMPLING)):
        with pytest.raises(ConfigError, match=r"has given 3 answers, and \d more are beyond the budget of 3"):
            ask()
    assert server.answered.total() == 3


def test_roles_say_how_many_requests_are_out_and_how_long_one_is_waited_for(server, tmp_path):
    done, outlasted = Event(), []

    def silent(handler):
        outlasted.append(not done.wait(20))
        handler.close_connection = True

    server.pause, server.faults = 0.05, [silent]
    roles = RoleSettings(concurrency=3, timeout=0.4)
    engine = Cast(OWN, "float32", tmp_path, roles).engine("critic", str(server.ref))
    answers = engine.answer([Conversation.of(f"{i}?") for i in range(12)], SAMPLING)
    assert not outlasted
    done.set()
    assert len(answers) == 12
    assert server.most == 3
    assert engine.engine.usage.repeated >= 1
