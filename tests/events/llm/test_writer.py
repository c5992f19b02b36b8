"""Events by an endpoint on loopback."""

import json
import pickle
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.dialogue import BACKCHANNEL, Rejection, Turn
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.events.drawing import draw
from duplexgen.pipeline.events.llm import LLMWriter
from duplexgen.pipeline.events.llm.answers import MARK_NOT_FOUND
from duplexgen.pipeline.events.section import Events
from duplexgen.pipeline.events.writing import RulesWriter
from duplexgen.pipeline.making.stage import run_partition
from duplexgen.pipeline.rewriting.rewritten import Rewritten
from duplexgen.pipeline.rewriting.section import Rewriting
from duplexgen.pipeline.stages.rows import read_text_row
from duplexgen.pipeline.stages.script import ScriptStage
from duplexgen.pipeline.stages.speech import SpeechStage
from duplexgen.pipeline.stages.tracks import TracksStage
from tests.events.llm.conftest import (
    AGAIN,
    REPLY,
    TALK,
    TEXTS,
    always,
    asked,
    by_llm,
    dialogue,
    saying,
    some,
    turns,
    well,
)
from tests.rewriting.llm import conftest as rewriting
from tests.serving import Endpoint, Said, chat
from tests.stages.running import recipe, texts

Writers = Callable[..., LLMWriter]
USER, FOLLOWING = Turn("user", TALK[0]), tuple(Turn("assistant" if n % 2 else "user", TALK[n]) for n in (2, 3))
INTERRUPTED = Turn("assistant", REPLY)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("follow_up", (Turn("user", TEXTS["follow_up"], "follow_up", 2), FOLLOWING[1])),
        ("negation", (Turn("user", TEXTS["negation"], "negation", 2), FOLLOWING[1])),
        ("topic_switch", (Turn("user", TEXTS["topic_switch"], "topic_switch", 2), FOLLOWING[1])),
        ("repetition", (Turn("user", TEXTS["repetition"], "repetition", 2), Turn("assistant", AGAIN), *FOLLOWING)),
        ("silence_request", (Turn("user", TEXTS["silence_request"], "silence_request", 2), *FOLLOWING)),
        ("backchannel", (Turn("user", TEXTS["backchannel"], "backchannel"), *FOLLOWING)),
        ("bystander", (Turn("user", TEXTS["bystander"], "bystander"), *FOLLOWING)),
        ("side_talk", (Turn("user", TEXTS["side_talk"], "side_talk"), *FOLLOWING)),
        ("assistant_backchannel", (FOLLOWING[0], Turn("assistant", "I see.", BACKCHANNEL), FOLLOWING[1])),
    ],
)
def test_each_kind_is_written_where_it_was_drawn(
    endpoint: Endpoint, writer: Writers, kind: str, expected: tuple[Turn, ...]
) -> None:
    (result,) = writer(always(kind)).write_all(some(1))
    assert turns(result)[: len(expected) + 2] == (USER, INTERRUPTED, *expected)
    shown, wanted = asked(endpoint.requests[0])
    assert [turn["text"] for turn in shown] == list(TALK)
    assert {event["kind"] for event in wanted} == {kind}


def test_what_happens_is_what_happens_by_rule(endpoint: Endpoint, writer: Writers) -> None:
    engine, rules = writer(seed=5), RulesWriter(Events(), Rewriting(), 5)
    results = engine.write_all(some(60))
    for result, one in zip(results, some(60), strict=True):
        by_rule = rules.write(one.dialogue)
        assert [(turn.role, turn.kind) for turn in turns(result)] == [(turn.role, turn.kind) for turn in by_rule.turns]
    happens = [one for one in some(60) if list(draw(Events(), 5, one.dialogue))]
    assert 0 < len(happens) < 60 and len(endpoint.requests) == len(happens), "one question each, where anything happens"
    asked_twice = writer(Events(), seed=5).write_all(some(60))
    assert asked_twice == results and len(endpoint.requests) == len(happens)
    unlike = writer(Events(), seed=6).write_all(some(60))
    assert unlike != results


def test_where_nothing_happens_nothing_is_asked(endpoint: Endpoint, writer: Writers) -> None:
    quiet = always("nothing")
    assert writer(quiet).write_all(some(3)) == some(3) and endpoint.requests == []


