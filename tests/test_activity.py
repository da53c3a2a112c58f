from genbench import activity


def test_the_innermost_listener_hears_what_is_reported_while_it_listens():
    outer, inner = [], []
    activity.report("before")
    with activity.shown_by(lambda *heard: outer.append(heard)):
        activity.report("decoding", 3, 9)
        with activity.shown_by(lambda *heard: inner.append(heard)):
            activity.report("measuring w2")
        activity.report("saving")
    activity.report("after")
    assert outer == [("decoding", 3, 9), ("saving", 0, 0)]
    assert inner == [("measuring w2", 0, 0)]
