import io
import re

import pytest
from exported import decision, five, row
from pages import Page
from rich.console import Console

from gnomon.labelling.quality.summary import summarise
from gnomon.reports.labels import (
    decisions_note,
    in_order,
    label_notes,
    label_page,
    label_tables,
    planted_note,
    planted_sways,
    planted_table,
    write_label_page,
)

HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)"> {{ 7 * 7 }} \x1b[31m'


def summary(rows, groups=None, title="Talk"):
    return summarise({"slug": "talk", "title": title}, {"ordinary": len(rows)}, rows, groups)


def crowd():
    """Four people, one of whom takes what stands on the left, on forty pairs, ten of them gold."""
    return [
        row(
            f"i{k}",
            name,
            k % 2 if name == "eve" else int(k % 10 == own),
            left=k % 2,
            expected=0 if k % 4 == 0 else None,
            seconds=20 + (k * own) % 7,
            again=False,
        )
        for k in range(40)
        for own, name in enumerate(("ada", "ben", "cat", "eve"))
    ]


@pytest.mark.parametrize("rows", [[], five(), crowd()], ids=["empty", "five", "crowd"])
def test_the_page_is_whole_and_loads_nothing(rows):
    html = label_page(summary(rows))
    page = Page(html)
    assert page.open == []
    assert page.sections() == ["do", "counts", "agreement", "annotators", "unknown"]
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", html)
    assert "default-src 'none'" in html
    assert html.count("<script") == 1


def test_an_empty_project_is_told_whom_to_invite_and_what_is_not_known():
    text = Page(label_page(summary([]))).text
    assert "The project has no items." in text
    assert "Raw agreement, With the others' majority" in text
    assert "nobody has judged an ordinary pair yet" in text
    assert "Nobody has labelled anything yet." in text


def test_five_labels_have_figures_and_say_what_is_missing():
    text = Page(label_page(summary(five()))).text
    assert "50.0%" in text
    assert "only 2 pairs were judged by two people" in text
    assert "a third annotator, or known answers, would say who errs" in text
    assert "nobody was asked the same pair twice; a repeat_rate above 0 does that" in text


def test_the_page_shows_figures_intervals_and_what_to_do():
    found = summary(crowd())
    html = label_page(found)
    page = Page(html)
    assert html.count("<figure>") == 2
    assert "The votes of eve tell surely less than half" in page.text
    assert "Look at what they chose" in page.text
    eve = found["annotators"]["eve"]["gold"]
    assert f"{100 * eve['value']:.1f}%" in page.text
    assert [name for name, _ in in_order(found["annotators"])][-1] == "eve"


def test_decisions_have_a_section_where_there_are_any():
    """Two of three pairs have a majority, and one decision goes against it."""
    found = summary([*crowd(), *(decision(f"i{k}", int(k == 5)) for k in (1, 2, 5))])
    page = Page(label_page(found))
    assert "adjudication" in page.sections()
    assert "3 pairs were decided by somebody who saw what others said (prefer 3); 0 were left" in page.text
    assert "Majority overruled" in page.text
    note = decisions_note(found)
    assert note.startswith("disagreements: 3 decided, 0 left open; majority overruled 50.0%")
    assert decisions_note(summary(crowd())) == ""


def swayed():
    """Four people on ten probes of a belief: two follow it, by more or by less, and two do not."""
    return [
        row(f"t{k}/{favours}", name, favours if own < 2 else k % 2, strength=2 + k % (2 + own) // (1 + own))
        | {"purpose": "probe", "probe": {"pair": f"t{k}", "kind": "sycophancy", "favours": favours}}
        for k in range(10)
        for own, name in enumerate(("ada", "ben", "cat", "eve"))
        for favours in (0, 1)
    ]


def test_probes_have_a_section_and_a_table_where_there_are_any():
    found = summary([*crowd(), *swayed()])
    page = Page(label_page(found))
    assert "probes" in page.sections()
    own = found["probes"]["sycophancy"]
    assert f"{own['annotators']['ada']['value']:+.2f}" in page.text
    text = shown(*label_tables(found))
    assert "20 with, 0 against" in text
    assert f"ada {own['annotators']['ada']['value']:+.2f}" in " ".join(text.split())
    assert f"{own['shift']['value']:+.2f}" in text
    assert "…" not in text
    assert "probes" not in Page(label_page(summary(crowd()))).sections()
    assert "What sways" not in shown(*label_tables(summary(crowd())))
    found |= {"planted": {"sycophancy": 1.0, "length": 0.0}}
    assert list(planted_sways(found)) == [
        "sycophancy: +1.00 log-odds planted in those who read; not to be found in all"
    ]


def test_groups_have_a_section():
    groups = {"ada": "north", "ben": "north", "cat": "south", "eve": "south"}
    page = Page(label_page(summary(crowd(), groups)))
    assert "groups" in page.sections()
    assert "north with south" in page.text
    assert "Where north and south lie farthest apart" in page.text


def test_markup_of_people_and_models_is_text(tmp_path):
    first, second = "<img src=x>\x1b", "<b>"
    rows = [row(HOSTILE, who, int(who == first), prompt=HOSTILE) for who in (first, second)]
    write_label_page(tmp_path / "stats.html", summary(rows, {first: HOSTILE, second: "b"}, HOSTILE))
    html = (tmp_path / "stats.html").read_text("utf-8")
    page = Page(html)
    assert html.count("<script") == 1
    assert "<img" not in html
    assert "49" not in re.sub(r"<svg.*?</svg>|<style.*?</style>", "", html, flags=re.S)
    assert "\x1b" not in html
    assert page.text.count("<script>alert(1)</script>") >= 6
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)


def shown(*tables):
    out = io.StringIO()
    for table in tables:
        Console(file=out, width=80, force_terminal=False).print(table)
    return out.getvalue()


def test_a_terminal_has_the_tables_in_eighty_characters():
    text = shown(*label_tables(summary(crowd())))
    assert "Raw agreement" in text
    assert text.index("ada") < text.index("eve")
    assert "…" not in text
    assert shown(*label_tables(summary([]))) == ""
    notes = dict(label_notes(summary(five())))
    assert "not known: Sycophancy" not in notes
    assert "never" not in notes
    assert notes["not known: How sure agreement is"].startswith("only 2 pairs")


def test_what_was_planted_stands_beside_what_was_found():
    found = summary(crowd())
    planted = {name: {"spam": None, "reliability": 1.25, "position": 0.5} for name in ("ada", "ben", "cat")}
    planted["eve"] = {"spam": "first", "reliability": 0.0, "position": 5.0}
    found |= {"planted": {"flips": 0.25, "spammers": 0.25, "annotators": planted}}
    text = shown(planted_table(found))
    assert [part for part in ("+1.25", "+5.00", "first") if part not in text] == []
    assert f"{found['annotators']['ada']['reliability']['value']:+.2f}" in text
    assert "flips: 25.0% planted in those who read, beside 25% who do not; " in planted_note(found)
    assert f"{100 * found['agreement']['flips']['value']:.1f}%, " in planted_note(found)
    found["agreement"]["flips"] = {"missing": "?"}
    assert "not to be found in everybody's agreement" in planted_note(found)
