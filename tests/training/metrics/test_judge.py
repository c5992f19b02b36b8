from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from duplexgen.pipeline.show.progress import Display
from duplexgen.training.metrics.judge import Judge, Verdict
from duplexgen.training.metrics.metrics import Figure
from duplexgen.training.metrics.scores import scored
from tests.serving import Endpoint, Said, chat, serving


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving(in_turn(chat("3"))) as server:
        yield server


def in_turn(*said: Said) -> Callable[[dict[str, Any]], Said]:
    """Answers each request with the next, then with the last one again."""
    script = list(said)
    return lambda _: script.pop(0) if len(script) > 1 else script[0]


def judge(endpoint: Endpoint, **changes: Any) -> Judge:
    return Judge(endpoint.url, "some-judge", **{"waits_s": (0.01, 0.01)} | changes)


def test_a_reply_is_scored(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a key")
    endpoint.says = in_turn(chat("4"))
    assert judge(endpoint).score("Where is it?", "It is on the left.") == Verdict(4)
    (request,) = endpoint.requests
    assert request["model"] == "some-judge"
    assert "Where is it?" in request["messages"][0]["content"]
    assert "It is on the left." in request["messages"][0]["content"]
    assert endpoint.keys == ["Bearer a key"]


def test_no_key_is_sent_where_there_is_none(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    endpoint.says = in_turn(chat("4"))
    judge(endpoint).score("Where is it?", "Here.")
    assert endpoint.keys == [None]


@pytest.mark.parametrize(("said", "score"), [("5", 5), ("Score: 3.", 3), ("2/5", 2), (" **1**\n", 1)])
def test_ways_to_say_a_score(endpoint: Endpoint, said: str, score: int) -> None:
    endpoint.says = in_turn(chat(said))
    assert judge(endpoint).score("?", "Here.") == Verdict(score)


@pytest.mark.parametrize("said", ["7", "4 or 5", "45", "good", "", "3.5", "-", None, ["4"]])
def test_what_is_no_score_is_none(endpoint: Endpoint, said: Any) -> None:
    endpoint.says = in_turn(chat(said))
    verdict = judge(endpoint).score("?", "Here.")
    assert verdict.score is None and verdict.problem
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    "body", ["<html>", "", "[]", "{}", '{"choices": []}', "null", "[" * 9**6, "x" * 2**23], ids=range(8)
)
def test_garbage_gives_no_score(endpoint: Endpoint, body: str) -> None:
    endpoint.says = in_turn(Said(body))
    verdict = judge(endpoint).score("?", "Here.")
    assert verdict.score is None and verdict.problem


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_endpoint_is_asked_again(endpoint: Endpoint, status: int) -> None:
    endpoint.says = in_turn(Said("later", status), Said("later", status), chat("4"))
    assert judge(endpoint).score("?", "Here.") == Verdict(4)
    endpoint.says = in_turn(Said("never", status))
    assert judge(endpoint).score("?", "Here.") == Verdict(None, f"HTTP {status}")
    assert len(endpoint.requests) == 6


def test_an_endpoint_that_refuses_is_asked_once(endpoint: Endpoint) -> None:
    endpoint.says = in_turn(Said("no", 401))
    assert judge(endpoint).score("?", "Here.") == Verdict(None, "HTTP 401")
    assert len(endpoint.requests) == 1


def test_half_an_answer_is_none(endpoint: Endpoint) -> None:
    endpoint.says = in_turn(replace(chat("4"), withheld=10))
    verdict = judge(endpoint).score("?", "Here.")
    assert verdict.score is None and "IncompleteRead" in str(verdict.problem)
    assert len(endpoint.requests) == 3


def test_nobody_listens() -> None:
    verdict = Judge("http://127.0.0.1:9/v1", "some-judge", waits_s=(0.01,)).score("?", "Here.")
    assert verdict.score is None and "refused" in str(verdict.problem)


def test_silence_needs_no_judge() -> None:
    assert Judge("http://127.0.0.1:9/v1", "some-judge").score("?", " ") == Verdict(1)


def test_scores_become_figures(endpoint: Endpoint) -> None:
    endpoint.says = in_turn(chat("4"), chat("2"), Said("garbage"))
    rows: list[dict[str, Any]] = [
        {"set": "s", "dialogue_id": id_, "scenario": "turn_taking", "questions": ["?"], "reply": reply}
        for id_, reply in (("a", "In Paris."), ("b", "In Rome."), ("c", "Nowhere."))
    ]
    result: dict[str, Any] = {"figures": {"s": {}}, "items": rows}
    scored(result, judge(endpoint), {"a": ["paris"], "b": ["Milan"]}, 0, Display())
    assert result["figures"]["s"]["s2s"].value == 3 and result["figures"]["s"]["s2s"].items == 2
    assert isinstance(result["figures"]["s"]["qa_accuracy"], Figure)
    assert (result["figures"]["s"]["qa_accuracy"].value, result["figures"]["s"]["qa_accuracy"].items) == (0.5, 2)
    assert sorted(str(row["judge"]["score"]) for row in rows) == ["2", "4", "None"]
