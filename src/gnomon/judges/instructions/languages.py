"""The language:* instruction: which language a response is in, by langdetect."""

from functools import cache
from typing import Any

from gnomon.errors import ConfigError

CODES = frozenset(
    [
        *("af", "ar", "bg", "bn", "ca", "cs", "cy", "da", "de", "el", "en", "es", "et", "fa", "fi", "fr"),
        *("gu", "he", "hi", "hr", "hu", "id", "it", "ja", "kn", "ko", "lt", "lv", "mk", "ml", "mr", "ne"),
        *("nl", "no", "pa", "pl", "pt", "ro", "ru", "sk", "sl", "so", "sq", "sv", "sw", "ta", "te", "th"),
        *("tl", "tr", "uk", "ur", "vi", "zh-cn", "zh-tw"),
    ]
)
"""The languages that can be told apart, by ISO 639-1 code; Chinese by its two scripts."""

_SEED = 0


def response_language(response: str, *, language: str) -> bool:
    """Whether it is seen to be in the language, or nothing tells its language (no letters, say).

    ConfigError where langdetect is not installed.
    """
    return detected(response) in (language, None)


def detected(text: str) -> str | None:
    """The code of the likeliest language, None where nothing tells; the same for the same text every time.

    ConfigError where langdetect is not installed.
    """
    try:
        from langdetect.lang_detect_exception import LangDetectException  # noqa: PLC0415  an extra
    except ImportError as problem:
        raise ConfigError(
            "instructions about languages need langdetect: pip install 'gnomon[ifeval]'"
        ) from problem
    detector = _detectors().create()
    detector.append(text)
    try:
        return str(detector.detect())
    except LangDetectException:
        return None


@cache
def _detectors() -> Any:
    """A factory of our own: langdetect's is shared by the whole process and draws anew each time."""
    from langdetect.detector_factory import PROFILES_DIRECTORY, DetectorFactory  # noqa: PLC0415

    factory = DetectorFactory()
    factory.load_profile(PROFILES_DIRECTORY)
    factory.seed = _SEED
    return factory
