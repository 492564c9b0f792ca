import random
import sys

import pytest

from gnomon.errors import ConfigError
from gnomon.judges.instructions.languages import CODES, detected, response_language

GERMAN = "Das alte Haus am Ende der Straße steht leer."


@pytest.fixture
def langdetect():
    return pytest.importorskip("langdetect")


def test_a_text_s_language_is_the_same_every_time(langdetect):
    doubtful = "radio taxi hotel"  # langdetect's own answer changes from call to call
    first = detected(doubtful)
    for seed in range(20):
        random.seed(seed)
        langdetect.DetectorFactory.seed = seed
        assert detected(doubtful) == first
    langdetect.DetectorFactory.seed = None


def test_what_others_ask_langdetect_is_left_alone(langdetect):
    detected(GERMAN)
    assert langdetect.DetectorFactory.seed is None


def test_every_language_that_is_known_is_langdetect_s(langdetect):
    langdetect.detector_factory.init_factory()
    assert set(langdetect.detector_factory._factory.get_lang_list()) == CODES


@pytest.mark.parametrize("text", ["", "12 + 30 = 42", "😀 !?", "https://example.com"])
def test_where_nothing_tells_the_language_every_one_will_do(langdetect, text):
    assert detected(text) is None
    assert response_language(text, language="de")
    assert response_language(text, language="hi")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (GERMAN, "de"),
        ("नमस्ते, आप आज कैसे हैं? मैं ठीक हूँ।", "hi"),
        ("இது ஒரு பழைய வீடு.", "ta"),
        ("这是一座老房子，在街道的尽头。", "zh-cn"),
        ("Это старый дом в конце улицы.", "ru"),
    ],
)
def test_languages_are_told_apart(langdetect, text, language):
    assert detected(text) == language
    assert response_language(text, language=language)
    assert not response_language(text, language="en")


def test_a_missing_package_is_a_line_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "langdetect.lang_detect_exception", None)
    with pytest.raises(ConfigError, match=r"langdetect: pip install 'gnomon\[ifeval\]'"):
        detected(GERMAN)
