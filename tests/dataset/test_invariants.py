"""Each invariant of a row's events, ids and codes by a row that breaks it, and nothing else."""

from collections.abc import Callable
from typing import Any

import pytest

from duplexgen.pipeline.dataset.invariants import Checker

Row = dict[str, Any]
Check = Callable[[Row], list[str]]
USER_IDS, TEXT_IDS, BLOCK_IDS = 10, 5, 25


def slot(number: int) -> int:
    """Place in the sequence of a text slot."""
    return BLOCK_IDS * (number // TEXT_IDS) + USER_IDS + number % TEXT_IDS


def slots_of(row: Row, id_: int) -> list[int]:
    count = row["num_blocks"] * TEXT_IDS
    return [number for number in range(count) if row["input_ids"][slot(number)] == id_]


def test_what_is_built_breaks_none(rows: dict[str, list[Row]], check: Check) -> None:
    for built in (*rows["turn_taking"], *rows["interruption"]):
        assert check(built) == []
        assert check(built | {"audio": None}) == []


@pytest.mark.parametrize("place", [0, slot(0), slot(7), 24])
def test_the_end_of_text_stands_nowhere(row: Row, check: Check, place: int) -> None:
    row["input_ids"][place] = 6148
    assert "6148" in check(row)[0] and check(row)[0].startswith("the sequence cannot be taken apart")


def test_scenario(row: Row, check: Check) -> None:
    row["scenario"] = "interruption"
    assert check(row) == ["scenario is 'interruption', the recipe says 'turn_taking'"]


def test_ids_are_whole_blocks(row: Row, check: Check) -> None:
    row["input_ids"].pop()
    count = row["num_blocks"]
    assert check(row) == [f"{count * 25 - 1} ids are not {count} blocks of 25"]
    row["num_blocks"] += 1
    frames = len(row["user_codes"][0]) - 40
    assert check(row) == [f"num_blocks is {count + 1}, that of {frames} frames is {count}"]


def test_sequence_comes_apart(row: Row, check: Check, checkers: dict[str, Checker]) -> None:
    epad = slots_of(row, checkers["turn_taking"].layout.vocabulary.epad)  # type: ignore[attr-defined]
    row["input_ids"][slot(epad[0])] = row["input_ids"][0]
    assert check(row) == [
        f"the sequence cannot be taken apart: text slot {epad[0]}: expected [EPAD] to end the reply of slot "
        f"{slots_of(row, checkers['turn_taking'].layout.vocabulary.assistant)[0]}"  # type: ignore[attr-defined]
    ]


def test_ids_of_a_channel_are_audio(row: Row, check: Check) -> None:
    row["input_ids"][0] = row["input_ids"][slot(0)]
    (message,) = check(row)
    assert message.startswith("the sequence cannot be taken apart: ")


@pytest.mark.parametrize("channels", [["user"], ["assistant", "user"], ["user", "user"]])
def test_turns_alternate(row: Row, check: Check, channels: list[str]) -> None:
    fields = {"answers": None, "kind": "turn"}
    row["events"] = [of | fields | {"channel": name} for of, name in zip(row["events"], channels, strict=False)]
    messages = check(row)
    assert "turns do not alternate from user to assistant" in messages
    assert f"the sequence has 2 replies for {channels.count('assistant')} of the assistant's events" in messages


def test_something_is_heard(row: Row, check: Check) -> None:
    row["events"] = []
    assert check(row) == ["it has no events"]


def test_lead_in(row: Row, check: Check) -> None:
    row["events"][0]["start_sample"] = 12801
    row["events"][0]["words"] = None
    assert check(row) == ["the first turn starts at sample 12801, outside lead_in_s"]


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("damage", ["before", "after", "empty", "whole", "backwards"])
def test_events_lie_on_the_track(row: Row, check: Check, index: int, damage: str) -> None:
    event, frames = row["events"][index], len(row["user_codes"][0]) - 40
    start, end, past = event["start_sample"], event["end_sample"], frames * 1280
    event |= {
        "before": {"start_sample": -1},
        "after": {"end_sample": past + 1, "whole_end_sample": past + 1},
        "empty": {"end_sample": start, "whole_end_sample": start},
        "whole": {"whole_end_sample": end - 1},
        "backwards": {"start_sample": end, "end_sample": start, "whole_end_sample": start},
    }[damage]
    messages = check(row)
    assert any(says.startswith(f"event {index} lies at [") and f"of {past} samples" in says for says in messages)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"channel": "system"}, "event 1 is on the channel 'system', expected user or assistant"),
        ({"answers": 4}, "event 1: answers is 4, expected an event of the other channel"),
        ({"answers": -1}, "event 1: answers is -1, expected an event of the other channel"),
        ({"answers": 1}, "event 1: answers is 1, expected an event of the other channel"),
        ({"answers": 3}, "event 1: answers is 3, expected an event of the other channel"),
        ({"cut_by": 99}, "event 1: cut_by is 99, expected an event of the other channel"),
        ({"cut_by": 2}, "event 1: cut_by and whole_end_sample disagree on whether it is cut"),
        ({"answers": None}, "event 1 answers None, expected 0"),
        ({"answers": 2}, "event 1 answers 2, expected 0"),
        ({"kind": "barge_in"}, "event 1 is of the kind 'barge_in', expected turn"),
        ({"kind": "backchannel"}, "event 1 is of the kind 'backchannel', expected turn"),
        ({"text": " ", "spoken_text": " ", "words": None}, "event 1 has no text"),
        ({"voice": "user_00"}, "event 1 has the voice 'user_00', expected 'assistant'"),
    ],
)
def test_what_an_event_says(row: Row, check: Check, change: Row, says: str) -> None:
    row["events"][1] |= change
    assert says in check(row)


