"""Rows of answers, as the runner makes them."""


def row(model, prompt, checks=(), **values):
    """An answer row as the runner makes it, plain where nothing is said."""
    return {
        "prompt_id": prompt,
        "family": "facts",
        "cluster": prompt,
        "prompt": "Up?",
        "model": model,
        "answer": "Down.",
        "ended": True,
        "answers": True,
        "checks_passed": all(checks) if checks else None,
        "checks": list(checks),
        "tokens": 3,
        "words": 1,
        "repetition": 0.0,
        "role_leak": False,
        "refuses": False,
        **values,
    }
