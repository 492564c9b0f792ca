import pytest

from gnomon.constitution.modes import MODES, mode, named, tells_likelihoods
from gnomon.errors import ConfigError
from gnomon.settings.feedback import FeedbackSettings


def test_every_mode_is_a_way_of_its_own():
    settings = [mode(name, FeedbackSettings()) for name in MODES]
    assert len({s.model_dump_json() for s in settings}) == len(MODES) >= 9
    assert mode("choice", FeedbackSettings()) == FeedbackSettings()


def test_a_mode_says_how_and_the_settings_how_much():
    more = {"reasoning_tokens": 9, "clamp": (0.3, 0.7)}
    own = FeedbackSettings(ensemble=7, reasoning=3, examples="mine.json", **more)
    assert mode("recipe", own) == own
    assert mode("choice", own) == FeedbackSettings(**more)
    assert mode("choice-ensemble", own).ensemble == 7
    assert mode("choice-examples-reasoning", own).examples == "mine.json"
    assert mode("choice-reasoning", own).reasoning == 3
    assert (mode("contrast", own).method, mode("contrast", own).reasoning) == ("contrast", 0)
    assert mode("contrast-ensemble", FeedbackSettings()).ensemble == 4


def test_names_come_by_list_once_each_or_all():
    assert named("all") == MODES
    assert named("contrast, choice,contrast") == ("contrast", "choice")
    with pytest.raises(ConfigError, match="mode 'vote' is none of recipe, choice"):
        named("choice,vote")


def test_modes_that_a_server_cannot_be_asked_in():
    assert tells_likelihoods(MODES, FeedbackSettings()) == ("contrast", "contrast-ensemble")