def test_events_are_in_order(row: Row, check: Check) -> None:
    row["events"] = row["events"][::-1]
    assert "event 1 starts before event 0, and events are in order of their starts" in check(row)


def test_a_user_has_one_voice(row: Row, check: Check) -> None:
    row["events"][2]["voice"] = "user_99"
    assert check(row) == [f"event 2 has the voice 'user_99', expected {row['events'][0]['voice']!r}"]


def test_spoken_text(row: Row, cut: Row, check: Check) -> None:
    for damaged, index in ((row, 1), (cut, 1)):
        event = damaged["events"][index] | {"words": None}
        for uncut in damaged["assistant_uncut_codes"] or ():
            uncut["words"] = None if uncut["event"] == index else uncut["words"]
        event["spoken_text"] = event["spoken_text"][1:] if damaged is cut else event["text"].rsplit(" ", 1)[0]
        damaged["events"][index] = event
        part = "the beginning of its text" if damaged is cut else "its text"
        assert check(damaged) == [f"event 1: spoken_text is not {part}"]


def test_words(row: Row, cut: Row, check: Check) -> None:
    """Those that are heard, in order, within their event."""
    for damaged in (row, cut):
        event = damaged["events"][1]
        words, end = event["words"], event["end_sample"]
        assert words and len(words) > 2
        wrong = {
            "before": [words[0] | {"start_sample": event["start_sample"] - 1}, *words[1:]],
            "after": [*words[:-1], words[-1] | {"end_sample": end + 1}],
            "backwards": [words[0] | {"end_sample": words[0]["start_sample"] - 1}, *words[1:]],
            "another order": words[::-1],
            "one less": words[:-1],
            "the first less": words[1:],
            "one more": [*words, {"text": "more", "start_sample": end, "end_sample": end}],
            "another": [*words[:-1], words[-1] | {"text": "x"}],
            "nothing": [*words[:-1], words[-1] | {"text": ""}],
            "none": [],
        }
        for what, changed in wrong.items():
            event["words"] = changed
            message, *more = check(damaged)
            assert message.startswith("event 1: ") and "word" in message, what
            assert more in ([], ["event 1: its words are not the first of the whole reply"]), what
        event["words"] = None
        if damaged is cut:
            assert check(damaged) == ["event 1: the words of either what is heard or the whole reply are missing"]
            damaged["assistant_uncut_codes"][0]["words"] = None
        assert check(damaged) == []


def test_words_of_the_whole_reply(cut: Row, check: Check) -> None:
    """Where it is cut, the words that would follow are there, too; the first of them are those that are heard."""
    uncut, event = cut["assistant_uncut_codes"][0], cut["events"][1]
    words, heard = uncut["words"], len(event["words"])
    assert " ".join(word["text"] for word in words) == event["text"] and heard < len(words)
    end = event["whole_end_sample"]
    wrong = {
        "one less": words[:-1],
        "another": [*words[:-1], words[-1] | {"text": "x"}],
        "after its end": [*words[:-1], words[-1] | {"end_sample": end + 1}],
        "moved": [words[0] | {"start_sample": words[0]["start_sample"] - 1}, *words[1:]],
        "none": None,
    }
    for what, changed in wrong.items():
        uncut["words"] = changed
        assert check(cut) and all("word" in message for message in check(cut)), what


