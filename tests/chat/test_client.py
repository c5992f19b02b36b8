import email.utils
import json
import sys
import threading
import time
from collections import Counter

import pytest

from duplexgen.pipeline.chat.client import MOST_ROUNDS, problem
from duplexgen.pipeline.chat.journal import Answer
from duplexgen.pipeline.chat.section import ChatModel
from duplexgen.pipeline.errors import DialogueRejected, UserError
from tests.chat.conftest import SCHEMA, WAITS_S, is_simple_question, message, some, well
from tests.serving import Said, chat, serving

GARBAGE = ["<html>", "", "[]", "{}", '{"choices": []}', "null", '{"choices": [{"message": null}]}']


def first_then(*said):
    """Answers the first requests as told, later ones well."""
    script = list(said)
    return lambda body: script.pop(0) if script else well(body)


def only(*bad):
    """Answers badly what shows one of these names, the rest well."""

    def says(body):
        is_bad = any(f"Is it {name}?" in message(body) for name in bad)
        return Said("broken", 500) if is_bad else well(body)

    return says


def test_the_key_is_sent_and_said_nowhere(endpoint, client, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-0123456789 ")
    endpoint.says = first_then(chat("Your key is sk-secret-0123456789."))
    assert all(isinstance(result, Answer) for result in client().all(some(2)))
    assert set(endpoint.keys) == {"Bearer sk-secret-0123456789"}
    endpoint.says = lambda _: Said("wrong key: sk-secret-0123456789", 401)
    with pytest.raises(UserError, match=r"OPENAI_API_KEY .*\*\*\*") as refused:
        client(temperature=0.1).all(some(2))
    assert "sk-secret-0123456789" not in str(refused.value)
    kept = [path.read_text() for path in (tmp_path / "scratch").iterdir()]
    assert kept and not any("sk-secret-0123456789" in text for text in kept)


def test_a_key_that_is_a_word_changes_no_answer(endpoint, client, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "is")
    (result,) = client().all(some(1))
    assert result.content == "It is: Is it d0?"


def test_no_key_is_sent_where_there_is_none(endpoint, client, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    client().all(some(1))
    assert endpoint.keys == [None]
    endpoint.says = lambda _: Said("who are you?", 401)
    with pytest.raises(UserError, match="none is in OPENAI_API_KEY"):
        client(temperature=0.1).all(some(1))


def test_a_key_with_a_line_break_is_none(client, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-se\ncret")
    with pytest.raises(UserError, match="OPENAI_API_KEY") as refused:
        client()
    assert "cret" not in str(refused.value)


@pytest.mark.parametrize("status", [401, 404, 405, 301])
def test_what_no_request_can_mend_stops_at_once(endpoint, client, status):
    endpoint.says = lambda _: Said("no\x1b[31m", status)
    with pytest.raises(UserError, match=f"HTTP {status}: no") as refused:
        client(at_once=1).all(some(5))
    assert len(endpoint.requests) == 1 and "\x1b" not in str(refused.value)


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_busy_endpoint_is_asked_again(endpoint, client, status):
    endpoint.says = first_then(Said("later", status), Said("later", status))
    (result,) = client().all(some(1))
    assert isinstance(result, Answer)
    assert len(endpoint.requests) == 3 and len({request["seed"] for request in endpoint.requests}) == 1


def test_half_an_answer_is_asked_for_again(endpoint, client):
    endpoint.says = first_then(Said(chat("{").body, withheld=10))
    (result,) = client().all(some(1))
    assert isinstance(result, Answer) and len(endpoint.requests) == 2


@pytest.mark.parametrize("in_seconds", [True, False])
def test_an_endpoint_says_when_to_come_back(endpoint, client, in_seconds):
    # A date has whole seconds: two from now is between one and two away.
    after = "1.2" if in_seconds else email.utils.formatdate(time.time() + 2, usegmt=True)
    endpoint.says = first_then(Said("later", 429, {"Retry-After": after}))
    results = client(at_once=1).all(some(2))
    assert all(isinstance(result, Answer) for result in results)
    first, second, _ = endpoint.received_s
    assert second - first >= 0.9


def test_who_asks_to_come_back_tomorrow_is_not_waited_for(endpoint, client):
    endpoint.says = lambda _: Said("quota exceeded", 429, {"Retry-After": "86400"})
    with pytest.raises(UserError, match=r"86400 s \(HTTP 429: quota exceeded\)"):
        client(at_once=1).all(some(3))
    assert len(endpoint.requests) == 1


def test_one_request_that_breaks_the_endpoint_is_rejected_alone(endpoint, client):
    endpoint.says = only("d1")
    good, bad, last = client().all(some(3))
    assert isinstance(good, Answer) and isinstance(last, Answer)
    assert isinstance(bad, DialogueRejected) and bad.reason == "endpoint_busy"
    assert "broken" in bad.detail
    asked = Counter(is_simple_question(request) or message(request) for request in endpoint.requests)
    assert asked == {"Is it d0?": 1, "Is it d1?": len(WAITS_S) + 1 + 2, "Is it d2?": 1, True: 2}


def test_an_endpoint_that_dies_rejects_none_and_a_restart_goes_on(endpoint, client):
    """d0 is answered after d1 to d3 were asked for the first time, and nobody ever after."""
    kept = threading.Event()

    def says(body):
        if "Is it d0?" in message(body):
            return well(body)
        if "Is it d4?" in message(body):
            kept.set()  # with four at once, it is asked after the answer to d0 was kept
        kept.wait(60)
        return Said("gone", 500)

    endpoint.says = says
    with pytest.raises(UserError, match=r"gone.* start the same command again: it goes on from here"):
        client(at_once=4).all(some(8))
    assert not any("Is it d5?" in message(body) for body in endpoint.requests)
    endpoint.says, before = well, len(endpoint.requests)
    results = client().all(some(8))
    assert all(isinstance(result, Answer) for result in results)
    assert sorted(message(body) for body in endpoint.requests[before:]) == [f"Is it d{n}?" for n in range(1, 8)]


@pytest.mark.parametrize(
    "said",
    [Said("later", 503), Said("<html>"), Said("{", withheld=9), Said("", wait_s=9.0)],
    ids=["busy", "garbage", "broken", "slow"],
)
def test_failures_of_the_endpoint_are_no_attempts(endpoint, client, said):
    endpoint.says = first_then(said)
    (result,) = client(timeout_s=2.0).all(some(1))
    assert isinstance(result, Answer)
    assert len(endpoint.requests) == 2 and len({request["seed"] for request in endpoint.requests}) == 1


def test_an_endpoint_that_goes_away_and_comes_back_costs_no_request(client):
    with serving(well) as before:
        asking = client(before.url, (0.1,) * 50, at_once=2)
        asking.all(some(1))
    port, results = before.server_address[1], []
    thread = threading.Thread(target=lambda: results.extend(asking.all(some(6))))
    thread.start()
    time.sleep(0.3)  # nobody listens
    with serving(well, port) as after:
        thread.join(30)
        assert len(after.requests) == 5
    assert len(results) == 6 and all(isinstance(result, Answer) for result in results)


def test_an_endpoint_that_goes_away_for_good_ends_all(client):
    with serving(well) as before:
        asking = client(before.url)
        asking.all(some(1))
    with pytest.raises(UserError, match="no connection"):
        asking.all(some(30))


def test_who_is_told_that_there_are_too_many_waits_as_long_as_others_are_answered(endpoint, client):
    """However many tries that takes: it is nothing about the request."""
    refused = Counter()

    def says(body):
        if is_simple_question(body) or refused["429"] == 12:
            return well(body)
        refused["429"] += 1
        return Said("too many requests", 429)

    endpoint.says = says
    (result,) = client().all(some(1))
    assert isinstance(result, Answer)
    assert Counter(is_simple_question(request) for request in endpoint.requests) == {False: 13, True: 2}


def test_a_low_limit_of_requests_a_minute_rejects_none(endpoint, client):
    """d0 loses every place to another, until there is none."""
    told, asked_again = Counter(), threading.Condition()

    def says(body):
        with asked_again:
            if is_simple_question(body):
                return well(body)
            if "Is it d0?" in message(body):
                told["d0"] += 1
                asked_again.notify_all()
                return well(body) if told["others"] == 29 else Said("too many requests", 429)
            asked_again.wait_for(lambda: told["d0"] > told["others"], 0.5)
            told["others"] += 1
            return well(body)

    endpoint.says = says
    results = client(at_once=2).all(some(30))
    assert all(isinstance(result, Answer) for result in results)
    assert told["d0"] > MOST_ROUNDS * (len(WAITS_S) + 1)


def test_an_endpoint_with_too_many_requests_for_all_ends_all(endpoint, client):
    endpoint.says = lambda _: Said("too many requests", 429)
    with pytest.raises(UserError, match="HTTP 429: too many requests"):
        client(at_once=4).all(some(8))


def test_who_is_always_told_that_there_are_too_many_is_rejected_alone(endpoint, client):
    """Some endpoints say so of a request that is too long for them."""
    long = "Is it d1?"
    endpoint.says = lambda body: Said("too large", 429) if long in message(body) else well(body)
    good, bad, last = client().all(some(3))
    assert isinstance(good, Answer) and isinstance(last, Answer)
    assert isinstance(bad, DialogueRejected) and bad.reason == "endpoint_too_many_requests"


def test_a_request_that_is_refused_is_rejected_alone(endpoint, client):
    tooth = Said("too many tokens", 400)
    endpoint.says = lambda body: tooth if "Is it d1?" in message(body) else well(body)
    good, bad = client(at_once=1).all(some(2))
    assert isinstance(good, Answer)
    assert isinstance(bad, DialogueRejected) and bad.reason == "endpoint_refused" and "too many tokens" in bad.detail
    assert Counter(is_simple_question(request) for request in endpoint.requests) == {False: 3, True: 1}


@pytest.mark.parametrize("body", GARBAGE)
def test_garbage_is_asked_for_again(endpoint, client, body):
    endpoint.says = first_then(Said(body))
    (result,) = client().all(some(1))
    assert isinstance(result, Answer)


@pytest.mark.parametrize("said", [*map(Said, GARBAGE), Said("broken", 500), Said("max_tokens is too large", 400)])
def test_an_endpoint_that_answers_nobody_ends_all(endpoint, client, said):
    endpoint.says = lambda _: said
    with pytest.raises(UserError, match=r"gives no answers .* again") as dead:
        client(at_once=4).all(some(50))
    assert said.body[:20] in str(dead.value)
    assert len(endpoint.requests) < 40


def test_an_endpoint_that_never_answers_ends_all(endpoint, client):
    endpoint.says = lambda body: Said(well(body).body, wait_s=10.0)
    with pytest.raises(UserError, match=r"no answer in 0\.2 s"):
        client(timeout_s=0.2, at_once=4).all(some(50))
    assert endpoint.answered == [] and len(endpoint.requests) <= 2 * 4 + 1


def test_a_slow_request_is_asked_for_again_and_then_rejected_alone(endpoint, client):
    def says(body):
        slow = "Is it d1?" in message(body)
        return Said(well(body).body, wait_s=10.0 if slow else 0.0)

    endpoint.says = says
    good, bad = client(timeout_s=2.5).all(some(2))
    assert isinstance(good, Answer)
    assert isinstance(bad, DialogueRejected) and bad.reason == "endpoint_timeout"
    assert bad.detail == "no answer in 2.5 s; other requests are answered"


def slow_for(*names):
    """Answers in time what shows none of these names; all of them are slow if none is named."""

    def says(body):
        written = message(body)
        slow = any(f"Is it {name}?" in written for name in names) if names else not is_simple_question(body)
        return Said(well(body).body, wait_s=2.0 if slow else 0.0)

    return says


@pytest.mark.parametrize("at_once", [1, 4])
def test_an_endpoint_too_slow_for_every_request_ends_all_and_rejects_none(endpoint, client, at_once):
    """Something easy it would answer in time."""
    endpoint.says = slow_for()
    with pytest.raises(UserError, match=r"no answer in 0\.4 s.* no other .*Raise timeout_s, or lower at_once, or max_"):
        client(timeout_s=0.4, at_once=at_once).all(some(8))
    endpoint.says = well
    results = client(timeout_s=5.0).all(some(8))
    assert all(isinstance(result, Answer) for result in results)


def test_an_endpoint_that_becomes_too_slow_ends_all(endpoint, client):
    asking = client(timeout_s=0.4)
    asking.all(some(2))
    endpoint.says = slow_for()
    with pytest.raises(UserError, match=r"to one that was answered before: no answer in 0\.4 s"):
        asking.all(some(8))


@pytest.mark.parametrize("restarted", [False, True])
def test_a_slow_request_on_its_own_is_rejected_where_another_is_answered_again(endpoint, client, restarted):
    asking = client(timeout_s=1.0, at_once=1)
    asking.all(some(1))
    asking = client(timeout_s=1.0, at_once=1) if restarted else asking
    endpoint.says = slow_for("d1")
    bad, good = asking.all(some(2)[::-1])
    assert isinstance(good, Answer)
    assert isinstance(bad, DialogueRejected) and bad.reason == "endpoint_timeout"
    asked = Counter(is_simple_question(request) or message(request) for request in endpoint.requests)
    assert asked == {"Is it d0?": 3, "Is it d1?": 4}


def test_an_answer_that_drips_in_is_no_answer(endpoint, client):
    """A limit on each read would never be reached."""
    endpoint.says = lambda body: Said(well(body).body, drip_s=0.1)
    with pytest.raises(UserError, match=r"no answer in 0\.5 s"):
        client(timeout_s=0.5).all(some(1))


def test_an_answer_without_end_is_no_answer(endpoint, client):
    endpoint.says = first_then(chat("x" * (1 << 23)))
    (result,) = client().all(some(1))
    assert isinstance(result, Answer)
    assert [is_simple_question(request) for request in endpoint.requests] == [False, False]


def test_a_probe_asks_something_easy(endpoint):
    model = ChatModel(url=endpoint.url, model="some-model")
    assert problem(model, "judge") is None and [is_simple_question(body) for body in endpoint.requests] == [True]
    for said, words in ((Said("who?", 401), "HTTP 401"), (Said("no", 500), "HTTP 500"), (Said("<html>"), "<html>")):
        endpoint.says = lambda _, said=said: said
        assert words in problem(model, "judge")
    endpoint.says = lambda _: Said("no such model", 404)
    assert "as judge.model the endpoint's own name for it" in problem(model, "judge")
    endpoint.server_close()
    assert "no connection" in problem(model, "judge")


@pytest.mark.parametrize("proxy", ["socks5h://127.0.0.1:9", "gopher://127.0.0.1:9", "http://127.0.0.1:port"])
def test_a_proxy_that_cannot_be_used_ends_all(endpoint, client, monkeypatch, proxy):
    monkeypatch.setitem(sys.modules, "socksio", None)  # as where it is not installed
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(UserError, match=r"environment \(.*ALL_PROXY.* Mend or unset"):
        client().all(some(2))
    model = ChatModel(url=endpoint.url, model="some-model")
    assert "ALL_PROXY" in problem(model, "judge") and endpoint.requests == []


def test_nobody_listens(client, endpoint):
    endpoint.server_close()
    with pytest.raises(UserError, match="no connection"):
        client().all(some(30))


def test_no_more_requests_at_once_than_allowed(endpoint, client):
    endpoint.says = lambda body: Said(well(body).body, wait_s=0.05)
    client(at_once=3).all(some(12))
    assert endpoint.most_under_way == 3


def test_a_schema_is_asked_for_until_it_is_refused(endpoint, client):
    asking = client(at_once=1)
    asking.all(some(1))
    assert endpoint.requests[0]["response_format"] == SCHEMA
    endpoint.says = lambda body: Said("no response_format here", 400) if "response_format" in body else well(body)
    results = client(at_once=1, temperature=0.1).all(some(3))
    assert all(isinstance(result, Answer) for result in results)
    assert ["response_format" in request for request in endpoint.requests[1:]] == [True, False, False, False]
    assert json.dumps(endpoint.requests[2]) in json.dumps(endpoint.answered)
