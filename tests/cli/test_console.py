import logging

from gnomon.cli.console import ConsoleHandler, say


def logged(level, text):
    ConsoleHandler().emit(logging.LogRecord("gnomon.x", level, "x.py", 1, text, (), None))


def test_neither_markup_nor_control_characters_are_obeyed(capsys):
    say("[red]a[/red] \x1b[2Jb")
    assert capsys.readouterr().err == "[red]a[/red] ␛[2Jb\n"


def test_a_long_line_stays_one_line(capsys):
    say("a " * 200)
    assert capsys.readouterr().err.count("\n") == 1


def test_warnings_of_the_log_are_called_so(capsys):
    logged(logging.WARNING, "terms apply")
    logged(logging.INFO, "preparing")
    assert capsys.readouterr().err == "warning: terms apply\npreparing\n"