def test_silence_at_the_end(row: Row, check: Check) -> None:
    frames = -(-row["events"][-1]["end_sample"] // 1280)
    less = len(row["user_codes"][0]) - 40 - frames
    for column in ("user_codes", "assistant_codes"):
        row[column] = [codebook[: frames + 40] for codebook in row[column]]
    assert less > 0 and "the last event leaves less silence than tail_s" in check(row)


def test_reply_delay(row: Row, check: Check) -> None:
    event = row["events"][0]
    event |= {"end_sample": event["end_sample"] - 1, "whole_end_sample": event["end_sample"] - 1, "words": None}
    assert check(row) == ["event 1 starts 12801 samples after the user's end, not reply_delay_s"]


def test_gap_before_the_next_turn(row: Row, check: Check) -> None:
    row["events"][2]["words"] = None
    whole = dict(row["events"][2])
    for gap in (7999, 48001):
        start, end = row["events"][1]["end_sample"] + gap, row["events"][2]["end_sample"]
        end = max(end, start + 1)
        row["events"][2] |= {"start_sample": start, "end_sample": end, "whole_end_sample": end}
        assert f"event 2 starts {gap} samples after the assistant's end, outside next_turn_gap_s" in check(row)
    row["events"][2] = whole | {"start_sample": row["events"][1]["end_sample"] + 8000}
    assert check(row) == []


def test_reaction_delay(cut: Row, check: Check) -> None:
    cut["events"][2] |= {"start_sample": cut["events"][1]["end_sample"] - 12799, "words": None}
    assert check(cut) == ["event 1 stops 12799 samples after the barge-in, outside reaction_delay_s"]


def test_heard_before_the_barge_in(cut: Row, check: Check) -> None:
    cut["events"][2] |= {"start_sample": cut["events"][1]["start_sample"] + 7999, "words": None}
    assert "event 1 is cut before heard_before_barge_in_s" in check(cut)


def test_something_is_cut(cut: Row, check: Check) -> None:
    for event in cut["events"]:
        whole = {"whole_end_sample": event["end_sample"], "cut_by": None, "kind": "turn"}
        event.update(whole | {"spoken_text": event["text"], "words": None})
    messages = check(cut)
    assert "no reply is cut" in messages
    assert "assistant_uncut_codes are not those of the replies that are cut" in messages


@pytest.mark.parametrize("damage", ["none", "another event", "twice", "early", "late", "short", "long"])
def test_uncut_codes_are_of_the_replies_that_are_cut(cut: Row, check: Check, damage: str) -> None:
    first, *rest = cut["assistant_uncut_codes"]
    codes, start = first["codes"], first["first_frame"]
    longer = [[*codebook, 0] for codebook in codes]
    before = start - cut["events"][1]["start_sample"] // 1280 + 1
    cut["assistant_uncut_codes"] = {
        "none": [],
        "another event": [first | {"event": 3}, *rest],
        "twice": [first, first, *rest],
        "early": [first | {"first_frame": start - before, "codes": [[0] * before + book for book in codes]}, *rest],
        "late": [first | {"first_frame": start + 5, "codes": [book[5:] for book in codes]}, *rest],
        "short": [first | {"codes": [book[:-1] for book in codes]}, *rest],
        "long": [first | {"codes": longer}, *rest],
    }[damage]
    (message,) = check(cut)
    assert message.startswith("assistant_uncut_codes ")


@pytest.mark.parametrize("damage", ["codebook", "ragged", "no code"])
def test_shape_of_uncut_codes(cut: Row, check: Check, damage: str) -> None:
    uncut = cut["assistant_uncut_codes"][0]
    frames = len(uncut["codes"][0])
    if damage == "no code":
        uncut["codes"][3][0] = 2048
        (message,) = check(cut)
        assert message.startswith("assistant_uncut_codes has codes ") and message.endswith(" … 2048, expected 0 … 2047")
        return
    uncut["codes"] = uncut["codes"][1:] if damage == "codebook" else [*uncut["codes"][:-1], uncut["codes"][-1][1:]]
    assert check(cut) == [f"assistant_uncut_codes does not have the shape [8, {frames}]"]


def test_a_row_is_no_longer_than_its_margin(row: Row, check: Check) -> None:
    for column in ("user_codes", "assistant_codes"):
        row[column] = [codebook[:40] for codebook in row[column]]
    assert "user_codes has no more frames than the margin of 40" in check(row)


@pytest.mark.parametrize("column", ["user_codes", "assistant_codes"])
@pytest.mark.parametrize("damage", ["codebook", "frame", "nothing"])
def test_shape_of_codes(cut: Row, check: Check, column: str, damage: str) -> None:
    codebooks, frames = len(cut[column]), len(cut[column][0])
    if damage == "frame":
        cut[column][1].pop()
    else:
        cut[column] = cut[column][1:] if damage == "codebook" else []
    says = f"{column} does not have the shape [{codebooks}, {frames}]"
    empty = "user_codes has no more frames than the margin of 40"
    assert (empty if column == "user_codes" and damage == "nothing" else says) in check(cut)


def test_users_ids_are_the_codes(row: Row, check: Check) -> None:
    row["user_codes"][0][7] ^= 1
    assert check(row) == ["the user's ids are not user_codes"]


def test_assistants_ids_are_the_codes(row: Row, check: Check) -> None:
    row["assistant_codes"][0][row["num_blocks"] * 10 + 9] ^= 1
    assert check(row) == ["the assistant's ids are not assistant_codes, one block ahead"]


def test_uncut_codes(rows: dict[str, list[Row]], checkers: dict[str, Checker]) -> None:
    whole, cut = rows["turn_taking"][0], rows["interruption"][1]
    expected = ["assistant_uncut_codes are not those of the replies that are cut"]
    uncut = [one | {"event": 1} for one in cut["assistant_uncut_codes"][:1]]
    assert list(checkers["turn_taking"].check(whole | {"assistant_uncut_codes": uncut})) == expected
    assert list(checkers["interruption"].check(cut | {"assistant_uncut_codes": None})) == expected


def test_replies_are_counted(row: Row, check: Check, checkers: dict[str, Checker]) -> None:
    vocabulary = checkers["turn_taking"].layout.vocabulary  # type: ignore[attr-defined]
    start, end = (slots_of(row, id_)[-1] for id_ in (vocabulary.assistant, vocabulary.epad))
    for number in range(start, end + 1):
        row["input_ids"][slot(number)] = vocabulary.silence
    assert check(row) == ["the sequence has 1 replies for 2 of the assistant's events"]


def move(row: Row, number: int, by: int) -> None:
    ids = row["input_ids"]
    ids[slot(number)], ids[slot(number + by)] = ids[slot(number + by)], ids[slot(number)]


def test_slot_of_assistant(row: Row, check: Check, checkers: dict[str, Checker]) -> None:
    start = slots_of(row, checkers["turn_taking"].layout.vocabulary.assistant)[1]  # type: ignore[attr-defined]
    move(row, start, -1)
    row["input_ids"][slot(start)] = row["input_ids"][slot(start + 1)]  # a text token where [ASSISTANT] stood
    assert check(row) == [
        "reply 2: [ASSISTANT] does not fit start_sample",
        "reply 2: the text channel does not say its text",
    ]


def test_slot_of_epad(row: Row, check: Check, checkers: dict[str, Checker]) -> None:
    vocabulary = checkers["turn_taking"].layout.vocabulary  # type: ignore[attr-defined]
    end = slots_of(row, vocabulary.epad)[0]
    move(row, end, 1)
    row["input_ids"][slot(end)] = vocabulary.pad
    assert check(row) == ["reply 1: [EPAD] does not fit end_sample"]


@pytest.mark.parametrize("change", ["another", "fewer"])
def test_text_channel(row: Row, cut: Row, check: Check, checkers: dict[str, Checker], change: str) -> None:
    vocabulary = checkers["turn_taking"].layout.vocabulary  # type: ignore[attr-defined]
    for damaged in (row, cut):
        start, end = (slots_of(damaged, id_)[0] for id_ in (vocabulary.assistant, vocabulary.epad))
        last = max(n for n in range(start + 1, end) if damaged["input_ids"][slot(n)] != vocabulary.pad)
        old = damaged["input_ids"][slot(last)]
        damaged["input_ids"][slot(last)] = vocabulary.pad if change == "fewer" else (old + 1) % vocabulary.text_size
        assert check(damaged) == ["reply 1: the text channel does not say its text"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"channel": "nobody"}, "speech_activity 2 is on the channel 'nobody'"),
        ({"start_sample": -1}, "speech_activity 2 lies at [-1, "),
        ({"start_sample": 10**9}, "speech_activity 2 lies at [1000000000, "),
        ({"end_sample": 0}, "speech_activity 2 lies at ["),
        ({"end_sample": 10**9}, "speech_activity 2 lies at ["),
    ],
)
def test_voice_activity_lies_on_the_track(row: Row, check: Check, change: Row, says: str) -> None:
    assert len(row["speech_activity"]) > 3
    row["speech_activity"][2] |= change
    assert any(message.startswith(says) for message in check(row))


def test_voice_activity_is_in_order(row: Row, check: Check) -> None:
    row["speech_activity"].reverse()
    assert any("or before the one before it" in message for message in check(row))
