"""The interleaved sequence: the worked example to the id, its inverse for any timeline, and what does not fit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.layouts.bayling import BaylingLayout
from duplexgen.pipeline.layouts.streams import Reply, Streams
from duplexgen.pipeline.layouts.vocabulary import Vocabulary

VOCABULARY = Vocabulary(
    silence=1000, assistant=1001, pad=1002, epad=1003, audio_first_id=1004, audio_size=64, text_size=1000
)
SPF = 1280
S, A, P, E = VOCABULARY.silence, VOCABULARY.assistant, VOCABULARY.pad, VOCABULARY.epad


def streams(blocks: int, block_frames: int, *replies: Reply) -> Streams:
    frames = blocks * block_frames
    user = (np.arange(frames, dtype=np.int16) % 64)[np.newaxis]
    assistant = (np.arange(frames + block_frames, dtype=np.int16) * 7 % 64)[np.newaxis]
    return Streams(user, assistant, replies)


def test_worked_example() -> None:
    """user speaks [0, 25600), reply [38400, 81600), 8 blocks, 10 text ids."""
    layout = BaylingLayout(VOCABULARY, SPF)
    words = tuple(range(10))
    given_streams = streams(8, 10, Reply(words, 38400, 81600, interrupted=False))
    ids = layout.encode(given_streams)
    assert len(ids) == 200
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
    blocks = ids.reshape(8, 25)
    for block in range(8):  # block b holds user frames [bN, (b+1)N) and assistant frames [(b+1)N, (b+2)N)
        user = given_streams.user_codes[0, block * 10 : block * 10 + 10]
        assistant = given_streams.assistant_codes[0, block * 10 + 10 : block * 10 + 20]
        assert blocks[block, :10].tolist() == VOCABULARY.audio_ids(user).tolist()
        assert blocks[block, 15:].tolist() == VOCABULARY.audio_ids(assistant).tolist()


def test_offset_zero_puts_assistant_one_slot_later() -> None:
    early, late = BaylingLayout(VOCABULARY, SPF), BaylingLayout(VOCABULARY, SPF, ast_offset=0)
    reply = Reply((1, 2), 38400, 81600, interrupted=False)
    ids = [layout.encode(streams(8, 10, reply)) for layout in (early, late)]
    assert [int(np.flatnonzero(one == A)[0]) for one in ids] == [39, 60]  # slot 9 of block 1, slot 10 of block 2


@st.composite
def dialogues(draw: st.DrawFn) -> tuple[BaylingLayout, Streams]:
    """Any layout, and replies anywhere in a track that leaves them room."""
    n, m = draw(st.integers(1, 16)), draw(st.integers(1, 12))
    spf = draw(st.sampled_from([1280, 1920]))
    layout = BaylingLayout(VOCABULARY, spf, n, m, draw(st.sampled_from([-1, 0])))
    replies = []
    position = (n + -(-2 * n // m) + 1) * spf  # the first reply can be written
    for _ in range(draw(st.integers(0, 4))):
        start = position + draw(st.integers(0, 20 * spf))
        end = start + draw(st.integers(1, 60 * spf))
        room = layout.epad_slot(end) - layout.assistant_slot(start) - 1
        interrupted = draw(st.booleans())
        longest = 40 if interrupted else min(40, room)
        text = tuple(draw(st.lists(st.integers(0, VOCABULARY.text_size - 1), max_size=max(longest, 0))))
        if room >= 0:
            replies.append(Reply(text, start, end, interrupted))
            position = end + (-(-4 * n // m) + 3) * spf
    blocks = position // (n * spf) + 3
    frames = blocks * n
    codes = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(codes)
    user = rng.integers(0, 64, (8, frames), dtype=np.int16)
    assistant = rng.integers(0, 64, (8, frames + n), dtype=np.int16)
    return layout, Streams(user, assistant, tuple(replies))


@given(dialogues())
def test_inverse_gives_back_streams_timeline_and_text(dialogue: tuple[BaylingLayout, Streams]) -> None:
    layout, before = dialogue
    ids = layout.encode(before)
    assert len(ids) % layout.ids_per_block == 0
    after = layout.decode(ids)
    assert np.array_equal(after.user_codes[0], before.user_codes[0])
    assert np.array_equal(after.assistant_codes[0], before.assistant_codes[0, layout.block_frames :])
    assert len(after.replies) == len(before.replies)
    for written, reply in zip(after.replies, before.replies, strict=True):
        assert reply.start_sample // layout.samples_per_frame in written.start_frames
        assert -(-reply.end_sample // layout.samples_per_frame) in written.end_frames
        room = written.epad_slot - written.assistant_slot - 1
        assert written.text_ids == reply.text_ids[:room]
        assert reply.interrupted or written.text_ids == reply.text_ids


@given(dialogues())
def test_equations_of_the_paper(dialogue: tuple[BaylingLayout, Streams]) -> None:
    """Equations 2 and 3 in exact fractions, where M/N of a frame is a whole slot."""
    layout, before = dialogue
    n, m, spf = layout.user_tokens, layout.text_tokens, layout.samples_per_frame
    for reply in before.replies:
        first, last = reply.start_sample // spf - n, -(-reply.end_sample // spf) - n
        if (first * m) % n == 0:
            assert layout.assistant_slot(reply.start_sample) == first * m // n + layout.ast_offset
        if (last * m) % n == 0:
            assert layout.epad_slot(reply.end_sample) == last * m // n


@pytest.mark.parametrize(
    ("replies", "reason"),
    [
        ([Reply((1,), 11 * SPF, 40 * SPF, False)], "starts_too_early"),
        ([Reply(tuple(range(12)), 30 * SPF, 40 * SPF, False)], "text_overflow"),
        ([Reply((1,), 30 * SPF, 40 * SPF, False), Reply((1,), 42 * SPF, 60 * SPF, False)], "replies_collide"),
        ([Reply((1,), 30 * SPF, 95 * SPF, False)], "ends_too_late"),
    ],
)
def test_what_does_not_fit_is_rejected(replies: list[Reply], reason: str) -> None:
    layout = BaylingLayout(VOCABULARY, SPF)
    with pytest.raises(DialogueRejected) as rejected:
        layout.encode(streams(8, 10, *replies))
    assert rejected.value.reason == reason


def test_earliest_reply_that_can_be_written() -> None:
    layout = BaylingLayout(VOCABULARY, SPF)
    assert layout.assistant_slot(12 * SPF) == 0  # 0.96 s
    assert layout.assistant_slot(12 * SPF - 1) == -1


def test_text_of_an_interrupted_reply_is_cut() -> None:
    layout = BaylingLayout(VOCABULARY, SPF)
    ids = layout.encode(streams(8, 10, Reply(tuple(range(40)), 30 * SPF, 40 * SPF, interrupted=True)))
    (reply,) = layout.decode(ids).replies
    assert reply.text_ids == (0, 1, 2, 3, 4)
    assert (reply.assistant_slot, reply.epad_slot) == (9, 15)


@pytest.mark.parametrize("position", [10, 14, 39, 45, 137, 0, 20])
def test_damaged_sequences_are_not_taken_apart(position: int) -> None:
    layout = BaylingLayout(VOCABULARY, SPF)
    ids = layout.encode(streams(8, 10, Reply(tuple(range(10)), 38400, 81600, interrupted=False)))
    ids[position] = P if ids[position] != P else S
    with pytest.raises(ValueError, match=r"slot|position"):
        layout.decode(ids)


def test_cut_sequence_is_not_taken_apart() -> None:
    layout = BaylingLayout(VOCABULARY, SPF)
    with pytest.raises(ValueError, match="multiple of 25"):
        layout.decode(np.zeros(26, dtype=np.int32))
