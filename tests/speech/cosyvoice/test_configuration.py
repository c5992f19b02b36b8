from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.speech.cosyvoice.configuration import only_parts
from duplexgen.pipeline.speech.section import CosyVoice
from tests.speech.cosyvoice.configurations import TINY, configuration

PATH = Path("cosyvoice2.yaml")


@pytest.mark.parametrize("version", [1, 2, 3])
def test_keeps_the_parts_and_what_they_refer_to(version):
    text = configuration(version, TINY) + "\nparquet_opener: !name:cosyvoice.dataset.processor.parquet_opener\n"
    kept = only_parts(text, PATH)
    names = [key.value for key, _ in yaml.compose(kept, Loader=yaml.SafeLoader).value]
    assert {"llm", "flow", "hift", "get_tokenizer", "feat_extractor", "allowed_special", "sample_rate"} <= set(names)
    assert names.index("llm") < names.index("flow") < names.index("hift")  # each draws from what the one before left
    assert "!apply" not in kept
    assert "parquet_opener" not in kept


@pytest.mark.parametrize(
    "tag", ["!apply:os.system", "!new:subprocess.Popen", "!name:builtins.eval", "!new:cosyvoice.llm.llm.HFBackbone"]
)
def test_runs_nothing_else(tag):
    text = configuration(2, TINY).replace("!new:cosyvoice.llm.llm.Qwen2Encoder", tag)
    with pytest.raises(UserError, match=r"cosyvoice2\.yaml, line \d+"):
        only_parts(text, PATH)


def test_names_what_is_missing():
    with pytest.raises(UserError, match="lacks allowed_special, feat_extractor, flow, get_tokenizer, hift, llm"):
        only_parts("sample_rate: 24000", PATH)
    with pytest.raises(UserError, match="line 1: not YAML"):
        only_parts("a: [", PATH)
    with pytest.raises(UserError, match="mapping"):
        only_parts("- a", PATH)


@pytest.mark.parametrize("key", ["compile", "tensorrt"])
def test_a_recipe_may_not_ask_for_what_is_no_longer_there(key):
    with pytest.raises(ValidationError, match=f"{key}\n.*extra_forbidden|{key}\n.*not permitted"):
        CosyVoice.model_validate({"model": "models/CosyVoice2-0.5B", "bank": "voices/bank", key: True})
