"""Pairs of rows: what stays, what moves and by how much, and when there is no room for a negative."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.layouts.bayling import BaylingLayout
from duplexgen.pipeline.layouts.streams import Ids, Reply, Streams
from duplexgen.pipeline.layouts.vocabulary import Vocabulary
from duplexgen.pipeline.pairs.maker import PairMaker
from duplexgen.pipeline.pairs.recipe import PairsRecipe
from duplexgen.pipeline.tokens.section import Tokens
from duplexgen.pipeline.tokens.tokenizers import TEXT_TOKENIZERS

SPF, RATE, SILENT, TALK, USER = 1280, 16000, 0, 500, 900
SECOND = RATE
VOCABULARY = Vocabulary(
    silence=4096, assistant=4097, pad=4098, epad=4099, audio_first_id=4100, audio_size=2048, text_size=4096
)
LAYOUT = BaylingLayout(VOCABULARY, SPF)
ENCODE = TEXT_TOKENIZERS["bpe"](Tokens()).encode
TEXT = "It is on the corner of the market square."


def maker(layout: BaylingLayout = LAYOUT, **changes: Any) -> PairMaker:
    recipe = PairsRecipe.model_validate({"name": "test"} | changes)
    return PairMaker(recipe, layout, RATE, fade_samples=480, encode_text=ENCODE)


def turn(role: str, start: int, end: int, uncut: int | None = None) -> dict[str, Any]:
    return {
        "role": role,
        "text": TEXT,
        "start_sample": start,
        "end_sample": end,
        "interrupted": uncut is not None,
        "uncut_end_sample": uncut,
    }


def spoken(turns: list[dict[str, Any]], role: str, frames: int, end: str = "end_sample") -> Any:
    """Codes that tell which frame of which turn is spoken where, so that a frame out of place shows."""
    codes = np.full(frames, SILENT, np.int16)
    for index, each in enumerate(turns):
        if each["role"] == role:
            first, past = each["start_sample"] // SPF, -(-(each[end] or each["end_sample"]) // SPF)
            codes[first:past] = {"user": USER, "assistant": TALK}[role] + 100 * index + np.arange(past - first)
    return codes


def row(turns: list[dict[str, Any]], tail: int = SECOND, layout: BaylingLayout = LAYOUT) -> dict[str, Any]:
    block = layout.block_samples
    frames = -(-(max(each["end_sample"] for each in turns) + tail) // block) * layout.user_tokens
    replies = tuple(
        Reply(tuple(ENCODE(each["text"])), each["start_sample"], each["end_sample"], each["interrupted"])
        for each in turns
        if each["role"] == "assistant"
    )
    user, assistant = (spoken(turns, role, frames + layout.user_tokens) for role in ("user", "assistant"))
    interruption = any(each["interrupted"] for each in turns)
    return {
        "dialogue_id": "talk/0",
        "scenario": "interruption" if interruption else "turn_taking",
        "turns": turns,
        "input_ids": layout.encode(Streams(user[None, : -layout.user_tokens], assistant[None], replies)),
        "uncut_codes": spoken(turns, "assistant", frames, "uncut_end_sample") if interruption else None,
    }


def two_exchanges(gap: int = 3 * SECOND) -> list[dict[str, Any]]:
    """A user's turn of 2 s and a reply of 4 s, the user again after `gap`, and a reply."""
    first = turn("user", 0, 2 * SECOND), turn("assistant", 44800, 44800 + 4 * SECOND)
    again = first[1]["end_sample"] + gap
    answer = again + 2 * SECOND + 12800
    return [*first, turn("user", again, again + 2 * SECOND), turn("assistant", answer, answer + 4 * SECOND)]


def interrupted(question: int = 5 * SECOND, uncut: int = 5 * SECOND, reaction: int = SECOND) -> list[dict[str, Any]]:
    """A reply that the user interrupts after 3 s with a question of this length; times are from the barge-in."""
    barge_in = 44800 + 3 * SECOND
    answer = barge_in + question + 12800
    return [
        turn("user", 0, 2 * SECOND),
        turn("assistant", 44800, barge_in + reaction, barge_in + uncut),
        turn("user", barge_in, barge_in + question),
        turn("assistant", answer, answer + 4 * SECOND),
    ]


def channels(ids: Ids, layout: BaylingLayout = LAYOUT) -> tuple[Ids, Ids, Ids]:
    blocks = ids.reshape(-1, layout.ids_per_block)
    n, m = layout.user_tokens, layout.text_tokens
    return blocks[:, :n].reshape(-1), blocks[:, n : n + m].reshape(-1), blocks[:, n + m :].reshape(-1)


def seeds(turns: list[dict[str, Any]], number: int = 40, **changes: Any) -> list[Any]:
    return [maker(seed=seed, **changes).pair(row(turns)) for seed in range(number)]


