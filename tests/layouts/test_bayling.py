"""The interleaved sequence: the worked example to the id, its inverse for any track, and what does not fit."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexgen.pipeline.dialogue import TURN, CodedTrack, Event
from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.layouts.bayling import Bayling, BaylingSection
from duplexgen.pipeline.layouts.shared import SharedVocabulary

VOCABULARY = SharedVocabulary(
    silence=1000,
    assistant=1001,
    pad=1002,
    epad=1003,
    audio_first_id=1004,
    audio_size=64,
    text_size=1000,
    end_of_text=1068,
)
SPF = 1280
S, A, P, E = VOCABULARY.silence, VOCABULARY.assistant, VOCABULARY.pad, VOCABULARY.epad
Texts = list[list[int]]


def layout(n: int = 10, m: int = 5, offset: int = -1, spf: int = SPF) -> Bayling:
    return Bayling(BaylingSection(name="bayling", user_tokens=n, text_tokens=m, ast_offset=offset), VOCABULARY, spf)


def reply(start: int, end: int, cut_samples: int = 0) -> Event:
    cut_by = 0 if cut_samples else None
    return Event(1, "assistant", TURN, start, end, end + cut_samples, None, cut_by)


def user(start: int, end: int) -> Event:
    return Event(0, "user", TURN, start, end, end)


def track(frames: int, events: Sequence[Event], margin: int = 19, codebooks: int = 1, seed: int = 0) -> CodedTrack:
    """Random codes of a track, which end in a margin."""
    codes = np.random.default_rng(seed).integers(0, 64, (2, codebooks, frames + margin), dtype=np.int16)
    return CodedTrack(codes[0], codes[1], margin, SPF, tuple(events), ("",) * len(events))


EXAMPLE = track(80, [user(0, 25600), reply(38400, 81600)])
EXAMPLE_TEXTS: Texts = [[500, 501], [*range(10)]]


def test_worked_example() -> None:
    """user speaks [0, 25600), reply [38400, 81600), 8 blocks, 10 text ids."""
    row = layout().encode(EXAMPLE, EXAMPLE_TEXTS)
    ids = row["input_ids"]
    assert (row["num_blocks"], len(ids), ids.dtype) == (8, 200, np.int32)
    text = ids.reshape(8, 25)[:, 10:15].tolist()
    assert text == [
        [S, S, S, S, S],
        [S, S, S, S, A],
        [0, 1, 2, 3, 4],
        [5, 6, 7, 8, 9],
        [P, P, P, P, P],
        [P, P, E, S, S],
        [S, S, S, S, S],
        [S, S, S, S, S],
    ]
    assert np.flatnonzero(ids == A).tolist() == [39]
    assert np.flatnonzero(ids == E).tolist() == [137]
    for block, of_block in enumerate(ids.reshape(8, 25)):
        # block b holds user frames [bN, (b+1)N) and assistant frames [(b+1)N, (b+2)N)
        heard = EXAMPLE.user_codes[0, block * 10 : block * 10 + 10]
        said = EXAMPLE.assistant_codes[0, block * 10 + 10 : block * 10 + 20]
        assert of_block[:10].tolist() == VOCABULARY.audio_ids(heard).tolist()
        assert of_block[15:].tolist() == VOCABULARY.audio_ids(said).tolist()


def test_kinds_of_the_worked_example() -> None:
    made = layout()
    kinds = made.kinds(made.encode(EXAMPLE, EXAMPLE_TEXTS))
    names = [made.KINDS[kind] for kind in kinds]
    blocks = [names[start : start + 25] for start in range(0, 200, 25)]
    assert {tuple(block[:10]) for block in blocks} == {("user",) * 10}
    assert {tuple(block[15:]) for block in blocks} == {("audio",) * 10}
    text = [kind for block in blocks for kind in block[10:15]]
    assert text == [*["silence"] * 9, "assistant", *["text"] * 10, *["pad"] * 7, "epad", *["silence"] * 12]


def test_measures_of_the_worked_example() -> None:
    made = layout()
    row = made.encode(EXAMPLE, EXAMPLE_TEXTS)
    assert [*made.measure(row, EXAMPLE.events)] == [
        ("sequence_ids", 200),
        ("text_tokens", 10.0),
        ("assistant_before_user_end", 0.0),  # slot 9 ends block 1, in which the user has been heard up to 25600
    ]
    late_user = (user(0, 25601), EXAMPLE.events[1])
    assert [*made.measure(row, late_user)][-1] == ("assistant_before_user_end", 1.0)
    assert [*made.measure(row, ())] == [("sequence_ids", 200), ("text_tokens", 10.0)]


def test_what_is_shown_of_the_worked_example() -> None:
    made = layout()
    lines = [*made.show(made.encode(EXAMPLE, EXAMPLE_TEXTS), lambda id_: f"w{id_}", EXAMPLE.events, 16000)]
    assert lines[3].split() == ["2", "1.6", "s", "·" * 10, "w0", "w1", "w2", "w3", "w4", "█" * 10]
    shown = [line.split() for line in lines[1:9]]
    assert [line[3] for line in shown] == ["██████████"] * 2 + ["··········"] * 6
    assert [line[4:9] for line in shown[:2]] == [["·"] * 5, ["·", "·", "·", "·", "[A]"]]
    assert [line[4:9] for line in shown[4:6]] == [["[P]"] * 5, ["[P]", "[P]", "[E]", "·", "·"]]
    assert "".join(line[9] for line in shown) == "·" * 20 + "█" * 34 + "·" * 26
    assert len({len(line) for line in lines[1:9]}) == 1, "columns stand below each other"


def test_offset_zero_puts_assistant_one_slot_later() -> None:
    one = track(80, [reply(38400, 81600)])
    ids = [layout(offset=offset).encode(one, [[1, 2]])["input_ids"] for offset in (-1, 0)]
    assert [int(np.flatnonzero(each == A)[0]) for each in ids] == [39, 60]  # slot 9 of block 1, slot 10 of block 2


@st.composite
def tracks(draw: st.DrawFn) -> tuple[Bayling, CodedTrack, Texts]:
    """Any layout, and replies anywhere in a track that leaves them room; the user speaks now and then."""
    n, m = draw(st.integers(1, 16)), draw(st.integers(1, 12))
    spf = draw(st.sampled_from([1280, 1920]))
    made = layout(n, m, draw(st.sampled_from([-1, 0])), spf)
    events: list[Event] = []
    texts: Texts = []
    position = (n + -(-2 * n // m) + 1) * spf  # the first reply can be written
    for _ in range(draw(st.integers(0, 4))):
        if draw(st.booleans()):
            events.append(user(position, position + draw(st.integers(1, 30 * spf))))
            texts.append(draw(st.lists(st.integers(0, 999), max_size=3)))
        start = position + draw(st.integers(0, 20 * spf))
        end = start + draw(st.integers(1, 60 * spf))
        room = made.epad_slot(end) - made.assistant_slot(start) - 1
        cut = draw(st.sampled_from([0, draw(st.integers(1, 10 * spf))]))
        if room >= 0:
            events.append(reply(start, end, cut))
            texts.append(draw(st.lists(st.integers(0, 999), max_size=40 if cut else min(40, room))))
            position = end + (-(-4 * n // m) + 3) * spf
    order = sorted(range(len(events)), key=lambda index: events[index].start_sample)
    frames = -(-position // spf) + 2 * n + draw(st.integers(1, n))
    margin = made.section.margin_frames + draw(st.integers(0, 5))
    coded = track(frames, [events[index] for index in order], margin, 8, draw(st.integers(0, 2**32 - 1)))
    return made, replace(coded, samples_per_frame=spf), [texts[index] for index in order]


def replies_of(coded: CodedTrack, texts: Texts) -> list[tuple[Event, list[int]]]:
    return [(event, ids) for event, ids in zip(coded.events, texts, strict=True) if event.channel == "assistant"]


@given(tracks())
def test_inverse_gives_back_codes_times_and_text(drawn: tuple[Bayling, CodedTrack, Texts]) -> None:
    made, coded, texts = drawn
    row = made.encode(coded, texts)
    n, blocks = made.user_tokens, row["num_blocks"]
    assert blocks == -(-coded.frames // n) and len(row["input_ids"]) == blocks * made.ids_per_block
    assert made.length(row) == blocks * n >= coded.frames
    after = made.decode(row["input_ids"])
    assert np.array_equal(after.user_codes[0], coded.user_codes[0, : blocks * n])
    assert np.array_equal(after.assistant_codes[0], coded.assistant_codes[0, n : (blocks + 1) * n])
    for written, (event, ids) in zip(after.replies, replies_of(coded, texts), strict=True):
        assert event.start_sample // made.samples_per_frame in written.start_frames
        assert -(-event.end_sample // made.samples_per_frame) in written.end_frames
        room = written.epad_slot - written.assistant_slot - 1
        assert list(written.text_ids) == ids[:room]
        assert event.is_cut or list(written.text_ids) == ids
    assert [*made.check(row, coded, texts)] == []


@given(tracks())
def test_kinds_are_those_of_the_ids(drawn: tuple[Bayling, CodedTrack, Texts]) -> None:
    made, coded, texts = drawn
    row = made.encode(coded, texts)
    kinds = made.kinds(row).reshape(-1, made.ids_per_block)
    n, m = made.user_tokens, made.text_tokens
    assert (kinds[:, :n] == made.KINDS.index("user")).all() and (kinds[:, n + m :] == made.KINDS.index("audio")).all()
    text = row["input_ids"].reshape(-1, made.ids_per_block)[:, n : n + m]
    names = {id_: name for name, id_ in VOCABULARY.state.items()}
    for kind, id_ in zip(kinds[:, n : n + m].flat, text.flat, strict=True):
        assert made.KINDS[kind] == names.get(int(id_), "text")


@given(tracks())
def test_equations_of_the_paper(drawn: tuple[Bayling, CodedTrack, Texts]) -> None:
    """Equations 2 and 3, where their fractions are whole slots: j = t'·M/N, one slot earlier for [ASSISTANT]."""
    made, coded, texts = drawn
    n, m, spf = made.user_tokens, made.text_tokens, made.samples_per_frame
    for event, _ in replies_of(coded, texts):
        first, last = event.start_sample // spf - n, -(-event.end_sample // spf) - n
        if (first * m) % n == 0:
            assert made.assistant_slot(event.start_sample) == first * m // n + made.section.ast_offset
        if (last * m) % n == 0:
            assert made.epad_slot(event.end_sample) == last * m // n


