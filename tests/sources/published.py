"""Rows in the forms in which text corpora are published: their columns and types, with words of our own."""

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

Row = dict[str, Any]
ASKED = ("Why is the sky blue?", "How do I boil an egg?")
REPLIED = ("Air scatters blue light more than red.", "Eight minutes in boiling water.")
ASKED_ZH = ("天空为什么是蓝色的？", "那日落呢？")
REPLIED_ZH = ("空气散射蓝光。", "光要走更长的路。")


def turns(*texts: str, user: str = "human", assistant: str = "gpt") -> list[Row]:
    return [{"from": (user, assistant)[number % 2], "value": text} for number, text in enumerate(texts)]


def magpie(uuid: str, asked: str, replied: str, language: str | None) -> Row:
    """Magpie-Align/Magpie-*: Parquet; the first exchange is in `instruction` and `response`, too."""
    return {
        "uuid": uuid,
        "instruction": asked,
        "response": replied,
        "conversations": turns(asked, replied),
        "gen_input_configs": {"temperature": 1.0, "top_p": 1.0, "input_generator": "a model", "seed": None},
        "task_category": "Information seeking",
        "other_task_category": ["Advice seeking"],
        "difficulty": "easy",
        "language": language,  # ISO 639-1 in capitals; None where the detector failed
        "min_neighbor_distance": 0.25,
        "repeat_count": 0,
    }


def infinity(id_: int | str, language: str, *texts: str, system: str | None = None) -> Row:
    """BAAI/Infinity-Instruct, a configuration such as 7M: Parquet; `id` is a number there, and text in 0625."""
    return {
        "id": id_,
        "conversations": [{"from": "system", "value": system}] * (system is not None) + turns(*texts),
        "label": {"ability_en": ["explanation"], "ability_zh": ["解释"], "cate_ability_en": [], "cate_ability_zh": []},
        "langdetect": language,  # as the package langdetect names it: en, zh-cn
        "source": "Subjective",
    }


def belle_multiturn(*texts: str) -> Row:
    """BelleGroup/multiturn_chat_0.8M: the dialogue so far in one text, the last reply in `output`."""
    marked = "".join(f"{('Human', 'Assistant')[number % 2]}:{text}\n" for number, text in enumerate(texts[:-1]))
    return {"instruction": marked + "Assistant:", "input": "", "output": texts[-1]}


MAGPIE = [
    magpie("0f8e-1", ASKED[0], REPLIED[0], "EN"),
    magpie("0f8e-2", ASKED_ZH[0], REPLIED_ZH[0], "ZH"),
    magpie("0f8e-3", ASKED[1], REPLIED[1], "EN"),
    magpie("0f8e-4", "?", "!", None),
]
INFINITY = [
    infinity(0, "en", ASKED[0], REPLIED[0], system="You are kind."),
    infinity(1, "zh-cn", ASKED_ZH[0], REPLIED_ZH[0], ASKED_ZH[1], REPLIED_ZH[1]),
    infinity(2, "en", ASKED[1], REPLIED[1]),
]
BELLE = [{"instruction": ASKED_ZH[0], "input": "", "output": REPLIED_ZH[0]}]  # train_0.5M_CN, 1M, 2M
BELLE_MULTITURN = [belle_multiturn(ASKED_ZH[0], REPLIED_ZH[0], ASKED_ZH[1], REPLIED_ZH[1])]
BELLE_CONVERSATIONS = [  # train_3.5M_CN
    {"id": "66623029", "conversations": turns(ASKED_ZH[0], REPLIED_ZH[0], assistant="assistant")}
]
WIZARDLM_70K = [{"instruction": ASKED[0], "output": REPLIED[0]}]
WIZARDLM_196K = [{"idx": "an-idx", "conversations": turns(ASKED[0], REPLIED[0], ASKED[1], REPLIED[1])}]


def write(file: Path, rows: list[Row]) -> Path:
    """In the form that the name asks for; a .json is a list, except Belle's, which has a row per line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    elif file.name.startswith("alpaca") or "evol" in file.name:
        file.write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8")
    else:
        file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file