def test_late_reply_by_hand() -> None:
    """Frames and slots of one reply, moved by 1.28 s: 16 frames, 8 slots."""
    turns = two_exchanges()[:2]
    pair = maker(reply_delay_s=[2.08, 2.08]).pair(row(turns))
    assert (pair.turn, pair.chosen_delay_samples, pair.rejected_delay_samples) == (1, 12800, 33280)
    (_, text, audio), (_, late_text, late_audio) = channels(pair.chosen_ids), channels(pair.rejected_ids)
    assert (text.tolist().index(4097), late_text.tolist().index(4097)) == (11, 19)  # (35 - 10) * 5 // 10 - 1
    assert (text.tolist().index(4099), late_text.tolist().index(4099)) == (38, 46)  # ceil((85 - 10) / 2)
    assert text[12:38].tolist() == late_text[20:46].tolist()
    assert len(pair.chosen_ids) == len(pair.rejected_ids) == 25 * 10  # slot 46 lies in block 9
    spoken_ids = VOCABULARY.audio_ids(TALK + 100 + np.arange(50))
    assert audio[25:75].tolist() == spoken_ids.tolist() == late_audio[41:91].tolist()
    assert set(np.delete(late_audio, np.arange(41, 91)).tolist()) == {4100}


@pytest.mark.parametrize("turn_", ["random", "last"])
def test_starting_late(turn_: str) -> None:
    pairs = seeds(two_exchanges(), turn=turn_)
    assert {pair.turn for pair in pairs} == ({1, 3} if turn_ == "random" else {3})
    for pair in pairs:
        assert (pair.difference_samples % 2560, pair.chosen_delay_samples) == (0, 12800)
        assert 2 * SECOND <= pair.rejected_delay_samples <= 5 * SECOND
        user, text, audio = channels(pair.chosen_ids)
        late_user, late_text, late_audio = channels(pair.rejected_ids)
        assert user.tolist() == late_user.tolist()
        slots = pair.difference_samples // 2560
        assert text[: len(text) - slots][text[: len(text) - slots] != 4096].tolist() == (
            late_text[late_text != 4096].tolist()
        )
        assert len(late_text) - 5 <= np.flatnonzero(late_text == 4099)[-1]
        assert audio[audio != 4100].tolist() == late_audio[late_audio != 4100].tolist()
    assert len({pair.rejected_delay_samples for pair in pairs}) > 10


def test_after_the_end_both_sides_go_on_with_silence_of_their_own() -> None:
    given = row(two_exchanges())
    longest = max((maker(seed=seed, turn="last").pair(given) for seed in range(20)), key=lambda p: len(p.chosen_ids))
    length = len(given["input_ids"])
    assert len(longest.chosen_ids) > length
    assert longest.chosen_ids[:length].tolist() == given["input_ids"].tolist()
    user, text, audio = channels(longest.chosen_ids[length:])
    assert (set(user.tolist()), set(text.tolist()), set(audio.tolist())) == ({4100}, {4096}, {4100})


def test_neither_side_holds_anything_of_the_next_reply() -> None:
    for gap in range(8000, 2 * SECOND, 1234):
        for seed in range(30):
            pair = maker(seed=seed).pair(row(two_exchanges(gap)))
            replies = [LAYOUT.decode(ids).replies for ids in (pair.chosen_ids, pair.rejected_ids)]
            assert len(replies[0]) == len(replies[1]) == (pair.turn + 1) // 2
            answers = VOCABULARY.audio_ids(TALK + 300 + np.arange(50))
            assert pair.turn == 3 or not np.isin(answers, np.concatenate([pair.chosen_ids, pair.rejected_ids])).any()


def test_first_reply_is_left_alone_where_the_next_comes_too_soon() -> None:
    turns = two_exchanges(8000)
    for index, key in ((2, "end_sample"), (3, "start_sample"), (3, "end_sample")):
        turns[index][key] -= 25600  # a question of 0.4 s
    assert {pair.turn for pair in seeds(turns)} == {3}
    with pytest.raises(DialogueRejected) as rejected:
        maker(reply_delay_s=[0.5, 0.9]).pair(row(turns))
    assert rejected.value.reason == "delays_out_of_range"


