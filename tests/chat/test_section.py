from pathlib import Path

import pytest

from duplexgen.pipeline.chat.section import ChatModel
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.recipe.file import load


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8000/v1",
        "ftp://a/v1",
        "http://",
        "http://a:b/v1",
        "http://[a/v1",
        "https://me:key@a/v1",
        "https://a/v1?key=me:key",
        "http://a/v1/chat/completions/",
    ],
)
def test_an_address_that_is_none_is_a_mistake_and_is_not_shown(url: str, tmp_path: Path) -> None:
    file = tmp_path / "chat.yaml"
    file.write_text(f'url: "{url}"\nmodel: m\n')
    with pytest.raises(UserError, match=r"chat.yaml:1: url: expected (an|the) address") as refused:
        load(str(file), ChatModel, tmp_path)
    assert "me:key" not in str(refused.value)
