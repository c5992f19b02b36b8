"""What holds for rows of parallel streams, whatever the track."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from duplexgen.pipeline.dialogue import CodedTrack, Event, Word
from duplexgen.pipeline.errors import DialogueRejected, UserError
from duplexgen.pipeline.layouts.flm import FLMSection, FLMVocabulary
from duplexgen.pipeline.layouts.layout import Ids
from duplexgen.pipeline.layouts.moshi import Moshi, MoshiSection, MoshiVocabulary
from duplexgen.pipeline.layouts.stream_ids import StreamIds, StreamVocabulary
from duplexgen.pipeline.layouts.streams import STREAMS, Streams
from duplexgen.pipeline.tokens.speech.melvq import MelVQ
from duplexgen.pipeline.tokens.text.bpe import BytePairTokenizer

from .streams import ANSWER, ASR, AUDIO_PAD, EPAD, PAD, SPF, WAIT, event, flm, moshi, track, word

Texts = list[list[int]]
IDS = st.lists(st.integers(0, 199), min_size=1, max_size=6)
TEXTS = ((("one", "two", "three"), "one two three"), (("你", "好", "吗？"), "你好吗？"))
"""Words, and the text of a turn that has them."""
LARGEST_LEAD, LARGEST_DELAY = 12, 8


@st.composite
def turn_tracks(draw: st.DrawFn, codebooks: int = 3) -> tuple[CodedTrack, Texts]:
    """Turns that alternate, some of the replies cut, at any sample; each with room for its text and the largest lead.

    In words of English or of Chinese.
    """
    words, of_turn = draw(st.sampled_from(TEXTS))
    events: list[Event] = []
    texts: Texts = []
    at = draw(st.integers(0, 2 * SPF))
    for _ in range(draw(st.integers(1, 3))):
        question, reply = draw(IDS), draw(IDS)
        end = at + draw(st.integers(SPF, 5 * SPF))
        room = len(question) + 4 + LARGEST_LEAD
        start = end + draw(st.integers(room * SPF, (room + 3) * SPF))
        stop = start + draw(st.integers(len(reply) * SPF, 12 * SPF))
        whole = stop + draw(st.sampled_from([0, 0, 1, 3 * SPF]))
        cut_by = len(events) + 2 if whole > stop else None
        events.append(Event(0, "user", "turn", at, end, end))
        events.append(
            Event(0, "assistant", "turn", start, stop, whole, len(events) - 1, cut_by, _words(draw, words, start, stop))
        )
        texts += [question, reply]
        at = stop + draw(st.integers(4 * SPF, 7 * SPF))
    frames = -(-events[-1].end_sample // SPF) + draw(st.integers(1, 8))
    margin = draw(st.integers(LARGEST_DELAY, LARGEST_DELAY + 2))
    coded = track(events, frames, codebooks, margin, ["?", of_turn] * (len(events) // 2))
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    shape = coded.user_codes.shape
    user, assistant = (rng.integers(0, 100, shape).astype(np.int16) for _ in range(2))
    return CodedTrack(user, assistant, coded.margin_frames, SPF, coded.events, coded.texts), texts


def _words(draw: st.DrawFn, words: Sequence[str], start: int, stop: int) -> tuple[Word, ...]:
    edges = sorted(draw(st.lists(st.integers(start, stop), min_size=len(words), max_size=len(words))))
    return tuple(Word(text, edge, stop) for text, edge in zip(words, edges, strict=True))


def texts_of(layout: Streams, coded: CodedTrack, texts: Texts) -> Texts:
    """Of a layout that writes words, some ids for each word."""
    return texts if layout.name == "flm" else [[len(text), 7] for text in layout.texts(coded)]


LAYOUTS = st.one_of(
    st.builds(
        flm,
        st.sampled_from(["response_tts", "asr_response_tts"]),
        st.just(3),
        st.integers(0, LARGEST_LEAD),
        st.integers(0, LARGEST_DELAY),
    ),
    st.builds(moshi, st.just(3), st.integers(0, LARGEST_DELAY), st.booleans()),
)


@given(LAYOUTS, turn_tracks())
def test_written_is_the_inverse(layout: Streams, given_track: tuple[CodedTrack, Texts]) -> None:
    coded, texts = given_track
    texts = texts_of(layout, coded, texts)
    try:
        row = layout.encode(coded, texts)
    except DialogueRejected as rejected:
        assume(layout.name == "moshi" or rejected.reason != "text_overflow")
        raise
    written = layout.written(row)
    assert layout.length(row) == coded.frames
    assert np.array_equal(written.user_codes, coded.user_codes[:, : coded.frames])
    assert np.array_equal(written.assistant_codes, coded.assistant_codes[:, : coded.frames])
    replies = [event for event in coded.events if event.channel == "assistant"]
    assert len(written.replies) == len(replies)
    for reply, own in zip(replies, written.replies, strict=True):
        assert own.start_frames == range(reply.start_sample // SPF, reply.start_sample // SPF + 1)
        assert own.end_frames.start == -(-reply.end_sample // SPF)
    if layout.name == "flm":
        of_replies = [ids for ids, event in zip(texts, coded.events, strict=True) if event.channel == "assistant"]
        for reply, own, ids in zip(replies, written.replies, of_replies, strict=True):
            assert list(own.text_ids) == ids[: own.room] and (reply.is_cut or own.room >= len(ids))
    assert [*layout.check(row, coded, texts)] == []


@given(LAYOUTS, turn_tracks(), st.data())
def test_check_finds_any_cell_that_changes(
    layout: Streams, given_track: tuple[CodedTrack, Texts], data: st.DataObject
) -> None:
    coded, texts = given_track
    texts = texts_of(layout, coded, texts)
    row = layout.encode(coded, texts)
    matrix = np.stack(row[STREAMS])
    cell = tuple(data.draw(st.integers(0, size - 1)) for size in matrix.shape)
    matrix[cell] += 1
    (found,) = layout.check(row | {STREAMS: list(matrix)}, coded, texts)
    assert f"in column {cell[1]}" in found


@given(LAYOUTS, turn_tracks())
def test_a_kind_for_each_cell(layout: Streams, given_track: tuple[CodedTrack, Texts]) -> None:
    """Nothing of the user's, nothing initial and no place without a code is to be learnt; all else is."""
    coded, texts = given_track
    row = layout.encode(coded, texts_of(layout, coded, texts))
    matrix, kinds = np.stack(row[STREAMS]), layout.kinds(row)
    names = np.array(layout.KINDS)[kinds]
    assert (names[4:] == "user").all() and not (names[:4] == "user").any()
    assert np.array_equal(names[1:4] == "empty", (matrix[1:4] == AUDIO_PAD) | (np.arange(matrix.shape[1]) == 0))
    assert set(names[1]) <= {"empty", "semantic"} and set(names[2:4].flat) <= {"empty", "acoustic"}
    for id_, kind in ((WAIT, "wait"), (PAD, "pad"), (EPAD, "epad"), (ASR, "text"), (ANSWER, "text")):
        if kind in layout.KINDS:
            assert (names[0, 1:][matrix[0, 1:] == id_] == kind).all()


