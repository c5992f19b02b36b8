import json
import pickle
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from duplexgen.pipeline.chat.journal import Journal
from duplexgen.pipeline.dialogue import Rejection
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.making.stage import Account
from duplexgen.pipeline.rewriting.llm import LLMRewriter
from duplexgen.pipeline.rewriting.rewriters import Rewritten
from duplexgen.pipeline.rewriting.rules import EXCHANGES_LEFT_OUT
from duplexgen.pipeline.rewriting.section import Rewriting
from duplexgen.pipeline.stages.rows import text_row
from duplexgen.pipeline.stages.script import ScriptStage
from tests.rewriting.llm.conftest import dialogue, recipe, shown, some, well
from tests.serving import Said, chat


def said(result):
    assert isinstance(result, Rewritten), result
    return [turn.text for turn in result.dialogue.turns]


def test_both_roles_are_rewritten(endpoint, rewriter):
    written = dialogue("Is it 5%?", "It is.", "And now?", "No.")
    (result,) = rewriter().rewrite_all([written])
    assert said(result) == ["Well, is it five percent?", "Well, it is.", "Well, and now?", "Well, no."]
    assert (result.dialogue.id, result.dialogue.source, result.notes) == ("d", "s", ())
    assert [turn["text"] for turn in shown(endpoint.requests[0])] == [turn.text for turn in written.turns]


def test_replies_alone_are_refined_and_the_user_is_kept_as_the_rules_say_it(endpoint, rewriter):
    written = dialogue("Is it 5 kg", "It is.", "And *now*?", "No.")
    (result,) = rewriter(rewrites="replies").rewrite_all([written])
    assert said(result) == ["Is it five kilograms?", "Well, it is.", "And now?", "Well, no."]
    assert [turn["text"] for turn in shown(endpoint.requests[0])] == [
        "Is it five kilograms?",
        "It is.",
        "And now?",
        "No.",
    ]


def test_what_the_rules_leave_out_of_a_user_is_noted(endpoint, rewriter):
    written = dialogue("Is it at https://example.com/a/b.html?", "It is.")
    (result,) = rewriter(rewrites="replies").rewrite_all([written])
    assert isinstance(result, Rewritten) and result.notes == ("web_address_shortened",)


def test_a_user_who_cannot_be_said_is_rejected_without_asking(endpoint, rewriter):
    engine = rewriter(rewrites="replies", max_user_words=4)
    long, foreign = dialogue("Yes?", "Yes.", "One two three four five?", "No."), dialogue("Это так?", "Да.", id="ru")
    results = engine.rewrite_all([long, foreign])
    assert [(result.dialogue_id, result.reason) for result in results] == [
        ("d", "user_turn_too_long"),
        ("ru", "unspeakable"),
    ]
    assert results[0].detail.startswith("turn 3 (user): ") and endpoint.requests == []


def test_a_long_question_may_be_shortened_by_the_model(endpoint, rewriter):
    short = {"turns": [{"role": "user", "text": "Is it?"}, {"role": "assistant", "text": "Yes."}]}
    endpoint.says = lambda _: chat(json.dumps(short))
    (result,) = rewriter(max_user_words=4).rewrite_all([dialogue("One two three four five?", "Yes.")])
    assert said(result) == ["Is it?", "Yes."]


def test_later_exchanges_are_not_asked_for(endpoint, rewriter):
    (result,) = rewriter(max_exchanges=1).rewrite_all([dialogue("A b?", "C d.", "E f?", "G h.")])
    assert said(result) == ["Well, a b?", "Well, c d."] and result.notes == (EXCHANGES_LEFT_OUT,)


def test_a_bad_answer_is_asked_for_again_with_another_seed(endpoint, rewriter):
    bad = [chat("I would rather not."), chat('{"turns": [', "length")]
    endpoint.says = lambda body: bad.pop(0) if bad else well(body)
    (result,) = rewriter().rewrite_all([dialogue("Is it?", "It is.")])
    assert said(result) == ["Well, is it?", "Well, it is."]
    assert len({request["seed"] for request in endpoint.requests}) == 3


