"""The shared vocabulary: one range of ids for text, state tokens and speech (BayLing-Duplex section 2.1)."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DialogueRejected, UserError
from ..tokens.protocols import SpeechTokenizer, TextTokenizer

FORMAT_VERSION = 2  # of vocabulary.json
STATE_TOKENS = {"silence": "[SILENCE]", "assistant": "<|assistant|>", "pad": "[PAD]", "epad": "[EPAD]"}
"""As the published inference of BayLing-Duplex looks them up. A tokenizer's own `<|silence|>` is another token."""
STATES = tuple(STATE_TOKENS)
END_OF_TEXT = "<|endoftext|>"
"""What collators pad with and generation stops at; in no sequence of ours."""
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
"""What a `vocabulary/` folder has."""

TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "clean_up_tokenization_spaces": False,  # decoding gives the text back as it was
    "model_input_names": ["input_ids", "attention_mask"],
    "pad_token": END_OF_TEXT,
    "eos_token": END_OF_TEXT,
}
"""What tokenizer_config.json says."""

AUDIO_TOKEN = re.compile(r"<\|audio_(0|[1-9][0-9]*)\|>")

Ids = NDArray[np.int32]


def audio_token(code: int) -> str:
    return f"<|audio_{code}|>"


@dataclass(frozen=True)
class Vocabulary:
    """Which id means what. Code c of codebook 0 is id `audio_first_id` + c."""

    silence: int
    assistant: int
    pad: int
    epad: int
    audio_first_id: int
    audio_size: int  # codes of codebook 0 that have an id: 0 … audio_size - 1
    text_size: int  # text ids are 0 … text_size - 1, but for end_of_text
    end_of_text: int | None = None  # None: data sets and models of before it was declared
    tokenizer_json: str | None = field(default=None, repr=False, compare=False)  # None: read from vocabulary.json

    def __post_init__(self) -> None:
        own = [*self.state.values(), *range(self.audio_first_id, self.audio_first_id + self.audio_size)]
        if len(set(own)) != len(own) or min(own) < self.text_size or self.end_of_text in own:
            raise ValueError(f"text ids (0 … {self.text_size - 1}), state ids and audio ids must not meet: {self}")

    @classmethod
    def build(cls, text_tokenizer: TextTokenizer, speech_tokenizer: SpeechTokenizer) -> "Vocabulary":
        """Text ids first, then the state tokens, then one token per code of codebook 0, then `<|endoftext|>`.

        Tokens that the text tokenizer already has keep their ids, for any use; every id is looked up by its string.
        Audio tokens follow each other, as BayLing-Duplex assumes. If the tokenizer has some of them, the missing ones
        are added first if they follow those, as `<|audio_16383|>` does in GLM-4-Voice's. If other tokens are in the
        way, they are not added, and codes without an id reject their dialogue.
        Raises UserError if the tokenizer has one of them among its text, or audio tokens in another order.
        """
        from tokenizers import AddedToken, Tokenizer

        tokenizer = Tokenizer.from_str(text_tokenizer.to_json())
        known = tokenizer.get_vocab(with_added_tokens=True)
        audio = [audio_token(code) for code in range(speech_tokenizer.codebook_size)]
        states = list(STATE_TOKENS.values())
        if num_known := _known_codes(known, text_tokenizer.name):
            if known[audio_token(num_known - 1)] < max(known.values()):
                audio = audio[:num_known]
            added = [*audio, *states]
        else:
            added = [*states, *audio]
        special = [AddedToken(token, normalized=False, special=True) for token in (*added, END_OF_TEXT)]
        tokenizer.add_special_tokens(special)

        ids: dict[str, int] = {}
        for token in added:
            id_ = tokenizer.token_to_id(token)
            if id_ is None or id_ < text_tokenizer.vocab_size:
                raise UserError(
                    f"the text tokenizer {text_tokenizer.name!r} cannot take the token {token}: its id would be {id_}, "
                    f"and text has the ids 0 … {text_tokenizer.vocab_size - 1}. Use another text tokenizer."
                )
            ids[token] = id_
        return cls(
            **{state: ids[token] for state, token in STATE_TOKENS.items()},
            audio_first_id=ids[audio[0]],
            audio_size=len(audio),
            text_size=text_tokenizer.vocab_size,
            end_of_text=tokenizer.token_to_id(END_OF_TEXT),
            tokenizer_json=tokenizer.to_str(pretty=False),
        )

    @classmethod
    def from_json(cls, description: Mapping[str, Any]) -> "Vocabulary":
        """The vocabulary a `vocabulary.json` describes. Raises ValueError if it is of another format version."""
        if (version := description.get("format_version")) != FORMAT_VERSION:
            raise ValueError(f"vocabulary.json has format_version {version!r}, expected {FORMAT_VERSION}")
        audio = description["audio"]
        return cls(
            **{state: description["state"][state] for state in STATES},
            audio_first_id=audio["first_id"],
            audio_size=audio["size"],
            text_size=description["text_tokenizer"]["vocab_size"],
            end_of_text=description.get("end_of_text"),
        )

    @property
    def state(self) -> dict[str, int]:
        return {"silence": self.silence, "assistant": self.assistant, "pad": self.pad, "epad": self.epad}

    @property
    def size(self) -> int:
        """One past the largest id: the rows an embedding needs."""
        last_audio = self.audio_first_id + self.audio_size - 1
        return max(last_audio, *self.state.values(), self.end_of_text or 0) + 1

    def audio_ids(self, codes: ArrayLike) -> Ids:
        """Ids of codes of codebook 0, any shape.

        Raises DialogueRejected(`code_without_id`) at a code that the text tokenizer has no room for, see `build`, and
        ValueError at a negative one.
        """
        codes = np.asarray(codes)
        _raise_at_first(codes < 0, codes, "is no code")
        if codes.max(initial=0) >= self.audio_size:
            raise DialogueRejected(
                "code_without_id",
                f"speech has code {codes.max()}: the text tokenizer has ids only for 0 … {self.audio_size - 1}",
            )
        return (self.audio_first_id + codes.astype(np.int32)).astype(np.int32)

    def audio_codes(self, ids: ArrayLike) -> NDArray[np.int16]:
        """Codes of codebook 0 of audio ids, any shape. Raises ValueError at an id that is not audio."""
        ids = np.asarray(ids)
        _raise_at_first(~self.is_audio(ids), ids, "is not an audio id")
        return (ids - self.audio_first_id).astype(np.int16)

    def is_audio(self, ids: ArrayLike) -> NDArray[np.bool_]:
        ids = np.asarray(ids)
        return (ids >= self.audio_first_id) & (ids < self.audio_first_id + self.audio_size)

    def is_text(self, ids: ArrayLike) -> NDArray[np.bool_]:
        """Whether ids are text. `<|endoftext|>` is not, though some tokenizers have it among their text."""
        ids = np.asarray(ids)
        is_text: NDArray[np.bool_] = (ids >= 0) & (ids < self.text_size)
        return is_text if self.end_of_text is None else is_text & (ids != self.end_of_text)

    def save(self, folder: Path) -> None:
        """Write the `vocabulary/` folder, which `transformers.AutoTokenizer.from_pretrained` loads.

        The declared padding token is `<|endoftext|>`, not [PAD]: collators mask the declared one out of the loss, and
        the model has to learn [PAD]. Raises ValueError on a vocabulary that was read from a vocabulary.json.
        """
        if self.tokenizer_json is None:
            raise ValueError("only a vocabulary made by Vocabulary.build has a tokenizer to save")
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in zip(
            TOKENIZER_FILES, (self.tokenizer_json, json.dumps(TOKENIZER_CONFIG, indent=2)), strict=True
        ):
            (folder / name).write_bytes(text.encode("utf-8") + b"\n")


def _known_codes(known: Mapping[str, int], name: str) -> int:
    """How many codes, from 0 on, a tokenizer has audio tokens for. Raises UserError unless their ids follow each other.

    known: all its tokens. name: what a recipe calls it.
    """
    ids = {int(found[1]): id_ for token, id_ in known.items() if (found := AUDIO_TOKEN.fullmatch(token))}
    for place, code in enumerate(sorted(ids)):
        if code != place or ids[code] != ids[0] + code:
            raise UserError(
                f"the text tokenizer {name!r} has the token {audio_token(code)} with the id {ids[code]}, but audio "
                "tokens have to follow each other from <|audio_0|> on. Use another text tokenizer."
            )
    return len(ids)


def _raise_at_first(wrong: NDArray[np.bool_], values: NDArray[Any], complaint: str) -> None:
    if not wrong.any():
        return
    position = tuple(int(i) for i in np.unravel_index(int(wrong.argmax()), wrong.shape))
    where = position[0] if len(position) == 1 else position
    raise ValueError(f"{values[position]} at position {where} {complaint}")
