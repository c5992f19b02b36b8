import email.utils
import json
import sys
import threading
import time
from collections import Counter

import pytest

from duplexgen.pipeline.dialogue import Rejection
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.rewriting.llm.endpoint import MOST_ROUNDS
from duplexgen.pipeline.rewriting.rewriters import Rewritten
from tests.rewriting.llm.conftest import Quick, is_simple_question, recipe, shown, some, well
from tests.serving import Said, chat, serving

GARBAGE = ["<html>", "", "[]", "{}", '{"choices": []}', "null", '{"choices": [{"message": null}]}']


def first_then(*said):
    """Answers the first requests as told, later ones well."""
    script = list(said)
    return lambda body: script.pop(0) if script else well(body)


def only(*bad):
    """Answers badly what shows one of these dialogues, the rest well."""

    def says(body):
        is_bad = any(f"Is it {name}?" in body["messages"][0]["content"] for name in bad)
        return Said("broken", 500) if is_bad else well(body)

    return says


def test_the_key_is_sent_and_said_nowhere(endpoint, rewriter, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-0123456789 ")
    endpoint.says = first_then(chat("Your key is sk-secret-0123456789."))
    assert all(isinstance(result, Rewritten) for result in rewriter().rewrite_all(some(2)))
    assert set(endpoint.keys) == {"Bearer sk-secret-0123456789"}
    endpoint.says = lambda _: Said("wrong key: sk-secret-0123456789", 401)
    with pytest.raises(UserError, match=r"OPENAI_API_KEY .*\*\*\*") as refused:
        rewriter(temperature=0.1).rewrite_all(some(2))
    assert "sk-secret-0123456789" not in str(refused.value)
    kept = [path.read_text() for path in (tmp_path / "scratch").iterdir()]
    assert kept and not any("sk-secret-0123456789" in text for text in kept)
    assert not any("secret" in value for value in rewriter().fingerprint().values())


def test_a_key_that_is_a_word_changes_no_answer(endpoint, rewriter, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "is")
    (result,) = rewriter().rewrite_all(some(1))
    assert isinstance(result, Rewritten) and "is it" in result.dialogue.turns[0].text


def test_no_key_is_sent_where_there_is_none(endpoint, rewriter, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    rewriter().rewrite_all(some(1))
    assert endpoint.keys == [None]
    endpoint.says = lambda _: Said("who are you?", 401)
    with pytest.raises(UserError, match="none is in OPENAI_API_KEY"):
        rewriter(temperature=0.1).rewrite_all(some(1))


def test_a_key_with_a_line_break_is_none(rewriter, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-se\ncret")
    with pytest.raises(UserError, match="OPENAI_API_KEY") as refused:
        rewriter()
    assert "cret" not in str(refused.value)


@pytest.mark.parametrize("status", [401, 404, 405, 301])
def test_what_no_request_can_mend_stops_at_once(endpoint, rewriter, status):
    endpoint.says = lambda _: Said("no\x1b[31m", status)
    with pytest.raises(UserError, match=f"HTTP {status}: no") as refused:
        rewriter(at_once=1).rewrite_all(some(5))
    assert len(endpoint.requests) == 1 and "\x1b" not in str(refused.value)


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_busy_endpoint_is_asked_again(endpoint, rewriter, status):
    endpoint.says = first_then(Said("later", status), Said("later", status))
    (result,) = rewriter().rewrite_all(some(1))
    assert isinstance(result, Rewritten)
    assert len(endpoint.requests) == 3 and len({request["seed"] for request in endpoint.requests}) == 1


def test_half_an_answer_is_asked_for_again(endpoint, rewriter):
    endpoint.says = first_then(Said(chat("{").body, withheld=10))
    (result,) = rewriter().rewrite_all(some(1))
    assert isinstance(result, Rewritten) and len(endpoint.requests) == 2


@pytest.mark.parametrize("in_seconds", [True, False])
def test_an_endpoint_says_when_to_come_back(endpoint, rewriter, in_seconds):
    # A date has whole seconds: two from now is between one and two away.
    after = "1.2" if in_seconds else email.utils.formatdate(time.time() + 2, usegmt=True)
    endpoint.says = first_then(Said("later", 429, {"Retry-After": after}))
    results = rewriter(at_once=1).rewrite_all(some(2))
    assert all(isinstance(result, Rewritten) for result in results)
    first, second, _ = endpoint.received_s
    assert second - first >= 0.9


def test_who_asks_to_come_back_tomorrow_is_not_waited_for(endpoint, rewriter):
    endpoint.says = lambda _: Said("quota exceeded", 429, {"Retry-After": "86400"})
    with pytest.raises(UserError, match=r"86400 s \(HTTP 429: quota exceeded\)"):
        rewriter(at_once=1).rewrite_all(some(3))
    assert len(endpoint.requests) == 1


def test_one_dialogue_that_breaks_the_endpoint_is_rejected_alone(endpoint, rewriter):
    endpoint.says = only("d1")
    good, bad, last = rewriter(attempts=1).rewrite_all(some(3))
    assert isinstance(good, Rewritten) and isinstance(last, Rewritten)
    assert isinstance(bad, Rejection) and (bad.dialogue_id, bad.reason) == ("d1", "endpoint_busy")
    assert "broken" in bad.detail
    asked = Counter(is_simple_question(request) or shown(request)[0]["text"] for request in endpoint.requests)
    assert asked == {"Is it d0?": 1, "Is it d1?": len(Quick.waits_s) + 1 + 2, "Is it d2?": 1, True: 2}


def test_an_endpoint_that_dies_rejects_nobody_and_a_restart_goes_on(endpoint, rewriter):
    """d0 is answered after d1 to d3 were asked for the first time, and nobody ever after."""
    kept = threading.Event()

    def says(body):
        if "Is it d0?" in body["messages"][0]["content"]:
            return well(body)
        if "Is it d4?" in body["messages"][0]["content"]:
            kept.set()  # with four at once, it is asked after the answer to d0 was kept
        kept.wait(60)
        return Said("gone", 500)

    endpoint.says = says
    with pytest.raises(UserError, match=r"gone.* start the same command again: it goes on from here"):
        rewriter(attempts=1, at_once=4).rewrite_all(some(8))
    assert not any("Is it d5?" in body["messages"][0]["content"] for body in endpoint.requests)
    endpoint.says, before = well, len(endpoint.requests)
    results = rewriter(attempts=1).rewrite_all(some(8))
    assert all(isinstance(result, Rewritten) for result in results)
    assert sorted(shown(body)[0]["text"] for body in endpoint.requests[before:]) == [
        f"Is it d{n}?" for n in range(1, 8)
    ]


@pytest.mark.parametrize(
    "said",
    [Said("later", 503), Said("<html>"), Said("{", withheld=9), Said("", wait_s=9.0)],
    ids=["busy", "garbage", "broken", "slow"],
)
def test_failures_of_the_endpoint_are_no_attempts(endpoint, rewriter, said):
    endpoint.says = first_then(said)
    (result,) = rewriter(attempts=1, timeout_s=2.0).rewrite_all(some(1))
    assert isinstance(result, Rewritten)
    assert len(endpoint.requests) == 2 and len({request["seed"] for request in endpoint.requests}) == 1


def test_an_endpoint_that_goes_away_and_comes_back_costs_no_dialogue(tmp_path):
    with serving(well) as before:
        engine = Quick(recipe(before.url, attempts=1, at_once=2))
        engine.waits_s = (0.1,) * 50
        engine.load(tmp_path)
        engine.rewrite_all(some(1))
    port, results = before.server_address[1], []
    asking = threading.Thread(target=lambda: results.extend(engine.rewrite_all(some(6))))
    asking.start()
    time.sleep(0.3)  # nobody listens
    with serving(well, port) as after:
        asking.join(30)
        assert len(after.requests) == 5
    assert len(results) == 6 and all(isinstance(result, Rewritten) for result in results)


def test_an_endpoint_that_goes_away_for_good_stops_the_build(tmp_path):
    with serving(well) as before:
        engine = Quick(recipe(before.url, attempts=1))
        engine.load(tmp_path)
        engine.rewrite_all(some(1))
    with pytest.raises(UserError, match="no connection"):
        engine.rewrite_all(some(30))


def test_who_is_told_that_there_are_too_many_waits_as_long_as_others_are_answered(endpoint, rewriter):
    """However many tries that takes: it is nothing about the dialogue."""
    refused = Counter()

    def says(body):
        if is_simple_question(body) or refused["429"] == 12:
            return well(body)
        refused["429"] += 1
        return Said("too many requests", 429)

    endpoint.says = says
    (result,) = rewriter(attempts=1).rewrite_all(some(1))
    assert isinstance(result, Rewritten)
    assert Counter(is_simple_question(request) for request in endpoint.requests) == {False: 13, True: 2}


def test_a_low_limit_of_requests_a_minute_rejects_nobody(endpoint, rewriter):
    """d0 loses every place to another dialogue, until there is none."""
    told, asked_again = Counter(), threading.Condition()

    def says(body):
        with asked_again:
            if is_simple_question(body):
                return well(body)
            if "Is it d0?" in body["messages"][0]["content"]:
                told["d0"] += 1
                asked_again.notify_all()
                return well(body) if told["others"] == 29 else Said("too many requests", 429)
            asked_again.wait_for(lambda: told["d0"] > told["others"], 0.5)
            told["others"] += 1
            return well(body)

    endpoint.says = says
    results = rewriter(attempts=1, at_once=2).rewrite_all(some(30))
    assert all(isinstance(result, Rewritten) for result in results)
    assert told["d0"] > MOST_ROUNDS * (len(Quick.waits_s) + 1)


def test_an_endpoint_with_too_many_requests_for_all_stops_the_build(endpoint, rewriter):
    endpoint.says = lambda _: Said("too many requests", 429)
    with pytest.raises(UserError, match="HTTP 429: too many requests"):
        rewriter(at_once=4).rewrite_all(some(8))


def test_who_is_always_told_that_there_are_too_many_is_rejected_alone(endpoint, rewriter):
    """Some endpoints say so of a dialogue that is too long for them."""
    long = "Is it d1?"
    endpoint.says = lambda body: Said("too large", 429) if long in body["messages"][0]["content"] else well(body)
    good, bad, last = rewriter(attempts=1).rewrite_all(some(3))
    assert isinstance(good, Rewritten) and isinstance(last, Rewritten)
    assert isinstance(bad, Rejection) and (bad.dialogue_id, bad.reason) == ("d1", "endpoint_too_many_requests")


def test_a_dialogue_that_is_refused_is_rejected_alone(endpoint, rewriter):
    tooth = Said("too many tokens", 400)
    endpoint.says = lambda body: tooth if "Is it d1?" in body["messages"][0]["content"] else well(body)
    good, bad = rewriter(at_once=1).rewrite_all(some(2))
    assert isinstance(good, Rewritten)
    assert isinstance(bad, Rejection) and bad.reason == "endpoint_refused" and "too many tokens" in bad.detail
    assert Counter(is_simple_question(request) for request in endpoint.requests) == {False: 3, True: 1}


@pytest.mark.parametrize("body", GARBAGE)
def test_garbage_is_asked_for_again(endpoint, rewriter, body):
    endpoint.says = first_then(Said(body))
    (result,) = rewriter().rewrite_all(some(1))
    assert isinstance(result, Rewritten)


@pytest.mark.parametrize("said", [*map(Said, GARBAGE), Said("broken", 500), Said("max_tokens is too large", 400)])
def test_an_endpoint_that_answers_nobody_stops_the_build(endpoint, rewriter, said):
    endpoint.says = lambda _: said
    with pytest.raises(UserError, match=r"gives no answers .* again") as dead:
        rewriter(at_once=4).rewrite_all(some(50))
    assert said.body[:20] in str(dead.value)
    assert len(endpoint.requests) < 40


def test_an_endpoint_that_never_answers_stops_the_build(endpoint, rewriter):
    endpoint.says = lambda body: Said(well(body).body, wait_s=10.0)
    with pytest.raises(UserError, match=r"no answer in 0\.2 s"):
        rewriter(timeout_s=0.2, at_once=4).rewrite_all(some(50))
    assert endpoint.answered == [] and len(endpoint.requests) <= 2 * 4 + 1


def test_a_slow_dialogue_is_asked_for_again_and_then_rejected_alone(endpoint, rewriter):
    def says(body):
        slow = "Is it d1?" in body["messages"][0]["content"]
        return Said(well(body).body, wait_s=10.0 if slow else 0.0)

    endpoint.says = says
    good, bad = rewriter(timeout_s=2.5, attempts=2).rewrite_all(some(2))
    assert isinstance(good, Rewritten)
    assert isinstance(bad, Rejection) and bad.reason == "endpoint_timeout"
    assert bad.detail == "no answer in 2.5 s; other requests are answered"
    assert len({request["seed"] for request in endpoint.requests if not is_simple_question(request)}) == 2


def slow_for(*names):
    """Answers in time what shows none of these dialogues; all of them are slow if none is named."""

    def says(body):
        written = body["messages"][0]["content"]
        slow = any(f"Is it {name}?" in written for name in names) if names else not is_simple_question(body)
        return Said(well(body).body, wait_s=2.0 if slow else 0.0)

    return says


@pytest.mark.parametrize("at_once", [1, 4])
def test_an_endpoint_too_slow_for_every_dialogue_stops_the_build_and_rejects_none(endpoint, rewriter, at_once):
    """Something easy it would answer in time."""
    endpoint.says = slow_for()
    with pytest.raises(UserError, match=r"no answer in 0\.4 s.* no other .*Raise timeout_s, or lower at_once, or max_"):
        rewriter(timeout_s=0.4, at_once=at_once).rewrite_all(some(8))
    endpoint.says = well
    results = rewriter(timeout_s=5.0).rewrite_all(some(8))
    assert all(isinstance(result, Rewritten) for result in results)


def test_an_endpoint_that_becomes_too_slow_stops_the_build(endpoint, rewriter):
    engine = rewriter(timeout_s=0.4)
    engine.rewrite_all(some(2))
    endpoint.says = slow_for()
    with pytest.raises(UserError, match=r"to one that was answered before: no answer in 0\.4 s"):
        engine.rewrite_all(some(8))


@pytest.mark.parametrize("restarted", [False, True])
def test_a_slow_dialogue_on_its_own_is_rejected_where_another_is_answered_again(endpoint, rewriter, restarted):
    engine = rewriter(timeout_s=1.0, at_once=1)
    engine.rewrite_all(some(1))
    engine = rewriter(timeout_s=1.0, at_once=1) if restarted else engine
    endpoint.says = slow_for("d1")
    bad, good = engine.rewrite_all(some(2)[::-1])
    assert isinstance(good, Rewritten)
    assert isinstance(bad, Rejection) and bad.reason == "endpoint_timeout"
    asked = Counter(is_simple_question(request) or shown(request)[0]["text"] for request in endpoint.requests)
    assert asked == {"Is it d0?": 3, "Is it d1?": 4}


def test_an_answer_that_drips_in_is_no_answer(endpoint, rewriter):
    """A limit on each read would never be reached."""
    endpoint.says = lambda body: Said(well(body).body, drip_s=0.1)
    with pytest.raises(UserError, match=r"no answer in 0\.5 s"):
        rewriter(timeout_s=0.5, attempts=1).rewrite_all(some(1))


def test_an_answer_without_end_is_no_answer(endpoint, rewriter):
    endpoint.says = first_then(chat("x" * (1 << 23)))
    (result,) = rewriter().rewrite_all(some(1))
    assert isinstance(result, Rewritten)
    assert [is_simple_question(request) for request in endpoint.requests] == [False, False]


def test_probing_asks_something_easy(endpoint, rewriter):
    engine = rewriter()
    assert engine.probe() == [] and [is_simple_question(request) for request in endpoint.requests] == [True]
    for said, words in ((Said("who?", 401), "HTTP 401"), (Said("no", 500), "HTTP 500"), (Said("<html>"), "<html>")):
        endpoint.says = lambda _, said=said: said
        ((location, message),) = engine.probe()
        assert location == ("rewriting", "llm") and words in message
    endpoint.server_close()
    ((_, message),) = engine.probe()
    assert "no connection" in message


@pytest.mark.parametrize("proxy", ["socks5h://127.0.0.1:9", "gopher://127.0.0.1:9", "http://127.0.0.1:port"])
def test_a_proxy_that_cannot_be_used_stops_the_build(endpoint, rewriter, monkeypatch, proxy):
    monkeypatch.setitem(sys.modules, "socksio", None)  # as where it is not installed
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(UserError, match=r"environment \(.*ALL_PROXY.* Mend or unset"):
        rewriter().rewrite_all(some(2))
    ((_, message),) = rewriter().probe()
    assert "ALL_PROXY" in message and endpoint.requests == []


def test_nobody_listens(rewriter, endpoint):
    endpoint.server_close()
    with pytest.raises(UserError, match="no connection"):
        rewriter().rewrite_all(some(30))


def test_no_more_requests_at_once_than_allowed(endpoint, rewriter):
    endpoint.says = lambda body: Said(well(body).body, wait_s=0.05)
    rewriter(at_once=3).rewrite_all(some(12))
    assert endpoint.most_under_way == 3


def test_a_schema_is_asked_for_until_it_is_refused(endpoint, rewriter):
    engine = rewriter(at_once=1)
    engine.rewrite_all(some(1))
    wanted = endpoint.requests[0]["response_format"]["json_schema"]["schema"]["properties"]["turns"]
    assert wanted["minItems"] == 2
    endpoint.says = lambda body: Said("no response_format here", 400) if "response_format" in body else well(body)
    results = rewriter(at_once=1, temperature=0.1).rewrite_all(some(3))
    assert all(isinstance(result, Rewritten) for result in results)
    assert ["response_format" in request for request in endpoint.requests[1:]] == [True, False, False, False]
    assert json.dumps(endpoint.requests[2]) in json.dumps(endpoint.answered)
