from office import pair, pairs, project, together

from gnomon.labelling.store import projects, rounds

ABOUT = {"policy": "tiny:0"}


def begun(store, made, digest="0123456789abcdef"):
    with store.write() as tx:
        return rounds.begin(tx, made.id, digest, ABOUT)


def test_a_round_is_as_far_as_its_items(store):
    made = project(store, [])
    first = begun(store, made)
    assert first[1:] == (0, 0, {})
    with store.write() as tx:
        second = rounds.advance(tx, made.id, first, 4, pairs(3), {"identical": 1})
    with store.write() as tx:
        third = rounds.advance(tx, made.id, second, 6, [], {"identical": 1, "empty": 1})
    assert begun(store, made) == third == (first.id, 6, 3, {"identical": 2, "empty": 1})
    assert begun(store, made, "another")[1:] == (0, 0, {})


def test_what_others_added_meanwhile_is_not_added_again(store):
    made = project(store, [])
    first = begun(store, made)
    with store.write() as tx:
        there = rounds.advance(tx, made.id, first, 3, pairs(3), {})
    with store.write() as tx:
        assert rounds.advance(tx, made.id, first, 2, [pair("late"), pair("later")], {}) == there
    with store.read() as tx:
        assert projects.count_items(tx, made.id) == {"ordinary": 3}


def test_of_many_who_begin_and_add_the_same_one_does(store):
    made = project(store, [])

    def add(number: int):
        with store.write() as tx:
            return rounds.advance(tx, made.id, first, 3, pairs(3), {})

    (first,) = set(together(8, lambda number: begun(store, made)[:3]))
    first = rounds.Round(*first, {})
    assert together(8, add) == [(first.id, 3, 3, {})] * 8
    with store.read() as tx:
        assert projects.count_items(tx, made.id) == {"ordinary": 3}
