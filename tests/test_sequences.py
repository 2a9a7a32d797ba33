"""Which sequences frames are, and when each is, against lists that were counted out one by one."""

import itertools
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fastup.codes import Timecode
from fastup.footage.sequences import sequences, timecode_at, timeline


def paths(*names):
    return [Path(f"{name}.dpx") for name in names]


def counted(first, base, drop):
    """Timecodes from one on, by the rule: a frame more; the first two (four) numbers of a minute are left out where
    frames drop, but of every tenth."""
    hours, minutes, seconds, number = first
    while True:
        if not (drop and seconds == 0 and minutes % 10 and number < base // 15):
            yield Timecode(f"{hours:02d}:{minutes:02d}:{seconds:02d}{':;'[drop]}{number:02d}")
        number += 1
        if number == base:
            number, seconds = 0, seconds + 1
        if seconds == 60:
            seconds, minutes = 0, minutes + 1
        if minutes == 60:
            minutes, hours = 0, (hours + 1) % 24


def timecodes(count, first=(1, 0, 0, 0), base=30, drop=False):
    return list(itertools.islice(counted(first, base, drop), count))


# -- sequences -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["f1", "f2", "f3"], [((1, 2, 3), 1, ())]),
        (["f0008", "f0010", "f0012", "f0018"], [((8, 10, 12, 18), 2, ((14, 16),))]),
        (["f.-2", "f.-1", "f.1", "f.2"], [((-2, -1, 1, 2), 1, ((0, 0),))]),
        (["s1_1", "s1_2", "s1_4", "s1_5", "s2_7", "s2_8"], [((1, 2, 4, 5), 1, ((3, 3),)), ((7, 8), 1, ())]),
        (["f1_v1", "f1_v2", "f2_v1", "f2_v2", "f3_v1", "f3_v2"], [((1, 2, 3), 1, ())] * 2),
        ([f"f{n}_{size}" for n in range(3) for size in ("1920x1080", "960x540")], [((0, 1, 2), 1, ())] * 2),
        (["a", "b"], [((), 0, ())] * 2),
        (["a", "f7"], [((), 0, ()), ((7,), 0, ())]),
        (["f3", "f5", "f8"], [((3, 5, 8), 0, ())]),  # by no step
        (["F1", "f2"], [((1, 2), 1, ())]),
        (
            [f"f{10**30}", f"f{10**30 + 1}", f"f{10**30 + 3}"],
            [((10**30, 10**30 + 1, 10**30 + 3), 1, ((10**30 + 2,) * 2,))],
        ),
    ],
)
def test_frames_are_sequences_by_one_number(names, expected):
    found = sequences(paths(*names))
    assert [(each.numbers, each.step, each.gaps) for each in found] == expected
    assert sorted(path for each in found for path in each.paths) == sorted(paths(*names))
    assert all([paths(*names)[k] for k in each.indices] == list(each.paths) for each in found)


@given(st.integers(1, 30), st.integers(3, 12), st.integers(1, 3), st.integers(0, 900))
def test_shots_may_be_more_than_the_frames_of_each(shots, frames, step, first):
    names = [f"s{shot:03}_{first + step * n:04}" for shot in range(shots) for n in range(frames)]
    numbers = tuple(range(first, first + step * frames, step))
    found = sequences(paths(*names))
    assert [(each.numbers, each.step, each.gaps) for each in found] == [(numbers, step, ())] * shots


@given(st.integers(3, 12), st.integers(2, 9))
def test_two_versions_of_each_frame_are_two_sequences(frames, digits):
    found = sequences(paths(*(f"f{n:0{digits}}_v{v}" for n in range(frames) for v in (1, 2))))
    assert [each.numbers for each in found] == [tuple(range(frames))] * 2


def test_numbers_that_are_there_twice():
    (found,) = sequences(paths("f001", "f0001", "f002"))
    assert found.doubled == (tuple(paths("f001", "f0001")),)
    assert timeline(paths("f001", "f0001", "f002"), [None] * 3).doubled == [
        "f001.dpx and f0001.dpx have the same number"
    ]


# -- time ------------------------------------------------------------------------------------------------------------


