import pytest

from gnomon.judges.instructions.sentences import sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("  \n ", []),
        ("no stop at all", ["no stop at all"]),
        ("One.  Two!\nThree? four", ["One.", "Two!", "Three?", "four"]),
        ("one. two", ["one.", "two"]),
        ("A line\n\nand another", ["A line\n\nand another"]),
        ("Pi is 3.14, e.g.com is a site.", ["Pi is 3.14, e.g.com is a site."]),
        ("Inc., he said", ["Inc., he said"]),
    ],
)
def test_stops_end_sentences_and_lines_do_not(text, expected):
    assert sentences(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('He said "Go." Then he left.', ['He said "Go."', "Then he left."]),
        ("He said “Go.” Then he left.", ["He said “Go.”", "Then he left."]),
        ('"Go!" he said.', ['"Go!"', "he said."]),
        ("(It rained.) It was cold.", ["(It rained.)", "It was cold."]),
        ("It rained (a lot). Then", ["It rained (a lot).", "Then"]),
        ("One. ) Two", ["One. )", "Two"]),
        ('He said "Go."', ['He said "Go."']),
        ('"Go."Then', ['"Go.', '"Then']),
    ],
)
def test_what_closes_a_sentence_belongs_to_it(text, expected):
    assert sentences(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("**Go.** Now", ["**Go.", "** Now"]),
        ("Now **go.**", ["Now **go.", "**"]),
        ("Go!!", ["Go!", "!"]),
        ("Go!! Now", ["Go!!", "Now"]),
        ("Really?!", ["Really?", "!"]),
        ("wait . . . what", ["wait .", ".", ".", "what"]),
        ("1. Wet it. 2. Dry it.", ["1.", "Wet it.", "2.", "Dry it."]),
        ("1. Review it.", ["1. Review it."]),
        ("Fruit, e.g. figs, etc. are good.", ["Fruit, e.g.", "figs, etc.", "are good."]),
    ],
)
def test_where_a_reader_would_count_otherwise(text, expected):
    """Worked out from Punkt's rules, and what NLTK gives."""
    assert sentences(text) == expected


@pytest.mark.parametrize(
    ("text", "count"),
    [
        *(("Mr. Brown met Dr. Lee.", 1), ("At 5 p.m. we left.", 1), ("At 5 p.m. The bus left.", 2)),
        *(("In the U.S. people vote.", 1), ("In the U.S. They vote.", 2), ("Rome vs. Paris Co. of Ohio", 1)),
        *(("A half-yr. ago", 1), ("(Mr. Brown)", 1), ("He saw -- Mr. Brown", 1)),
        *(("J. K. Rowling wrote it.", 1), ("John F. Kennedy", 1), ("Plan B. The end", 2)),
        *(("A. Red\nB. Blue", 3), ("He met A. Smith", 1), ("World War I. I was there.", 1), ("Plan B. 5", 2)),
        *(("Vitamin C. It", 1), ("I met J.K. Rowling.", 1), ("By R.L. Stine", 2)),
        *(("It was 1990. we left", 1), ("It was 1990. We left", 2), ("It cost $5. we left", 2)),
        *(("Well... that is odd", 1), ("Well... It is", 2), ("Well... Rome", 1), ("Well.. it is", 1)),
        *(("Plan B. However, it", 2), ("Plan B. No. Yes", 3), ("I. E7\nX. B7", 1), ("#Mr. Brown", 1)),
        *(("It was 1990. , so", 1), ("It was 1990. ,so", 1), ('He met Mr. Brown." So', 3)),
        *(("'Mr. Brown'", 2), ("'Mr. Brown.' So", 3), ("I can't. so", 2), ("I can’t. so", 2)),
    ],
)
def test_abbreviations_initials_numbers_and_dots(text, count):
    assert len(sentences(text)) == count


@pytest.mark.parametrize(
    "text", ["नमस्ते। आप कैसे हैं।", "你好。再见。", "Привет. Как дела? Хорошо!", "\u200b. \u0301. \U0001f600!"]
)
def test_nothing_but_white_space_is_lost_in_any_script(text):
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


def test_other_scripts_stops_end_no_sentence():
    assert len(sentences("你好。再见。 नमस्ते। हाँ।")) == 1
    assert len(sentences("Привет. Как дела? Хорошо!")) == 3


def test_long_texts_are_split_in_time_that_grows_with_their_length():
    assert len(sentences("Yes. " * 100_000)) == 100_000
    assert len(sentences("!" * 100_000)) == 2
    assert len(sentences("(" * 100_000 + ".")) == 1
