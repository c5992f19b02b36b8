import json

import pytest

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.rewriting.llm.prompt import Prompt, answer_schema
from duplexgen.pipeline.rewriting.section import LanguageModel, Rewriting
from tests.rewriting.llm.conftest import dialogue


def llm(**changes):
    return LanguageModel(url="http://127.0.0.1:9/v1", model="m", **changes)


@pytest.mark.parametrize("rewrites", ["dialogue", "replies"])
def test_a_prompt_that_ships_says_the_limits_and_ends_with_the_dialogue(rewrites):
    prompt = Prompt.read(llm(rewrites=rewrites))
    told = prompt.filled(
        dialogue("Is it $5, or ${unit}?", 'It\'s "five"\n— yes.'),
        ("user", "assistant"),
        Rewriting(max_user_words=41, max_reply_words=43),
    )
    *before, last = told.splitlines()
    assert [turn["text"] for turn in json.loads(last)["turns"]] == ["Is it $5, or ${unit}?", 'It\'s "five"\n— yes.']
    assert "43 words" in told and ("41 words" in told) == (rewrites == "dialogue")
    assert "English" in told and "$" not in "".join(before)


def test_chinese_counts_characters():
    told = Prompt.read(llm()).filled(dialogue("你好？", "你好。", language="zh"), ("user", "assistant"), Rewriting())
    assert "Chinese" in told and "60 characters" in told


def test_a_prompt_of_ones_own(tmp_path):
    path = tmp_path / "mine.md"
    path.write_text("For $$5: $dialogue", encoding="utf-8")
    prompt = Prompt.read(llm(prompt=str(path)))
    assert prompt.filled(dialogue("A?", "B."), ("user",), Rewriting()).startswith('For $5: {"turns"')
    assert prompt.sha256 != Prompt("For $$6: $dialogue").sha256


@pytest.mark.parametrize(
    ("text", "named"), [("$dialog", "$dialogue"), ("No field.", "$dialogue"), ("$dialogue costs $5", "$$")]
)
def test_a_prompt_that_cannot_be_filled_says_why(tmp_path, text, named):
    path = tmp_path / "mine.md"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"mine\.md") as wrong:
        Prompt.read(llm(prompt=str(path)))
    assert named in str(wrong.value)


def test_a_prompt_that_is_not_there_or_no_text(tmp_path):
    (tmp_path / "binary.md").write_bytes(b"\xff\xfe$dialogue")
    for name in ("none.md", "binary.md"):
        with pytest.raises(UserError, match=name):
            Prompt.read(llm(prompt=str(tmp_path / name)))


def test_the_schema_asks_for_as_many_turns_as_there_are():
    schema = answer_schema(("user", "assistant", "user", "assistant"))["json_schema"]["schema"]["properties"]["turns"]
    assert schema["minItems"] == schema["maxItems"] == 4
    assert schema["items"]["properties"]["role"]["enum"] == ["assistant", "user"]
