import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from pipeline.display import Display
from training.judge import Judge, Verdict
from training.metrics import Figure
from training.scores import scored


class Endpoint(HTTPServer):
    """Answers each request with the next of `script`, then with the last one again."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[tuple[int, str]] = []
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.withheld = 0  # bytes promised and never sent

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        self.server.requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.server.keys.append(self.headers["Authorization"])
        status, body = self.server.script.pop(0) if len(self.server.script) > 1 else self.server.script[0]
        self.send_response(status if self.path == "/v1/chat/completions" else 404)
        self.send_header("Content-Length", str(len(body) + self.server.withheld))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def chat(content: Any) -> str:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]})


def judge(endpoint: Endpoint, **changes: Any) -> Judge:
    return Judge(endpoint.url, "some-judge", **{"waits_s": (0.01, 0.01)} | changes)


def test_a_reply_is_scored(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a key")
    endpoint.script = [(200, chat("4"))]
    assert judge(endpoint).score("Where is it?", "It is on the left.") == Verdict(4)
    (request,) = endpoint.requests
    assert request["model"] == "some-judge"
    assert "Where is it?" in request["messages"][0]["content"]
    assert "It is on the left." in request["messages"][0]["content"]
    assert endpoint.keys == ["Bearer a key"]


def test_no_key_is_sent_where_there_is_none(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    endpoint.script = [(200, chat("4"))]
    judge(endpoint).score("Where is it?", "Here.")
    assert endpoint.keys == [None]


@pytest.mark.parametrize(("said", "score"), [("5", 5), ("Score: 3.", 3), ("2/5", 2), (" **1**\n", 1)])
def test_ways_to_say_a_score(endpoint: Endpoint, said: str, score: int) -> None:
    endpoint.script = [(200, chat(said))]
    assert judge(endpoint).score("?", "Here.") == Verdict(score)


@pytest.mark.parametrize("said", ["7", "4 or 5", "45", "good", "", "3.5", "-", None, ["4"]])
def test_what_is_no_score_is_none(endpoint: Endpoint, said: Any) -> None:
    endpoint.script = [(200, chat(said))]
    verdict = judge(endpoint).score("?", "Here.")
    assert verdict.score is None and verdict.problem
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize("body", ["<html>", "", "[]", "{}", '{"choices": []}', "null"])
def test_garbage_gives_no_score(endpoint: Endpoint, body: str) -> None:
    endpoint.script = [(200, body)]
    verdict = judge(endpoint).score("?", "Here.")
    assert verdict.score is None and verdict.problem


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_endpoint_is_asked_again(endpoint: Endpoint, status: int) -> None:
    endpoint.script = [(status, "later"), (status, "later"), (200, chat("4"))]
    assert judge(endpoint).score("?", "Here.") == Verdict(4)
    endpoint.script = [(status, "never")]
    assert judge(endpoint).score("?", "Here.") == Verdict(None, f"HTTP {status}")
    assert len(endpoint.requests) == 6


def test_an_endpoint_that_refuses_is_asked_once(endpoint: Endpoint) -> None:
    endpoint.script = [(401, "no")]
    assert judge(endpoint).score("?", "Here.") == Verdict(None, "HTTP 401")
    assert len(endpoint.requests) == 1


def test_half_an_answer_is_none(endpoint: Endpoint) -> None:
    endpoint.script, endpoint.withheld = [(200, chat("4"))], 10
    verdict = judge(endpoint).score("?", "Here.")
    assert verdict.score is None and "IncompleteRead" in str(verdict.problem)
    assert len(endpoint.requests) == 3


def test_nobody_listens() -> None:
    verdict = Judge("http://127.0.0.1:9/v1", "some-judge", waits_s=(0.01,)).score("?", "Here.")
    assert verdict.score is None and "refused" in str(verdict.problem)


def test_silence_needs_no_judge() -> None:
    assert Judge("http://127.0.0.1:9/v1", "some-judge").score("?", " ") == Verdict(1)


def test_scores_become_figures(endpoint: Endpoint) -> None:
    endpoint.script = [(200, chat("4")), (200, chat("2")), (200, "garbage")]
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
