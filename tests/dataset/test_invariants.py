"""Each invariant of a row's turns, ids and codes by a row that breaks it, and nothing else."""

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


@pytest.mark.parametrize("roles", [[], ["user"], ["assistant", "user"], ["user", "user"]])
def test_turns_alternate(row: Row, check: Check, roles: list[str]) -> None:
    row["turns"] = [turn | {"role": role} for turn, role in zip(row["turns"], roles, strict=False)]
    replies = roles.count("assistant")
    assert "turns do not alternate from user to assistant" in check(row)
    assert f"the sequence has 2 replies for {replies} assistant turns" in check(row)


def test_lead_in(row: Row, check: Check) -> None:
    row["turns"][0]["start_sample"] = 12801
    assert check(row) == ["the first turn starts at sample 12801, outside lead_in_s"]


def test_turns_lie_on_the_track(row: Row, check: Check) -> None:
    end = row["turns"][0]["end_sample"]
    row["turns"][0]["start_sample"] = -1
    length = row["num_blocks"] * 12800
    assert check(row) == [
        "the first turn starts at sample -1, outside lead_in_s",
        f"turn 0 lies at [-1, {end}) of {length} samples",
    ]


def test_interrupted_turns_have_a_reaction(row: Row, cut: Row, check: Check) -> None:
    gap = cut["turns"][2]["start_sample"] - cut["turns"][1]["end_sample"]
    cut["turns"][1]["reaction_samples"] = None
    assert check(cut) == [
        "turn 1: interrupted and reaction_samples disagree",
        f"turn 2 starts {gap} samples after the assistant's end, outside next_turn_gap_s",
    ]
    row["turns"][3]["reaction_samples"] = 16000
    assert check(row) == ["turn 3: interrupted and reaction_samples disagree"]


@pytest.mark.parametrize("index", [2, -1])
def test_only_a_reply_that_is_followed_is_interrupted(cut: Row, check: Check, index: int) -> None:
    index %= len(cut["turns"])
    end = cut["turns"][index]["end_sample"]
    cut["turns"][index] |= {"interrupted": True, "reaction_samples": 16000, "uncut_end_sample": end}
    assert f"turn {index} is interrupted, but is no reply that a turn of the user follows" in check(cut)


def test_spoken_text(row: Row, cut: Row, check: Check) -> None:
    row["turns"][1]["spoken_text"] = row["turns"][1]["text"].rsplit(" ", 1)[0]
    assert check(row) == ["turn 1: spoken_text is not what is heard of its text"]
    cut["turns"][1]["spoken_text"] += " indeed"
    assert check(cut) == ["turn 1: spoken_text is not what is heard of its text"]


def test_voices(row: Row, check: Check) -> None:
    row["turns"][2]["voice"] = "user_99"
    row["turns"][3]["voice"] = "user_00"
    assert check(row) == ["turn 2 has the voice 'user_99'", "turn 3 has the voice 'user_00'"]