def test_a_place_that_is_not_found_is_counted_and_left_open(endpoint: Endpoint, writer: Writers) -> None:
    endpoint.says = saying(after="on the moon")
    (result,) = writer(always("silence_request")).write_all([Rewritten(dialogue(), ("reply_cut",))])
    assert [turn.at_word for turn in turns(result)] == [None] * 6
    assert isinstance(result, Rewritten) and result.notes == ("reply_cut", MARK_NOT_FOUND, MARK_NOT_FOUND)


def test_bad_answers_are_asked_for_again_and_then_rejected_with_the_last_reason(
    endpoint: Endpoint, writer: Writers
) -> None:
    bad: list[Said] = [chat("I would rather not."), chat('{"events": [', "length")]
    endpoint.says = lambda body: bad.pop(0) if bad else well(body)
    (result,) = writer(always("backchannel")).write_all(some(1))
    assert any(turn.kind == BACKCHANNEL for turn in turns(result))
    assert len({request["seed"] for request in endpoint.requests}) == 3
    endpoint.says = saying(text="I see exactly what you mean by that.")
    good, long = writer(always("bystander"), attempts=2), writer(always("backchannel"), attempts=2, max_tokens=99)
    (result,) = long.write_all(some(1))
    assert isinstance(result, Rejection) and (result.stage, result.reason) == ("script", "answer_user_turn_too_long")
    assert result.detail.startswith("answers asked for: 2; entry 1 of ")
    assert isinstance(good.write_all(some(1))[0], Rewritten)


def test_one_dialogue_does_not_depend_on_the_others(writer: Writers, tmp_path: Path) -> None:
    results = {}
    for name, dialogues, at_once in (("all", some(6), 6), ("back", some(6)[::-1], 1)):
        engine = writer(always("negation"), at_once=at_once)
        engine.load(tmp_path / name)
        results[name] = engine.write_all(dialogues)
    assert results["all"] == results["back"][::-1]


def test_an_endpoint_that_is_down_rejects_no_dialogue(endpoint: Endpoint, writer: Writers) -> None:
    endpoint.says = lambda _: Said("no such model", 404)
    with pytest.raises(UserError, match=r"events\.llm\.url"):
        writer(always("negation")).write_all(some(3))


def test_it_travels_to_a_worker_with_its_prompt(endpoint: Endpoint, tmp_path: Path) -> None:
    prompt = tmp_path / "mine.md"
    prompt.write_text("Write what is wanted.\n$dialogue\n$events", encoding="utf-8")
    packed = pickle.dumps(LLMWriter(by_llm(always("bystander"), endpoint.url, prompt=str(prompt)), Rewriting(), 0))
    prompt.unlink()
    engine = pickle.loads(packed)
    engine.load(tmp_path / "scratch")
    assert TEXTS["bystander"] in [turn.text for turn in turns(*engine.write_all(some(1)))]
    assert endpoint.requests[0]["messages"][0]["content"].startswith("Write what is wanted.")


CHILD = """
import sys
from pathlib import Path
from tests.events.llm.conftest import LLMWriter, Rewriting, always, by_llm, some
engine = LLMWriter(by_llm(always("negation"), sys.argv[1], at_once=3), Rewriting(), 1)
engine.load(Path(sys.argv[2]))
engine.write_all(some(12))
"""


def test_killed_half_way_no_answered_dialogue_is_asked_twice(
    endpoint: Endpoint, writer: Writers, tmp_path: Path
) -> None:
    all_held, go_on, numbers = threading.Event(), threading.Event(), count(1)

    def says(body: dict[str, Any]) -> Said:
        number = next(numbers)
        if number <= 5:
            return well(body)
        if number == 8:
            all_held.set()
        go_on.wait(60)
        return Said("too late", 500)

    endpoint.says = says
    command = [sys.executable, "-c", CHILD, endpoint.url, str(tmp_path / "scratch")]
    with subprocess.Popen(command, cwd=Path(__file__).parents[3]) as child:
        try:
            # With three at once, a fourth waits until one of them is answered and kept: three held, five kept.
            assert all_held.wait(60)
        finally:
            child.kill()
    assert child.returncode == -signal.SIGKILL
    before = Counter(request["seed"] for request in endpoint.requests)
    answered = {request["seed"] for request in endpoint.answered}
    assert len(before) == 8 and len(answered) == 5, "each dialogue has a seed of its own"
    endpoint.says = well
    go_on.set()
    results = writer(always("negation")).write_all(some(12))
    asked_for = Counter(request["seed"] for request in endpoint.requests)
    assert all(isinstance(result, Rewritten) for result in results) and len(asked_for) == 12
    assert {seed for seed, times in asked_for.items() if times > 1} == before.keys() - answered


