"""The startend:* instructions and the repeated prompt: what a response begins and ends with."""


def repeat_prompt(response: str, *, prompt_to_repeat: str) -> bool:
    """Whether it begins with the request, word for word; case does not matter."""
    return response.strip().lower().startswith(prompt_to_repeat.strip().lower())


def end_checker(response: str, *, end_phrase: str) -> bool:
    """Whether it ends with the phrase; case and straight double quotes around the response do not matter."""
    return response.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def quotation(response: str) -> bool:
    """Whether it begins and ends with a straight double quote."""
    whole = response.strip()
    return len(whole) > 1 and whole[0] == whole[-1] == '"'