def test_silence_at_the_end(row: Row, check: Check) -> None:
    blocks = -(-row["turns"][-1]["end_sample"] // 12800)
    row["num_blocks"] = blocks
    row["input_ids"] = row["input_ids"][: blocks * BLOCK_IDS]
    for column in ("user_codes", "assistant_codes"):
        row[column] = [codebook[: blocks * 10] for codebook in row[column]]
    assert "the last turn leaves less silence than tail_s" in check(row)


def test_reply_delay(row: Row, check: Check) -> None:
    row["turns"][0]["end_sample"] -= 1
    assert check(row) == ["turn 1 starts 12801 samples after the user's end, not reply_delay_s"]


def test_gap_before_the_next_turn(row: Row, check: Check) -> None:
    for gap in (7999, 48001):
        row["turns"][2]["start_sample"] = row["turns"][1]["end_sample"] + gap
        assert f"turn 2 starts {gap} samples after the assistant's end, outside next_turn_gap_s" in check(row)
    row["turns"][2]["start_sample"] = row["turns"][1]["end_sample"] + 8000
    assert check(row) == []


def test_stop_after_the_barge_in(cut: Row, check: Check) -> None:
    reaction = cut["turns"][1]["reaction_samples"]
    cut["turns"][1]["reaction_samples"] -= 1
    assert check(cut) == [f"turn 1 stops {reaction} samples after the barge-in, not reaction_samples"]


def test_reaction_delay(cut: Row, check: Check) -> None:
    cut["turns"][2]["start_sample"] = cut["turns"][1]["end_sample"] - 12799
    cut["turns"][1]["reaction_samples"] = 12799
    assert check(cut) == ["turn 1: reaction_samples 12799 is outside reaction_delay_s"]


def test_heard_before_the_barge_in(cut: Row, check: Check) -> None:
    reaction = cut["turns"][1]["end_sample"] - cut["turns"][1]["start_sample"] - 7999
    cut["turns"][2]["start_sample"] = cut["turns"][1]["start_sample"] + 7999
    cut["turns"][1]["reaction_samples"] = reaction
    assert "turn 1 is interrupted before heard_before_barge_in_s" in check(cut)


def test_where_the_uncut_reply_ends(row: Row, cut: Row, check: Check) -> None:
    end, last = cut["turns"][1]["end_sample"], cut["num_blocks"] * 12800
    for wrong in (end - 1, last + 1):
        cut["turns"][1]["uncut_end_sample"] = wrong
        assert check(cut) == [f"turn 1: uncut_end_sample {wrong} does not lie between its end and the track's"]
    cut["turns"][1]["uncut_end_sample"] = None
    assert check(cut) == ["turn 1: interrupted and uncut_end_sample disagree"]
    row["turns"][1]["uncut_end_sample"] = end
    assert check(row) == ["turn 1: interrupted and uncut_end_sample disagree"]


def test_interruptions_fit_the_scenario(cut: Row, check: Check) -> None:
    for turn in cut["turns"]:
        turn |= {"interrupted": False, "reaction_samples": None, "uncut_end_sample": None, "spoken_text": turn["text"]}
    found = check(cut)
    assert "interrupted turns do not fit the scenario 'interruption'" in found
    assert "assistant_uncut_codes and the interrupted turns disagree" in found


@pytest.mark.parametrize("column", ["user_codes", "assistant_codes", "assistant_uncut_codes"])
@pytest.mark.parametrize("damage", ["codebook", "frame", "nothing"])
def test_shape_of_codes(cut: Row, check: Check, column: str, damage: str) -> None:
    codebooks = len(cut[column])
    if damage == "frame":
        cut[column][0].pop()
    else:
        cut[column] = cut[column][1:] if damage == "codebook" else []
    assert f"{column} is not [{codebooks}, {cut['num_blocks'] * 10}]" in check(cut)


def test_users_ids_are_the_codes(row: Row, check: Check) -> None:
    row["user_codes"][0][7] ^= 1
    assert check(row) == ["the user's ids are not user_codes"]


def test_assistants_ids_are_the_codes(row: Row, check: Check) -> None:
    row["assistant_codes"][0][-1] ^= 1
    assert check(row) == ["the assistant's ids are not assistant_codes, one block ahead"]


def test_uncut_codes(rows: dict[str, list[Row]], checkers: dict[str, Checker]) -> None:
    whole, cut = rows["turn_taking"][0], rows["interruption"][1]
    expected = ["assistant_uncut_codes and the interrupted turns disagree"]
    assert list(checkers["turn_taking"].check(whole | {"assistant_uncut_codes": whole["assistant_codes"]})) == expected
    assert list(checkers["interruption"].check(cut | {"assistant_uncut_codes": None})) == expected


def test_replies_are_counted(row: Row, check: Check, checkers: dict[str, Checker]) -> None:
    vocabulary = checkers["turn_taking"].layout.vocabulary  # type: ignore[attr-defined]
    start, end = (slots_of(row, id_)[-1] for id_ in (vocabulary.assistant, vocabulary.epad))
    for number in range(start, end + 1):
        row["input_ids"][slot(number)] = vocabulary.silence
    assert check(row) == ["the sequence has 1 replies for 2 assistant turns"]


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