@pytest.mark.parametrize("rewrites", ["dialogue", "replies"])
def test_a_model_that_repeats_what_it_was_shown_is_asked_again(endpoint, rewriter, rewrites):
    def repeated(body):
        turns = [turn for turn in shown(body) if rewrites == "dialogue" or turn["role"] == "assistant"]
        return json.dumps({"turns": turns})

    bad = [repeated, lambda body: repeated(body) + '\n{"turns": [{"role": "user", "text"']
    endpoint.says = lambda body: chat(bad.pop()(body)) if bad else well(body)
    (result,) = rewriter(rewrites=rewrites).rewrite_all([dialogue("Is it so?", "It is 5%.")])
    assert said(result)[1] == "Well, it is five percent." and len(endpoint.requests) == 3


def test_a_dialogue_that_can_be_said_may_come_back_as_it_was(endpoint, rewriter):
    endpoint.says = lambda body: chat(json.dumps({"turns": shown(body)}))
    (result,) = rewriter().rewrite_all([dialogue("Is it so?", "It is.")])
    assert said(result) == ["Is it so?", "It is."] and len(endpoint.requests) == 1


def test_after_as_many_attempts_as_allowed_the_last_reason_counts(endpoint, rewriter):
    endpoint.says = lambda _: chat('{"turns": [', "length")
    (result,) = rewriter(attempts=2, max_tokens=99).rewrite_all(some(1))
    assert isinstance(result, Rejection) and (result.stage, result.reason) == ("script", "answer_cut_off")
    assert result.detail == "answers asked for: 2; it did not end within max_tokens, 99"
    assert len(endpoint.requests) == 2


def test_one_dialogue_does_not_depend_on_the_others_or_on_who_answers_first(endpoint, rewriter, tmp_path):
    bodies = {}
    for name, dialogues, at_once in (("all", some(6), 6), ("one", some(6)[3:4], 1), ("back", some(6)[::-1], 2)):
        endpoint.requests.clear()
        engine = rewriter(at_once=at_once)
        engine.load(tmp_path / name)
        engine.rewrite_all(dialogues)
        bodies[name] = {shown(body)[0]["text"]: body for body in endpoint.requests}
    assert bodies["all"] == bodies["back"] and bodies["one"].items() <= bodies["all"].items()
    assert len({body["seed"] for body in bodies["all"].values()}) == 6


def test_a_restart_asks_for_nothing_that_was_answered(endpoint, rewriter):
    refuse = [chat("No."), chat("No.")]
    endpoint.says = lambda body: refuse.pop(0) if refuse else well(body)
    first = rewriter(at_once=1).rewrite_all(some(5))
    assert len(endpoint.requests) == 7
    assert rewriter().rewrite_all(some(5)) == first
    assert len(endpoint.requests) == 7


def test_however_dialogues_are_grouped_each_is_asked_for_once(endpoint, rewriter):
    first = rewriter().rewrite_all(some(6))
    assert len(endpoint.requests) == 6
    whole, parts = rewriter(), rewriter()
    assert whole.rewrite_all(some(7))[:6] == first and len(endpoint.requests) == 7
    assert [parts.rewrite_all([one])[0] for one in some(7)[::-1]][:0:-1] == first
    assert len(endpoint.requests) == 7


def test_two_builds_over_the_same_dialogues_share_what_was_answered(endpoint, rewriter):
    one, other = rewriter(), rewriter(attempts=5)
    assert one.rewrite_all(some(4)) == other.rewrite_all(some(4))
    assert other.rewrite_all(some(8)[4:]) == one.rewrite_all(some(8)[4:])
    assert len(endpoint.requests) == 8


def test_a_stage_that_fails_half_way_asks_again_only_for_what_was_not_answered(endpoint, tmp_path, monkeypatch):
    stage = ScriptStage(recipe(endpoint.url, at_once=1))
    stage.load(tmp_path)
    add, kept = Journal.add, []

    def fail_once(journal, key, answer):
        add(journal, key, answer)
        kept.append(key)
        if len(kept) == 3:
            raise SystemError("as nobody foresaw")

    def of_nobody(dialogue_id, error):
        raise error

    monkeypatch.setattr("duplexgen.pipeline.rewriting.llm.rewriter.rejection", of_nobody)
    monkeypatch.setattr(Journal, "add", fail_once)
    account = Account("script")
    rows = stage.process([text_row(one) for one in some(6)], account)
    assert len(rows) == 6 and account.rejections == []
    assert len(kept) == 6 and len(endpoint.requests) == 6


