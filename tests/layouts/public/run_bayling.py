"""BayLing-Duplex's published loop with a tiny model that says what a row says: what is its model fed, what comes out?

Runs in the environment of the clones: run_bayling.py CLONES GIVEN.json RETURNED.json. The model is a folder with
ChatGLM's names, and the code that GLM-4-Voice publishes. Stubs stand in for the speech tokenizer and the vocoder.
"""

import json
import sys
from collections import deque
from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock

import torch


def stubbed() -> None:
    """What the class imports for other ends, with packages of their own."""
    for name, member in (("flow_inference", "AudioDecoder"), ("speech_tokenizer.modeling_whisper", "WhisperVQEncoder")):
        module = ModuleType(f"bayling_duplex_runtime.{name}")
        setattr(module, member, MagicMock())
        sys.modules[module.__name__] = module


def replay(bayling, given: dict) -> dict:
    """given: `user`, codes; `text` and `assistant`, the ids that are sampled; the `rows` and `columns` of logits."""
    fed, positions, logits = [], [], []
    forward = bayling.own_forward

    def spy(input_ids, position_ids, **rest):
        answer = forward(input_ids=input_ids, position_ids=position_ids, **rest)
        fed.extend(input_ids[0].tolist())
        positions.extend(position_ids[0].tolist())
        logits.extend(answer.logits[0])
        return answer

    sampled = {"text": deque(given["text"]), "audio": deque(given["assistant"])}

    def sample(scores, mode, **_):
        id_ = sampled[mode].popleft()
        assert bayling._mask_logits(scores, mode)[0, id_].isfinite(), f"the loop cannot sample {id_} as {mode}"
        return id_

    bayling.model.forward, bayling._sample_token = spy, sample
    result = bayling.generate_from_audio_tokens(given["user"], None, 600.0, max_epad_count=len(given["text"]))
    assert not sampled["text"] and not sampled["audio"], "the loop sampled less than a row has"
    scores = torch.stack(logits)
    answer = {
        "fed": fed,
        "positions": positions,
        "assistant": result.audio_tokens,
        "texts": [segment.text for segment in result.segments],
        "logsumexp": scores.logsumexp(dim=1).tolist(),
    }
    return answer | ({"logits": scores[given["rows"]][:, given["columns"]].tolist()} if "rows" in given else {})


def main(clones: Path, given: Path, returned: Path) -> None:
    sys.path.insert(0, str(clones / "bayling-duplex"))
    stubbed()
    from bayling_duplex import duplex

    duplex.WhisperFeatureExtractor = MagicMock()
    asked = json.loads(given.read_text())
    torch.set_num_threads(1)
    bayling = duplex.BayLingDuplex(asked["model"], "no speech tokenizer", device="cpu")
    bayling.own_forward = bayling.model.forward
    names = {name: getattr(bayling, f"{name}_token_id") for name in ("silence", "assistant", "pad", "epad")}
    about = {"class": type(bayling.model).__name__, "audio_vocab_size": bayling.audio_vocab_size, "states": names}
    replayed = {name: replay(bayling, example) for name, example in asked["examples"].items()}
    returned.write_text(json.dumps({"about": about, "examples": replayed}))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
