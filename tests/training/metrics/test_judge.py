"""The judge of replies, with real requests to an endpoint on loopback."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.show.progress import Display
from duplexgen.training.metrics.judge import Judge, Reply, Verdict
from duplexgen.training.metrics.metrics import Figure
from duplexgen.training.metrics.recipe import JudgeModel
from duplexgen.training.metrics.scores import scored
from tests.serving import Endpoint, Said, chat, serving


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving(in_turn(chat("3"))) as server:
        yield server


def in_turn(*replies: Said) -> Callable[[dict[str, Any]], Said]:
    """Answers each request with the next reply, then with the last one again and again."""
    script = list(replies)
    return lambda _: script.pop(0) if len(script) > 1 else script[0]


@pytest.fixture
def judge(endpoint: Endpoint, tmp_path: Path) -> Callable[..., Judge]:
    def make(**changes: Any) -> Judge:
        model = JudgeModel(url=endpoint.url, model="some-judge", **changes)
        return Judge(model, tmp_path / "judged", waits_s=(0.01, 0.01))

    return make


def score(judge: Judge, *replies: str) -> list[Verdict]:
    done: list[int] = []
    verdicts = judge.verdicts([Reply(str(n), "Where is it?", reply) for n, reply in enumerate(replies)], done.append)
    assert done == list(range(1, len(replies) + 1))
    return verdicts


def test_a_reply_is_scored(endpoint: Endpoint, judge: Callable[..., Judge], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a key")
    endpoint.says = in_turn(chat("4"))
    assert score(judge(), "It is on the left.") == [Verdict(4)]
    (request,) = endpoint.requests
    assert request["model"] == "some-judge" and request["temperature"] == 0
    assert "Where is it?" in request["messages"][0]["content"]
    assert "It is on the left." in request["messages"][0]["content"]
    assert endpoint.keys == ["Bearer a key"]


@pytest.mark.parametrize(("answer", "number"), [("5", 5), ("Score: 3.", 3), ("2/5", 2), (" **1**\n", 1)])
def test_ways_to_say_a_score(endpoint: Endpoint, judge: Callable[..., Judge], answer: str, number: int) -> None:
    endpoint.says = in_turn(chat(answer))
    assert score(judge(), "Here.") == [Verdict(number)]


@pytest.mark.parametrize("answer", ["7", "4 or 5", "45", "good", "", "3.5", "-", None, ["4"]])
def test_what_is_no_score_is_asked_for_again_and_then_none(
    endpoint: Endpoint, judge: Callable[..., Judge], answer: Any
) -> None:
    endpoint.says = in_turn(chat(answer), chat("4"))
    assert score(judge(), "Here.") == [Verdict(4)]
    endpoint.says = in_turn(chat(answer))
    (verdict,) = score(judge(attempts=2), "There.")
    assert verdict.score is None and "no score from 1 to 5" in str(verdict.problem)
    assert len(endpoint.requests) == 4 and len({str(request) for request in endpoint.requests}) == 4


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_endpoint_is_asked_again(endpoint: Endpoint, judge: Callable[..., Judge], status: int) -> None:
    endpoint.says = in_turn(Said("later", status), Said("later", status), chat("4"))
    assert score(judge(), "Here.") == [Verdict(4)]


def test_one_reply_that_is_refused_has_no_score_and_the_others_have(
    endpoint: Endpoint, judge: Callable[..., Judge]
) -> None:
    def says(body: dict[str, Any]) -> Said:
        return Said("too long", 400) if "far too" in body["messages"][0]["content"] else chat("4")

    endpoint.says = says
    first, second, third = score(judge(), "Here.", "It is far too long.", "There.")
    assert first == third == Verdict(4)
    assert second.score is None and "endpoint_refused: HTTP 400: too long" in str(second.problem)


def test_an_endpoint_that_dies_ends_the_judging_and_a_restart_asks_nothing_twice(
    endpoint: Endpoint, judge: Callable[..., Judge]
) -> None:
    endpoint.says = in_turn(chat("4"), Said("gone", 500))
    with pytest.raises(UserError, match=r"gives no answers of some-judge.* takes what judge asks of it"):
        score(judge(at_once=1), "Here.", "There.")
    endpoint.says, before = in_turn(chat("2")), len(endpoint.requests)
    assert score(judge(), "Here.", "There.") == [Verdict(4), Verdict(2)]
    assert len(endpoint.requests) == before + 1


def test_an_endpoint_that_answers_nothing_is_found_before_any_work(
    endpoint: Endpoint, judge: Callable[..., Judge]
) -> None:
    judge().check()
    endpoint.says = in_turn(Said("who are you?", 401))
    with pytest.raises(UserError, match=r"gives no answers: .*OPENAI_API_KEY"):
        judge().check()


def test_silence_needs_no_judge(endpoint: Endpoint, judge: Callable[..., Judge]) -> None:
    assert score(judge(), " ") == [Verdict(1)] and endpoint.requests == []


def test_scores_become_figures(endpoint: Endpoint, judge: Callable[..., Judge]) -> None:
    scores = {"In Paris.": "4", "In Rome.": "2", "Nowhere.": "?"}
    endpoint.says = lambda body: chat(next(scores[one] for one in scores if one in body["messages"][0]["content"]))
    rows: list[dict[str, Any]] = [
        {"set": "s", "dialogue_id": id_, "barge_in_sample": None, "questions": ["?"], "reply": reply}
        for id_, reply in (("a", "In Paris."), ("b", "In Rome."), ("c", "Nowhere."))
    ]
    result: dict[str, Any] = {"figures": {"s": {}}, "items": rows}
    scored(result, judge(), {"a": ["paris"], "b": ["Milan"]}, 0, Display())
    assert result["figures"]["s"]["s2s"].value == 3 and result["figures"]["s"]["s2s"].items == 2
    assert isinstance(result["figures"]["s"]["qa_accuracy"], Figure)
    assert (result["figures"]["s"]["qa_accuracy"].value, result["figures"]["s"]["qa_accuracy"].items) == (0.5, 2)
    assert [row["judge"]["score"] for row in rows] == [4, 2, None]
    assert "q2_s2s" not in result["figures"]["s"]


def test_a_set_may_have_scores_of_both_kinds(endpoint: Endpoint, judge: Callable[..., Judge]) -> None:
    """As in free_input: in some rows a question interrupts a reply, in others none does."""
    endpoint.says = lambda body: chat("5" if "In Paris." in body["messages"][0]["content"] else "1")
    rows: list[dict[str, Any]] = [
        {"set": "s", "dialogue_id": id_, "barge_in_sample": barge_in, "questions": ["?"], "reply": reply}
        for id_, barge_in, reply in (("a", None, "In Paris."), ("b", 0, "In Rome."), ("c", 9, "In Rome."))
    ]
    result: dict[str, Any] = {"figures": {"s": {}}, "items": rows}
    scored(result, judge(), None, 0, Display())
    figures = result["figures"]["s"]
    assert (figures["s2s"].value, figures["s2s"].items) == (5, 1)
    assert (figures["q2_s2s"].value, figures["q2_s2s"].items) == (1, 2)