def test_a_damaged_answer_is_asked_for_again_and_no_other(endpoint, rewriter, tmp_path, caplog):
    first = rewriter(at_once=1).rewrite_all(some(4))
    (path,) = (tmp_path / "scratch").iterdir()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].replace(b"well", b"wall").replace(b"Well", b"Wall") + lines[2] + lines[3][:50])
    assert rewriter().rewrite_all(some(4)) == first
    # several are asked at once, so in either order
    assert sorted(shown(body)[0]["text"] for body in endpoint.requests[4:]) == ["Is it d1?", "Is it d3?"]
    assert "lines: 2" in caplog.text


CHILD = """
import sys
from pathlib import Path
from tests.rewriting.llm.conftest import Quick, recipe, some
engine = Quick(recipe(sys.argv[1], at_once=3))
engine.load(Path(sys.argv[2]))
engine.rewrite_all(some(12))
"""


def test_killed_half_way_no_answered_dialogue_is_asked_twice(endpoint, rewriter, tmp_path):
    all_held, go_on, count, lock = threading.Event(), threading.Event(), Counter(), threading.Lock()

    def says(body):
        with lock:
            count["asked"] += 1
            number = count["asked"]
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
    before = [shown(body)[0]["text"] for body in endpoint.requests]
    answered = {shown(body)[0]["text"] for body in endpoint.answered}
    assert len(before) == 8 and len(answered) == 5
    endpoint.says = well
    go_on.set()
    results = rewriter().rewrite_all(some(12))
    asked = Counter(shown(body)[0]["text"] for body in endpoint.requests)
    assert all(isinstance(result, Rewritten) for result in results) and len(asked) == 12
    assert {text for text, times in asked.items() if times > 1} == set(before) - answered
    assert all(asked[text] == 1 for text in answered)


def test_it_travels_to_a_worker_with_its_prompt(endpoint, tmp_path):
    prompt = tmp_path / "mine.md"
    prompt.write_text("one for each turn of the assistant in\n$dialogue", encoding="utf-8")
    packed = pickle.dumps(LLMRewriter(recipe(endpoint.url, prompt=str(prompt), rewrites="replies")))
    prompt.unlink()
    engine = pickle.loads(packed)
    engine.load(tmp_path / "scratch")
    (result,) = engine.rewrite_all([dialogue("Is it?", "Yes.")])
    assert said(result) == ["Is it?", "Well, yes."]


def test_the_fingerprint_is_of_what_shapes_the_text(tmp_path):
    mine = tmp_path / "mine.md"
    mine.write_text("$dialogue")
    base = LLMRewriter(recipe("http://127.0.0.1:9/v1")).fingerprint()
    same = LLMRewriter(recipe("http://10.0.0.1/v1", at_once=2, timeout_s=1.0)).fingerprint()
    assert same == base
    for change in (
        {"temperature": 0.1},
        {"max_tokens": 7},
        {"rewrites": "replies"},
        {"prompt": str(mine)},
        {"attempts": 9},
    ):
        assert LLMRewriter(recipe("http://127.0.0.1:9/v1", **change)).fingerprint() != base
    assert "wetext" in base


def test_probing_asks_something_easy(endpoint, rewriter):
    engine = rewriter()
    assert engine.probe() == [] and len(endpoint.requests) == 1
    endpoint.says = lambda _: Said("no", 500)
    ((location, message),) = engine.probe()
    assert location == ("rewriting", "llm") and "HTTP 500" in message


def test_a_recipe_without_its_section_or_its_prompt_says_so(tmp_path):
    engine = LLMRewriter(Rewriting(engine="llm"))
    assert [location for location, _ in engine.check()] == [("rewriting", "llm")]
    with pytest.raises(UserError):
        engine.fingerprint()
    engine = LLMRewriter(recipe("http://127.0.0.1:9/v1", prompt=str(tmp_path / "none.md")))
    ((location, message),) = engine.check()
    assert location == ("rewriting", "llm", "prompt") and "none.md" in message
    with pytest.raises(UserError, match=r"none\.md"):
        engine.fingerprint()