@given(turn_tracks())
def test_words_of_moshi(given_track: tuple[CodedTrack, Texts]) -> None:
    """No word before its onset, each with EPAD before it where there is room, and none lost but to the next one."""
    coded, _ = given_track
    layout = moshi(3)
    numbers = [[index, 150] for index, _ in enumerate(layout.texts(coded))]
    text = layout.text_stream(coded, numbers)
    words = [word for event in coded.events for word in event.words or () if word.start_sample < word.end_sample]
    onsets = [1 + word.start_sample // SPF for word in words]
    for number, onset in enumerate(onsets):
        replaced = onset in onsets[number + 1 :]
        assert np.flatnonzero(text == number).tolist() == ([] if replaced else [onset])
        if not replaced:
            assert onset <= 1 or text[onset - 1] != PAD
    assert np.count_nonzero(text == EPAD) <= len(words)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({6: 7, 5: EPAD, 4: PAD}, "spoken from column 5 on, and the text stream has"),
        ({4: PAD}, "no EPAD is before it"),
        ({7: EPAD}, "EPAD is in column 7, and no word starts after it"),
        ({2: 9}, "a word in column 2, before any is spoken"),
    ],
)
def test_faults_of_words_that_no_loss_shows(fault: dict[int, int], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layout that writes such rows is found by the check of its own rows."""
    layout = moshi()
    coded = track([event("assistant", 4, 8, words=[word("hello", 4.9, 8)])], 12, texts=["hello"])
    assert [*layout.check(layout.encode(coded, [[7]]), coded, [[7]])] == []
    text_stream = Moshi.text_stream

    def faulty(self: Moshi, given: CodedTrack, texts: Sequence[Sequence[int]]) -> Ids:
        stream = text_stream(self, given, texts)
        stream[list(fault)] = list(fault.values())
        return stream

    monkeypatch.setattr(Moshi, "text_stream", faulty)
    found = [*layout.check(layout.encode(coded, [[7]]), coded, [[7]])]
    assert any(says in message for message in found)


def test_words_without_times_are_refused() -> None:
    coded = track([event("user", 0, 2), event("assistant", 4, 8, answers=0)], 12)
    with pytest.raises(DialogueRejected, match="words_unknown"):
        moshi().texts(coded)


def test_spaces_are_part_of_the_word_after_them() -> None:
    words = [word("Wait", 4, 5), word("-", 5, 5), word("wait!", 5, 8)]
    coded = track([event("assistant", 4, 8, words=words)], 12, texts=["Wait -wait!"])
    assert moshi().texts(coded) == ["Wait", "wait!"]
    chinese = [word("你", 4, 5), word("好。", 5, 8)]
    assert moshi().texts(track([event("assistant", 4, 8, words=chinese)], 12, texts=["你好。"])) == ["你", "好。"]
    again = [word("go", 4, 5), word("go", 5, 6)]
    assert moshi().texts(track([event("assistant", 4, 8, words=again)], 12, texts=["go go"])) == ["go", " go"]
    assert moshi(spaces=False).texts(track([event("assistant", 4, 8, words=again)], 12, texts=["go go"])) == [
        "go",
        "go",
    ]


@pytest.mark.parametrize(
    ("layout", "events", "reason"),
    [
        (flm("tts"), [event("user", 0, 2)], "speaks_on_empty_channel"),
        (flm("asr"), [event("assistant", 4, 6)], "speaks_on_empty_channel"),
        (flm(), [event("assistant", 1, 6)], "no_room_for_text"),
        (flm(), [event("assistant", 4, 5.5)], "text_overflow"),
        (flm(), [event("assistant", 3, 9), event("assistant", 11.5, 15)], "no_room_for_text"),
        (flm("asr_response_tts"), [event("user", 0, 2), event("assistant", 10, 15, answers=0)], "no_room_for_text"),
        (flm("asr"), [event("user", 0, 2), event("user", 3, 7)], "no_room_for_text"),
        (flm("asr"), [event("user", 0, 17)], "text_overflow"),
    ],
)
def test_what_does_not_fit(layout: Streams, events: Sequence[Event], reason: str) -> None:
    with pytest.raises(DialogueRejected) as raised:
        layout.encode(track(events, 18), [[1, 2, 3, 4, 5]] * len(events))
    assert raised.value.reason == reason


def test_ids_of_special_tokens_are_no_text() -> None:
    with pytest.raises(DialogueRejected, match="text_is_special"):
        flm().encode(track([event("assistant", 4, 9)], 18), [[1, WAIT]])


def test_codes_of_another_codec_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 3 codebooks"):
        flm(codebooks=3).encode(track([event("assistant", 4, 9)], 18), [[1]])
    row = flm().encode(track([event("assistant", 4, 9)], 18), [[1]])
    with pytest.raises(ValueError, match="expected 7 streams"):
        flm(codebooks=3).written(row)
    vocabulary = FLMVocabulary.build(FLMSection(), BytePairTokenizer(), MelVQ())
    assert [*vocabulary.check_codes(8, 2048)] == []
    assert [*vocabulary.check_codes(8, 1024)] and [*vocabulary.check_codes(4, 2048)]


@pytest.mark.parametrize(("vocabulary", "section"), [(FLMVocabulary, FLMSection()), (MoshiVocabulary, MoshiSection())])
def test_special_tokens_are_added_after_the_text(
    vocabulary: type[StreamVocabulary], section: FLMSection | MoshiSection
) -> None:
    built = vocabulary.build(section, BytePairTokenizer(), MelVQ())
    assert [special.id for special in built.special.values()] == [4096, 4097, 4098] and built.end_of_text == 4099
    assert (built.size, built.streams, built.audio.codes, built.audio.pad) == (4100, 17, 2048, 2048)
    assert built.audio_size == (2050 if vocabulary is FLMVocabulary else 2049)
    assert vocabulary.read(StreamIds.model_validate(built.ids()), built.text_size, built.end_of_text) == built


@pytest.mark.parametrize(
    ("section", "says"),
    [
        (MoshiSection(pad=3, epad=0), r"layout\.pad is 3, which is the word"),
        (MoshiSection(initial=32000), r"layout\.initial is 32000, which has no token"),
        (FLMSection(wait=151665), r"layout\.wait is 151665, which has no token"),
        (FLMSection(audio_pad=2047), "not be one of 2048 codes"),
        (FLMSection(audio_pad=2049), "must differ"),
    ],
)
def test_ids_that_a_recipe_gives_are_special_tokens(section: FLMSection | MoshiSection, says: str) -> None:
    vocabulary = FLMVocabulary if isinstance(section, FLMSection) else MoshiVocabulary
    with pytest.raises(UserError, match=says):
        vocabulary.build(section, BytePairTokenizer(), MelVQ())