def test_its_shape_is_of_what_changes_the_text(tmp_path: Path) -> None:
    mine = tmp_path / "mine.md"
    mine.write_text("$dialogue $events")
    url = "http://127.0.0.1:9/v1"

    def shape(url: str = url, **changes: Any) -> dict[str, Any]:
        return LLMWriter(by_llm(Events(), url, **changes), Rewriting(), 0).shaped_by()

    assert shape("http://10.0.0.1/v1", at_once=2, timeout_s=1.0) == shape()
    for change in ({"temperature": 0.1}, {"max_tokens": 7}, {"prompt": str(mine)}, {"attempts": 9}):
        assert shape(**change) != shape()
    assert "127.0.0.1" not in json.dumps(shape())
    by_rule = RulesWriter(Events(), Rewriting(), 0).shaped_by()
    assert by_rule != shape() and by_rule.items() <= (shape() | {"events": {}}).items()


def stage(endpoint: Endpoint, events: Events, scratch: Path, **changes: Any) -> ScriptStage:
    made = ScriptStage(Rewriting(**changes), by_llm(events, endpoint.url, attempts=1), seed=3)
    made.load(scratch)
    return made


def test_the_stage_accounts_for_each_dialogue_and_asks_nothing_twice(endpoint: Endpoint, tmp_path: Path) -> None:
    def says(body: dict[str, Any]) -> Said:
        is_bad = "the bad one" in asked(body)[0][0]["text"]
        return saying(**({"text": "<b>"} if is_bad else {"after": "nowhere"}))(body)

    endpoint.says = says
    table = texts(
        dialogue(id="good"),
        dialogue("Show me a loop.", "```\nfor x in y:\n    print(x)\n```", id="code"),
        dialogue("Is it the bad one?", "It is.", id="bad"),
    )
    first = run_partition(stage(endpoint, always("silence_request"), tmp_path), table)
    made, outcome = first
    assert [row["dialogue_id"] for row in made.to_pylist()] == ["good"]
    assert {(rejection.dialogue_id, rejection.stage) for rejection in outcome.rejections} == {
        ("code", "script"),
        ("bad", "script"),
    }
    assert outcome.notes == {MARK_NOT_FOUND: 2}
    requests = len(endpoint.requests)
    again, outcome_again = run_partition(stage(endpoint, always("silence_request"), tmp_path), table)
    assert again.equals(made) and outcome_again == outcome and len(endpoint.requests) == requests == 2


def test_a_rewriter_and_a_writer_of_events_share_a_stage(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.says = lambda body: well(body) if '"wanted"' in str(body) else rewriting.well(body)
    llm = rewriting.recipe(endpoint.url)
    made = ScriptStage(llm, by_llm(always("bystander"), endpoint.url), seed=3)
    assert made.max_actors == 1 and ScriptStage(Rewriting(), Events()).max_actors is None
    assert ScriptStage(Rewriting(), by_llm(Events(), endpoint.url)).max_actors == 1
    made.load(tmp_path)
    rows, outcome = run_partition(made, texts(dialogue("Is it 5%?", "It is.")))
    (row,) = rows.to_pylist()
    assert outcome.rejections == ()
    assert [turn.text for turn in read_text_row(row).turns] == [
        "Well, is it five percent?",
        "Well, it is.",
        TEXTS["bystander"],
    ]


def test_in_a_natural_conversation_the_user_comes_in_after_the_word_that_is_marked(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    """Spoken by Kokoro, on the track itself."""
    words = REPLY.split()
    for at in (2, 9):
        endpoint.says = saying(after=" ".join(words[at - 2 : at + 1]))
        spec: Recipe = recipe(
            speech={"assistant_voice": "af_heart", "user_voices": ["am_michael"]},
            timing={"scenario": "natural", "pause_share": 0.0},
            events=by_llm(always("negation"), endpoint.url),
        )
        script = ScriptStage(spec.rewriting, spec.events, spec.seed)
        table, outcome = texts(dialogue()), None
        for each in (script, SpeechStage(spec.speech, spec.seed), TracksStage(spec)):
            each.load(tmp_path / str(at))
            table, outcome = run_partition(each, table)
            assert outcome.rejections == ()
        (row,) = table.to_pylist()
        (reply,) = [event for event in row["events"] if event["cut_by"] is not None]
        cutting = row["events"][reply["cut_by"]]
        assert (cutting["kind"], cutting["text"]) == ("negation", TEXTS["negation"])
        marked = reply["words"][at]
        assert marked["text"] == words[at] and marked["end_sample"] == cutting["start_sample"]
