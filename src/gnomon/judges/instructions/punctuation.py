"""The punctuation:* instruction."""


def no_comma(response: str) -> bool:
    """Whether it has no comma of the Latin alphabet; those of other scripts (、 ， ،) are not looked for."""
    return "," not in response
