"""The prompt and the schema."""

import json
from pathlib import Path

import pytest

from duplexgen.pipeline.chat.section import PromptedModel
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.events.drawing import Drawn
from duplexgen.pipeline.events.llm.prompt import Prompt, answer_schema
from duplexgen.pipeline.rewriting.section import Rewriting
from tests.events.llm.conftest import TEXTS, dialogue


def read(prompt: Path | None = None) -> Prompt:
    return Prompt.read(PromptedModel(url="http://127.0.0.1:9/v1", model="m", prompt=str(prompt) if prompt else None))


def test_the_prompt_that_ships_tells_kinds_limits_and_what_is_wanted() -> None:
    events = [Drawn("negation", 1, ""), Drawn("backchannel", 3, "")]
    told = read().filled(dialogue(), events, Rewriting(max_user_words=41, max_reply_words=43))
    *before, turns, wanted = told.splitlines()
    assert [turn["number"] for turn in json.loads(turns)["turns"]] == [1, 2, 3, 4]
    assert json.loads(wanted)["wanted"] == [
        {"kind": "negation", "during": 2, "next_turn": 3},
        {"kind": "backchannel", "during": 4},
    ]
    assert "41 words" in told and "43 words" in told and "2 in all" in told and "$" not in "".join(before)
    assert all(kind in "".join(before) for kind in TEXTS)


@pytest.mark.parametrize(
    ("text", "named"), [("$dialogue", "$events"), ("$events", "$dialogue"), ("$num_turns", "$unit")]
)
def test_a_prompt_that_cannot_be_filled_says_why(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "mine.md"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"mine\.md") as wrong:
        read(path)
    assert named in str(wrong.value)


def test_the_schema_asks_for_what_each_kind_needs() -> None:
    def items(*kinds: str):
        schema = answer_schema([Drawn(kind, 1, "") for kind in kinds])["json_schema"]["schema"]["properties"]["events"]
        assert schema["minItems"] == schema["maxItems"] == len(kinds)
        return schema["items"]

    assert items("backchannel", "bystander")["required"] == ["kind", "text"]
    shapes = {tuple(shape["properties"]["kind"]["enum"]): shape["required"] for shape in items(*TEXTS)["anyOf"]}
    assert shapes == {
        ("assistant_backchannel", "backchannel", "bystander", "side_talk"): ["kind", "text"],
        ("follow_up", "negation", "silence_request", "topic_switch"): ["kind", "text", "after"],
        ("repetition",): ["kind", "text", "reply", "after"],
    }
