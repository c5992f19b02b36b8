"""Rows of parallel streams, and tiny models over them, for the tests of training."""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from duplexgen.pipeline.dialogue import CHANNELS, CodedTrack
from duplexgen.pipeline.layouts.described import FORMAT_VERSION, Described
from duplexgen.pipeline.layouts.streams import STREAMS, Streams
from duplexgen.training.models.depth import DepthShape
from duplexgen.training.models.streams import StreamsConfig, StreamsForCausalLM
from duplexgen.training.sequences import SequenceFormat
from tests.layouts.streams import CODES, SPF, TEXT_SIZE, event, word

BACKBONE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
LLAMA: dict[str, Any] = BACKBONE | {"model_type": "llama", "max_position_embeddings": 200}
DEPTH: dict[str, Any] = {"hidden_size": 16, "num_layers": 2, "num_heads": 2}


def format_of(layout: Streams) -> SequenceFormat:
    """The format of a data set of this layout."""
    described = {
        "format_version": FORMAT_VERSION,
        "layout": layout.section.model_dump(),
        "sample_rate": 16_000,
        "samples_per_frame": SPF,
        "margin_frames": 2,
        "channels": list(CHANNELS),
        "ids": layout.vocabulary.ids(),
        "end_of_text": layout.vocabulary.end_of_text,
        "speech_tokenizer": {"name": "fake", "version": "1", "codebooks": layout.codebooks, "sha256": "0" * 64},
        "text_tokenizer": {"name": "fake", "vocab_size": TEXT_SIZE, "sha256": "0" * 64},
    }
    return SequenceFormat(Described.model_validate(described))


def ids_of(layout: Streams, frames: int, seed: int) -> NDArray[np.int32]:
    """A row of random codes [T, S], with one reply over about a third of it."""
    rng = np.random.default_rng(seed)
    shape = (layout.codebooks, frames + 2)
    user, assistant = (rng.integers(0, CODES, shape).astype(np.int16) for _ in range(2))
    first, past = frames // 3, 2 * frames // 3 + 1
    words = [word("one", first + 0.2, first + 1), word("two", first + 2.1, first + 3)]
    reply = event("assistant", first, past, words=words)
    text = [[int(id_)] for id_ in rng.integers(0, TEXT_SIZE, 2)]
    track = CodedTrack(user, assistant, 2, SPF, (reply,), ("one two",))
    texts = text if layout.name == "moshi" else [[id_ for ids in text for id_ in ids]]
    return np.stack(layout.encode(track, texts)[STREAMS]).T


def network_of(layout: Streams, backbone: dict[str, Any] = LLAMA, seed: int = 0, **depth: Any) -> StreamsForCausalLM:
    """A model whose weights are all drawn, also those of norms, and so large that each counts."""
    vocabulary, width = layout.vocabulary, backbone.get("word_embed_proj_dim", backbone["hidden_size"])
    audio: dict[str, Any] = {
        "codebooks": layout.codebooks,
        "codes": vocabulary.audio.codes,
        "audio_size": vocabulary.audio_size,
    }
    shape = DepthShape(input_size=width, **audio, **DEPTH | depth)
    torch.manual_seed(seed)
    config = StreamsConfig(text_config=backbone | {"vocab_size": vocabulary.size}, depth=asdict(shape))
    network = StreamsForCausalLM(config)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    network.eval()
    return network