@given(tracks(), st.integers(1, 20), st.integers(1, 12), st.sampled_from([-1, 0]))
def test_one_stored_track_gives_any_layout(
    drawn: tuple[Bayling, CodedTrack, Texts], n: int, m: int, offset: int
) -> None:
    """As a track that was padded to whole blocks of this layout, and tokenized with them, would have given it."""
    _, coded, texts = drawn
    other = layout(n, m, offset, coded.samples_per_frame)
    padded = -(-coded.frames // n) * n
    stored = _with_silence(coded, max(coded.margin_frames, other.section.margin_frames))
    exact = _with_silence(coded, padded + n - coded.frames)
    aligned = replace(exact, margin_frames=n)
    assert aligned.frames == padded
    found, expected = (_encoded(other, one, texts) for one in (stored, aligned))
    assert found == expected


def _with_silence(coded: CodedTrack, margin: int) -> CodedTrack:
    """The track with another margin; the code of silence is 7 here."""
    frames, silence = coded.frames, np.full((8, margin), 7, np.int16)
    user, said = (
        np.concatenate([codes[:, :frames], silence], 1) for codes in (coded.user_codes, coded.assistant_codes)
    )
    return CodedTrack(user, said, margin, coded.samples_per_frame, coded.events, coded.texts)


def _encoded(made: Bayling, coded: CodedTrack, texts: Texts) -> Any:
    try:
        row = made.encode(coded, texts)
    except DialogueRejected as rejected:
        return rejected.reason, rejected.detail
    return row["num_blocks"], row["input_ids"].tolist()


def test_a_margin_that_is_too_short_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected a margin of 18 frames after 72, got 17"):
        layout().encode(track(72, [], margin=17), [])
    assert layout().encode(track(72, [], margin=18), [])["num_blocks"] == 8
    assert all(layout(n).encode(track(frames, [], 2 * n - 1), []) for n in (1, 2, 7) for frames in range(1, 30))


@given(tracks(), st.data())
def test_each_change_of_a_row_is_found(drawn: tuple[Bayling, CodedTrack, Texts], data: st.DataObject) -> None:
    made, coded, texts = drawn
    row = made.encode(coded, texts)
    place = data.draw(st.integers(0, len(row["input_ids"]) - 1))
    new = data.draw(st.integers(-2, VOCABULARY.size + 1))
    ids = row["input_ids"].copy()
    ids[place] = new
    changes: dict[str, dict[str, Any]] = {
        "a block less": {"input_ids": row["input_ids"][: -made.ids_per_block], "num_blocks": row["num_blocks"] - 1},
        "blocks": {"num_blocks": row["num_blocks"] + 1},
        "an id less": {"input_ids": row["input_ids"][:-1]},
    }
    if new != row["input_ids"][place]:
        changes["an id"] = {"input_ids": ids}
    for what, change in changes.items():
        found = [*made.check(row | change, coded, texts)]
        assert found, (what, place, new)
        assert all(says.isprintable() for says in found)


@given(tracks(), st.data())
def test_another_track_is_found(drawn: tuple[Bayling, CodedTrack, Texts], data: st.DataObject) -> None:
    """Of each that would have given another row: another code, other times, another text, a reply more or less."""
    made, coded, texts = drawn
    row = made.encode(coded, texts)
    n, blocks = made.user_tokens, row["num_blocks"]
    codes = coded.user_codes.copy(), coded.assistant_codes.copy()
    side = data.draw(st.integers(0, 1))
    codes[side][0, data.draw(st.integers(side * n, (blocks + side) * n - 1))] ^= 1
    others = [(replace(coded, user_codes=codes[0], assistant_codes=codes[1]), texts)]
    for index, event in enumerate(coded.events):
        if event.channel == "user":
            continue
        gone = [*coded.events[:index], *coded.events[index + 1 :]], [*texts[:index], *texts[index + 1 :]]
        later = replace(event, start_sample=event.start_sample + -(-2 * n // made.text_tokens) * made.samples_per_frame)
        moved = [*coded.events[:index], later, *coded.events[index + 1 :]]
        other_text = [*texts[:index], [999 - id_ for id_ in texts[index]], *texts[index + 1 :]]
        others += [(replace(coded, events=tuple(gone[0])), gone[1]), (replace(coded, events=tuple(moved)), texts)]
        if made.decode(row["input_ids"]).replies[len(replies_of(coded, texts)) - 1 - _after(coded, index)].text_ids:
            others.append((coded, other_text))
    for other, its_texts in others:
        assert [*made.check(row, other, its_texts)]


def _after(coded: CodedTrack, index: int) -> int:
    """Replies after an event."""
    return sum(event.channel == "assistant" for event in coded.events[index + 1 :])


@pytest.mark.parametrize(
    ("replies", "reason"),
    [
        ([(1, 11 * SPF, 40 * SPF)], "starts_too_early"),
        ([(12, 30 * SPF, 40 * SPF)], "text_overflow"),
        ([(1, 30 * SPF, 40 * SPF), (1, 42 * SPF, 60 * SPF)], "replies_collide"),
        ([(1, 30 * SPF, 95 * SPF)], "ends_too_late"),
    ],
)
def test_what_does_not_fit_is_rejected(replies: list[tuple[int, int, int]], reason: str) -> None:
    events = [reply(start, end) for _, start, end in replies]
    with pytest.raises(DialogueRejected) as rejected:
        layout().encode(track(80, events), [[*range(length)] for length, _, _ in replies])
    assert rejected.value.reason == reason


def test_earliest_reply_that_can_be_written() -> None:
    assert layout().assistant_slot(12 * SPF) == 0  # 0.96 s
    assert layout().assistant_slot(12 * SPF - 1) == -1


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 50))
def test_a_step_moves_whole_slots_and_nothing_finer_does(n: int, m: int, start: int) -> None:
    made = layout(n, m)

    def slots(frames: int) -> list[int]:
        places = range(start, start + 3 * n)
        return [made.assistant_slot((place + frames) * SPF) - made.assistant_slot(place * SPF) for place in places]

    assert len(set(slots(made.step_frames))) == 1
    assert all(len(set(slots(finer))) > 1 for finer in range(1, made.step_frames))


def test_text_of_a_reply_that_is_cut_is_cut() -> None:
    made = layout()
    ids = made.encode(track(80, [reply(30 * SPF, 40 * SPF, 1)]), [[*range(40)]])["input_ids"]
    (written,) = made.decode(ids).replies
    assert written.text_ids == (0, 1, 2, 3, 4)
    assert (written.assistant_slot, written.epad_slot) == (9, 15)


@pytest.mark.parametrize("position", [10, 14, 39, 45, 137, 0, 20])
def test_damaged_sequences_are_not_taken_apart(position: int) -> None:
    ids = layout().encode(EXAMPLE, EXAMPLE_TEXTS)["input_ids"]
    ids[position] = P if ids[position] != P else S
    with pytest.raises(ValueError, match=r"slot|position"):
        layout().decode(ids)


def test_cut_sequence_is_not_taken_apart() -> None:
    with pytest.raises(ValueError, match="multiple of 25"):
        layout().decode(np.zeros(26, dtype=np.int32))
