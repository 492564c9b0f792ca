import io
import re

from rich.console import Console
from rich.progress import Progress

from gnomon.cli.progress import BarReporter, LineReporter, counting, reporting


class Clock:
    """Seconds as a test sets them."""

    now = 0.0

    def __call__(self):
        return self.now


def lines(console):
    """What was printed, without the time of day."""
    text = console.file.getvalue()
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in text.splitlines())
    return [line[9:] for line in text.splitlines()]


def test_a_stage_has_a_line_every_five_seconds_and_its_last():
    clock, console = Clock(), Console(file=io.StringIO(), width=40)
    reporter = LineReporter(console, clock)
    reporter.stage_started("sft", cached=False)
    for done in range(1, 13):
        clock.now = float(done)
        reporter.progress("sft", done, 12, "loss 2.5", None if done == 5 else 12.0 - done)
    reporter.stage_finished("sft", 12.0)
    assert lines(console) == [
        "sft: started",
        "sft: 5/12, loss 2.5, time left not known yet",
        "sft: 10/12, loss 2.5, about 2.0 s left",
        "sft: 12/12, loss 2.5, 0 s left",
        "sft: finished in 12 s",
    ]


def test_the_last_unit_is_told_once_and_each_stage_has_its_own_clock():
    clock, console = Clock(), Console(file=io.StringIO(), width=200)
    reporter = LineReporter(console, clock)
    for name in ("a", "a", "b"):
        reporter.progress(name, 2, 2, "", None)
    reporter.stage_started("c", cached=True)
    reporter.warning("[b]look[/b]")
    assert lines(console) == [
        "a: 2/2, 0 s left",
        "b: 2/2, 0 s left",
        "c: made before, taken from the store",
        "warning: [b]look[/b]",
    ]


def test_what_is_left_of_the_whole_road_stands_in_every_line_once_there_is_a_pace():
    clock, console = Clock(), Console(file=io.StringIO(), width=200)
    reporter = LineReporter(console, clock)
    reporter.stage_started("data", cached=False)
    reporter.stage_finished("data", 1.0)
    reporter.road_started({"sft": 100.0, "reward": 0.0, "policy": 300.0})
    reporter.stage_started("sft", cached=False)
    for done, left in ((1, None), (2, 40.0)):
        clock.now += 10
        reporter.progress("sft", done, 10, "", left)
    reporter.stage_finished("sft", 50.0)
    reporter.stage_started("reward", cached=True)
    reporter.stage_started("policy", cached=False)
    assert lines(console) == [
        "data: started",
        "data: finished in 1.0 s",
        "sft: started",
        "sft: 1/10, time left not known yet",
        "sft: 2/10, about 40 s left, whole road: about 3 min 10 s left",
        "sft: finished in 50 s",
        "reward: made before, taken from the store",
        "policy: started, whole road: about 2 min 30 s left",
    ]


def test_the_bar_of_the_road_counts_what_the_road_announces_and_tells_what_is_left():
    console = Console(file=io.StringIO(), force_terminal=True, width=200, color_system=None)
    with Progress(console=console, auto_refresh=False) as bars:
        reporter = BarReporter(bars, stages=1)
        reporter.stage_started("data", cached=False)
        reporter.stage_finished("data", 1.0)
        reporter.road_started({"sft": 100.0, "policy": 300.0})
        road = bars.tasks[0]
        assert (road.completed, road.total, road.fields["note"]) == (1, 3, "")
        reporter.stage_started("sft", cached=False)
        reporter.progress("sft", 2, 10, "", 40.0)
        assert bars.tasks[0].fields["note"] == "whole road: about 3 min 10 s left"
        reporter.stage_finished("sft", 60.0)
        reporter.stage_started("policy", cached=False)
        assert bars.tasks[0].fields["note"] == "whole road: about 3 min 0 s left"


def test_bars_leave_a_line_for_every_stage_and_count_the_road():
    console = Console(file=io.StringIO(), force_terminal=True, width=200, color_system=None)
    with Progress(console=console, auto_refresh=False) as bars:
        reporter = BarReporter(bars, stages=3)
        reporter.stage_started("data", cached=True)
        reporter.stage_started("sft", cached=False)
        reporter.progress("sft", 5, 10, "loss 2", 65.0)
        road, stage = bars.tasks
        assert (road.completed, road.total) == (1, 3)
        assert (stage.description, stage.completed, stage.total) == ("sft", 5, 10)
        assert stage.fields["note"] == "loss 2, about 1 min 5 s left"
        reporter.stage_finished("sft", 12.0)
        assert road.completed == 2
        assert not bars.tasks[1].visible
    shown = console.file.getvalue()
    assert "✓ data (made before)" in shown
    assert "✓ sft 12 s" in shown


def test_where_there_is_no_terminal_there_are_lines(capsys):
    with reporting() as reporter, counting(reporter, "pairs") as told:
        told(2, 2)
    out, err = capsys.readouterr()
    assert out == ""
    assert [line[9:].split(" in ")[0] for line in err.splitlines()] == [
        "pairs: started",
        "pairs: 2/2, 0 s left",
        "pairs: finished",
    ]