@given(
    runs=st.lists(st.integers(4, 9), min_size=2, max_size=6),
    gaps=st.lists(st.integers(1, 5), min_size=5, max_size=5),
    begin=st.sampled_from([(1, 0, 0, 0), (0, 0, 59, 20), (23, 59, 59, 25), (0, 9, 59, 28)]),
    rate=st.sampled_from([(30, False), (30, True), (60, True), (24, False), (25, False)]),
    first=st.integers(-30, 10**6),
    step=st.integers(1, 3),
    pace=st.integers(1, 3),
    told=st.sampled_from(["numbers", "timecodes", "both"]),
)
def test_gaps_are_time_by_numbers_and_by_timecodes(runs, gaps, begin, rate, first, step, pace, told):
    base, drop = rate
    begin = (*begin[:3], min(begin[3], base - 1))
    truth, place = [], 0
    for length, gap in zip(runs, gaps, strict=False):
        truth += range(place, place + length)
        place = truth[-1] + 1 + min(gap, max(1, sum(runs) // (len(runs) + 1)))  # never more than there is
    # Numbers of drop frame that are missing may as well be left out.
    assume(told != "timecodes" or base != 30 or drop or begin[2] != 59 or {9, 12} - {*truth} or {10, 11} & {*truth})
    every = timecodes(pace * (truth[-1] + 1), begin, base, drop)[::pace]
    numbers = range(len(truth)) if told == "timecodes" else truth
    stamps = [None] * len(truth) if told == "numbers" else [every[place] for place in truth]
    names = paths(*(f"shot3.{first + step * number:04d}" for number in numbers))
    found = timeline(names, stamps, base)
    assert found.places.tolist() == truth
    missing = sorted(set(range(truth[-1])) - set(truth))
    assert [place for a, b, _ in found.gaps for place in range(a, b + 1)] == missing
    assert found.marks == ([] if told == "numbers" else [(0, every[0])])
    assert found.pace == (1 if told == "numbers" else pace)
    assert not found.doubled
    assert not found.repeated
    assert any("numbered by" in note for note in found.notes) == (step > 1)


def test_a_gap_is_named():
    stamps = timecodes(9)
    del stamps[3:5]
    (gap,) = timeline(paths(*(f"f{n}" for n in range(7))), stamps, 30).gaps
    assert gap == (3, 4, "between f2.dpx (01:00:00:02) and f3.dpx (01:00:00:05)")
    (gap,) = timeline(paths("f1", "f2", "f4"), [None] * 3).gaps
    assert gap == (2, 2, "between f2.dpx and f4.dpx")


NAMES = paths(*(f"f{n:02d}" for n in range(12)))


def test_timecodes_that_go_back_or_far_ahead_are_counted_anew():
    for other in ((0, 59, 0, 0), (1, 0, 0, 2), (3, 0, 0, 0)):
        stamps = timecodes(5) + timecodes(7, other)
        found = timeline(NAMES, stamps, 30)
        assert found.places.tolist() == list(range(12))
        assert found.marks == [(0, stamps[0]), (5, stamps[5])]
        assert found.notes == [
            f"the timecode does not run on from f04.dpx (01:00:00:04) to f05.dpx ({stamps[5]}): there it is counted "
            "anew, and no gap is taken for it"
        ]
        assert not found.repeated


def test_another_timecode_between_makes_no_gap():
    stamps = timecodes(12)
    stamps[4:6] = timecodes(2, (7, 0, 0, 0))
    found = timeline(NAMES, stamps, 30)
    assert found.places.tolist() == list(range(12))
    assert found.marks == [(0, stamps[0]), (4, stamps[4]), (6, stamps[6])]
    (note,) = found.notes
    assert note.startswith(f"the timecode does not run on from f03.dpx ({stamps[3]}) to f04.dpx ({stamps[4]}): there")
    stamps[8:] = timecodes(4, (1, 0, 0, 10))  # and a gap of two later on
    found = timeline(NAMES, stamps, 30)
    assert found.places.tolist() == [*range(8), *range(10, 14)]
    assert found.marks == [(0, stamps[0]), (4, stamps[4]), (6, stamps[6])]
    stamps = timecodes(12)
    stamps[4:6] = timecodes(2, (1, 0, 0, 9))  # near enough to be a gap, if it did not come back
    assert timeline(NAMES, stamps, 30).places.tolist() == list(range(12))


def test_more_gaps_than_there_are_frames_are_none():
    stamps = timecodes(40)
    stamps = [stamp for n, stamp in enumerate(stamps) if n % 10 < 3]
    found = timeline(NAMES, stamps, 30)
    assert found.places.tolist() == list(range(12))
    assert found.marks == [(n, stamps[n]) for n in (0, 3, 6, 9)]
    assert ", and so in 2 places more: " in found.notes[0]


def test_a_timecode_that_is_there_twice_is_told():
    stamps = timecodes(12)
    stamps[6:] = stamps[5:-1]
    found = timeline(NAMES, stamps, 30)
    assert found.repeated == ["f06.dpx has the timecode of f05.dpx, 01:00:00:05"]
    assert found.places.tolist() == list(range(12))
    assert found.marks == [(0, stamps[0]), (6, stamps[6])]
    stamps = timecodes(12)
    stamps[6] = stamps[5]  # one stamp that is wrong: those after it run on
    found = timeline(NAMES, stamps, 30)
    assert found.repeated == []
    assert found.places.tolist() == list(range(12))
    assert found.marks == [(0, stamps[0]), (6, stamps[6]), (7, stamps[7])]
    assert len(found.notes) == 1


@pytest.mark.parametrize(
    ("stamps", "words"),
    [
        ([Timecode("01:00:00:00")] * 12, "stands still"),
        ([stamp for stamp in timecodes(6) for _ in (0, 1)], "stands still"),  # as some have it at 60 frames/s
        (timecodes(12, (1, 0, 0, 20)), "frames up to 29, though a second has 24"),
        (timecodes(12, (1, 0, 0, 12))[::-1], "does not run on"),
    ],
)
def test_timecodes_that_tell_nothing_make_no_gaps(stamps, words):
    found = timeline(NAMES, stamps, 24)
    assert found.places.tolist() == list(range(12))
    assert [words in note for note in found.notes] == [True]
    assert found.marks[0] == (0, stamps[0])


@pytest.mark.parametrize(("own", "base"), [(24, 25), (24, 30), (25, 30), (30, 60)])
def test_a_second_of_timecode_is_as_long_as_it_is_seen_to_be(own, base):
    stamps = timecodes(4 * own, (1, 0, 58, 5), own)
    names = paths(*(f"f{n}" for n in range(len(stamps))))
    found = timeline(names, stamps, base)
    assert (found.places.tolist(), found.base) == (list(range(4 * own)), own)
    assert found.notes == [f"a second of timecode has {own} frames, not {base} as by the frame rate"]
    del stamps[40:43], names[-3:]  # gaps are gaps all the same
    found = timeline(names, stamps, base)
    assert [gap[:2] for gap in found.gaps] == [(40, 42)]
    every = [stamp for stamp in timecodes(3 * base, (1, 0, 58, 0), base) if stamp.frames < own]
    found = timeline(paths(*(f"f{n}" for n in range(3 * own))), every, base)  # two seconds that end so tell too little
    assert (found.base, len(found.gaps)) == (base, 2)
    every = [stamp for stamp in timecodes(4 * own, (1, 0, 58, 0), own) for _ in (0, 1)]
    found = timeline(paths(*(f"f{n}" for n in range(8 * own))), every, base)  # two have one
    assert (found.base, found.notes) == (base, ["the timecode stands still: it tells of no gaps"])


@pytest.mark.parametrize("base", [30, 60])
def test_drop_frame_that_is_not_said(base):
    said = timecodes(base, (1, 0, 59, base // 2), base, drop=True)
    stamps = [Timecode(stamp.replace(";", ":")) for stamp in said]
    names = paths(*(f"f{n}" for n in range(base)))
    found = timeline(names, stamps, base)
    assert (found.places.tolist(), found.marks) == (list(range(base)), [(0, said[0])])
    assert found.notes == [
        "timecodes leave out numbers as drop frame does, and do not say so: they are counted as such"
    ]
    del stamps[-5:-3], names[-2:]
    assert [gap[:2] for gap in timeline(names, stamps, base).gaps] == [(base - 5, base - 4)]
    # Numbers that are missing there, too, make a gap of it; so does a minute that leaves out none.
    half, skip = base // 2, base // 15
    apart = paths(*(f"f{n + skip * (n >= half)}" for n in range(base - 2)))
    found = timeline(apart, stamps, base)
    assert (found.gaps[0][:2], found.notes) == ((half, half + skip - 1), [])
    whole = timecodes(2, (1, 3, 59, base - 1), base)
    found = timeline(paths(*(f"f{n}" for n in range(base))), stamps + whole, base)
    assert not any("drop frame" in note for note in found.notes)
    every = timecodes(2 * base, (1, 0, 59, skip), base)[:: skip + 1]  # steps that come there by themselves
    found = timeline(paths(*(f"f{n}" for n in range(len(every)))), every, base)
    assert (found.pace, found.gaps, found.notes) == (skip + 1, [], [])


def test_some_have_no_timecode():
    stamps = timecodes(14)
    del stamps[7:9]
    stamps[0] = stamps[7] = stamps[8] = None
    found = timeline(NAMES, stamps, 30)
    assert found.places.tolist() == [*range(9), *range(11, 14)]  # where it shows
    assert found.marks == [(1, stamps[1])]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["f1", "f2", "f3", "f900", "f901"], "f900.dpx is taken as the frame after f3.dpx"),
        (["f1", "f2", "f4", "f9", "f12", "f15"], "not evenly apart"),  # chosen ones: more is missing than there
        (["f1", "f2", "f3", "f5", "f10", "f15"], "not evenly apart"),
        (["f3", "f5", "f8"], "not evenly apart"),
        (["f1_a", "f2_b", "f3_a", "f4_b"], "lie between each other"),
        (["f2", "f4", "f6"], "numbered by 2"),
    ],
)
def test_numbers_that_tell_nothing_of_time_are_said(names, words):
    found = timeline(paths(*names), [None] * len(names))
    assert found.places.tolist() == list(range(len(names)))
    assert [words in note for note in found.notes] == [True]
    stamps = timecodes(len(names) + 1)
    del stamps[1]  # timecodes tell all the same
    assert timeline(paths(*names), stamps, 30).places.tolist() == [0, *range(2, len(names) + 1)]


def test_without_a_rate_the_timecodes_show_it():
    for base in (24, 25, 30):
        stamps = timecodes(base + 9, (1, 0, 0, 5), base)
        names = paths(*(f"f{n}" for n in range(len(stamps))))
        assert timeline(names, stamps).gaps == []
        del stamps[-4], names[-1]
        assert [gap[:2] for gap in timeline(names, stamps).gaps] == [(base + 5, base + 5)]


def test_one_frame_is_at_the_beginning():
    found = timeline(paths("f7"), timecodes(1), 30)
    assert (found.places.tolist(), found.gaps, found.marks) == ([0], [], [(0, "01:00:00:00")])


def tape_timecodes(start, base, dropped, count):
    """Timecodes one after another, by the rule: minutes but each tenth begin with number `dropped`."""
    hours, minutes, seconds, frames = (int(part) for part in start.replace(";", ":").split(":"))
    for _ in range(count):
        yield f"{hours:02d}:{minutes:02d}:{seconds:02d}{';' if dropped else ':'}{frames:02d}"
        frames += 1
        if frames == base:
            frames, seconds = 0, seconds + 1
        if seconds == 60:
            seconds, minutes = 0, minutes + 1
            frames = dropped if minutes % 10 else 0
        if minutes == 60:
            minutes, hours = 0, (hours + 1) % 24


@pytest.mark.parametrize(
    ("start", "rate", "dropped"),
    [
        ("00:58:59;20", Fraction(30000, 1001), 2), ("23:59:58;00", Fraction(30000, 1001), 2),
        ("10:00:00:00", Fraction(30000, 1001), 0), ("00:08:59;50", Fraction(60000, 1001), 4),
        ("09:59:58:20", Fraction(25), 0), ("23:59:59:20", Fraction(24000, 1001), 0),
    ],
)  # fmt: skip
def test_timecode_is_counted_as_tapes_do(start, rate, dropped):
    count = 20000
    expected = list(tape_timecodes(start, round(rate), dropped, count))
    assert [timecode_at(start, n, rate) for n in range(count)] == expected
    assert timecode_at(start, 24 * 3600 * round(rate) - (dropped * 54 * 24), rate) == start  # a day later