def test_talking_on() -> None:
    for pair in seeds(interrupted()):
        given = row(interrupted())
        assert pair.chosen_ids.tolist() == given["input_ids"].tolist()
        assert (pair.turn, pair.chosen_delay_samples) == (1, SECOND)
        assert 3 * SECOND <= pair.rejected_delay_samples <= 5 * SECOND
        assert not pair.capped
        stop = given["turns"][2]["start_sample"] + pair.rejected_delay_samples
        (_, _, audio), (_, text, late) = channels(pair.chosen_ids), channels(pair.rejected_ids)
        past = -(-stop // SPF) - 10
        assert late[:past].tolist() == VOCABULARY.audio_ids(given["uncut_codes"][10 : past + 10]).tolist()
        assert late[past:].tolist() == audio[past:].tolist()
        assert LAYOUT.epad_slot(stop) == np.flatnonzero(text == 4099)[0]
        decoded = LAYOUT.decode(pair.rejected_ids).replies
        assert decoded[0].text_ids == tuple(ENCODE(TEXT))
        assert decoded[1] == LAYOUT.decode(pair.chosen_ids).replies[1]


def test_text_of_a_reply_that_was_cut_in_the_middle_goes_on() -> None:
    turns = interrupted()
    for each in turns:
        each["text"] = TEXT * 6
    turns[3]["end_sample"] += 20 * SECOND
    given = row(turns)
    written = LAYOUT.decode(given["input_ids"]).replies[0].text_ids
    assert written == tuple(ENCODE(TEXT * 6))[: len(written)]
    for seed in range(10):
        pair = maker(seed=seed).pair(given)
        late = LAYOUT.decode(pair.rejected_ids).replies[0]
        assert late.text_ids == tuple(ENCODE(TEXT * 6))[: late.epad_slot - late.assistant_slot - 1]
        assert len(late.text_ids) > len(written)


def test_a_reply_that_ends_by_itself_is_capped_there() -> None:
    for pair in seeds(interrupted(uncut=2 * SECOND + 100)):
        assert (pair.capped, pair.rejected_delay_samples) == (True, 2 * SECOND + 100)


def test_a_reply_stops_before_the_next_one() -> None:
    for question in range(2 * SECOND, 3 * SECOND, 777):
        turns = interrupted(question)
        for pair in seeds(turns, 5):
            assert pair.capped
            replies = LAYOUT.decode(pair.rejected_ids).replies
            assert replies[0].epad_slot == replies[1].assistant_slot - 1
            answer = channels(pair.rejected_ids)[2][turns[3]["start_sample"] // SPF - 10 :]
            assert answer.tolist() == channels(pair.chosen_ids)[2][-len(answer) :].tolist()


@pytest.mark.parametrize(
    ("turns", "reason", "says"),
    [
        (interrupted(question=SECOND), "next_reply_too_soon", "turn 1 can be 0.40 s later at most"),
        (interrupted(uncut=2 * SECOND - 160), "reply_ends_too_soon", "turn 1 can be 0.99 s later at most"),
    ],
)
def test_no_room(turns: list[dict[str, Any]], reason: str, says: str) -> None:
    with pytest.raises(DialogueRejected) as rejected:
        maker().pair(row(turns))
    assert rejected.value.reason == reason
    assert rejected.value.detail.startswith(says)
    assert maker(least_difference_s=0.3).pair(row(turns)).difference_samples < SECOND


def test_no_silence_to_wait_in() -> None:
    turns = two_exchanges()[:2]
    given = row(turns)
    given["turns"] = [turns[0] | {"end_sample": 10**6}, turns[1] | {"start_sample": 10**6 + 12800}]
    given["turns"][1]["end_sample"] = 10**6 + 12800 + SECOND
    with pytest.raises(DialogueRejected) as rejected:
        maker().pair(given)
    assert rejected.value.reason == "no_silence"


def test_draws_depend_on_seed_and_dialogue_alone() -> None:
    given = row(two_exchanges())
    same, again = maker().pair(given), maker().pair(given)
    assert same.rejected_ids.tolist() == again.rejected_ids.tolist()
    others = [maker(seed=1).pair(given), maker().pair(given | {"dialogue_id": "talk/1"})]
    assert all(other.rejected_delay_samples != same.rejected_delay_samples for other in others)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([(10, 5), (4, 4), (6, 4), (13, 26)]),
    st.sampled_from([-1, 0]),
    st.integers(0, 40000),
    st.integers(30000, 90000),
    st.integers(8000, 60000),
    st.integers(0, 99),
)
def test_any_layout(ratio: tuple[int, int], offset: int, end: int, length: int, gap: int, seed: int) -> None:
    """A reply moves by whole slots, its codes and text with it, in blocks of any shape."""
    layout = replace(LAYOUT, user_tokens=ratio[0], text_tokens=ratio[1], ast_offset=offset)
    turns = two_exchanges(gap)
    moved = [each | {key: each[key] + end for key in ("start_sample", "end_sample")} for each in turns]
    moved[3]["end_sample"] = moved[3]["start_sample"] + length + 40000
    pair = maker(layout, seed=seed).pair(row(moved, layout=layout))
    left, right = (layout.decode(ids) for ids in (pair.chosen_ids, pair.rejected_ids))
    assert left.user_codes.tolist() == right.user_codes.tolist()
    chosen, late = left.replies[-1], right.replies[-1]
    frames = pair.difference_samples // SPF
    assert pair.difference_samples % SPF == 0
    assert (late.assistant_slot - chosen.assistant_slot) * ratio[0] == frames * ratio[1]
    assert late.epad_slot - chosen.epad_slot == late.assistant_slot - chosen.assistant_slot
    assert (late.text_ids, left.replies[:-1]) == (chosen.text_ids, right.replies[:-1])
    spoken_left, spoken_right = (np.flatnonzero(streams.assistant_codes[0] >= TALK) for streams in (left, right))
    own = spoken_left >= moved[pair.turn]["start_sample"] // SPF - ratio[0]
    assert spoken_right.tolist() == (spoken_left + frames * own).tolist()
