"""The examples as rows of our layouts."""

import numpy as np

from duplexgen.pipeline.dialogue import Role
from duplexgen.pipeline.layouts.flm import FLM, FLMSection, FLMVocabulary
from duplexgen.pipeline.layouts.moshi import Moshi, MoshiSection, MoshiVocabulary
from duplexgen.pipeline.layouts.stream_ids import AudioTable, Special
from tests.layouts.public import examples as ex

END_OF_TEXT = 1999
"""In no row."""


def special(**ids: int) -> dict[str, Special]:
    return {name: Special(id=id_, token=f"<{name}>") for name, id_ in ids.items()}


def audio(start: int | None) -> AudioTable:
    return AudioTable(codebooks=ex.CODEBOOKS, codes=ex.CODES, pad=ex.AUDIO_PAD, start=start)


def flm(example: ex.FlmExample) -> np.ndarray:
    """[17, T]; raises DialogueRejected if it does not fit."""
    tokens = special(wait=ex.WAIT, asr=ex.ASR, answer=ex.ANSWER)
    vocabulary = FLMVocabulary(ex.FLM_TEXT, END_OF_TEXT, tokens, audio(ex.AUDIO_START))
    layout = FLM(FLMSection(format=example.format), vocabulary, ex.SPF)
    return np.stack(layout.encode(example.track, example.texts)["streams"])


def moshi(example: ex.MoshiExample, channel: Role = "assistant") -> np.ndarray:
    """[17, T], of the speaker of that channel; raises DialogueRejected if it does not fit."""
    tokens = special(pad=ex.PAD, epad=ex.EPAD, initial=ex.INITIAL)
    vocabulary = MoshiVocabulary(ex.MOSHI_TEXT, END_OF_TEXT, tokens, audio(None))
    layout = Moshi(MoshiSection(spaces=False), vocabulary, ex.SPF)
    track = example.track if channel == "assistant" else example.swapped()
    texts = [example.tokens[text] for text in layout.texts(track)]
    return np.stack(layout.encode(track, texts)["streams"])
