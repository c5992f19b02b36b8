"""The shared vocabulary: one range of ids for text, state tokens and speech (BayLing-Duplex section 2.1)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..dialogue import CHANNELS
from ..errors import UserError
from .protocols import SpeechTokenizer, TextTokenizer

FORMAT_VERSION = 1
STATES = ("silence", "assistant", "pad", "epad")
BAYLING_STATES = {"silence": "[SILENCE]", "assistant": "<|assistant|>", "pad": "[PAD]", "epad": "[EPAD]"}
"""How the published BayLing-Duplex names them."""

Ids = NDArray[np.int32]


def state_token(state: str) -> str:
    return f"<|{state}|>"


def audio_token(code: int) -> str:
    return f"<|audio_{code}|>"


@dataclass(frozen=True)
class Vocabulary:
    """Which id means what. Code c of codebook 0 is id `audio_first_id` + c, unless `audio_exceptions` names it."""

    silence: int
    assistant: int
    pad: int
    epad: int
    audio_first_id: int
    audio_size: int  # codes in codebook 0
    text_size: int  # text ids are 0 … text_size - 1
    audio_exceptions: Mapping[int, int] = field(default_factory=dict, hash=False)  # code -> id
    tokenizer_json: str | None = field(default=None, repr=False, compare=False)  # None: read from vocabulary.json

    def __post_init__(self) -> None:
        if strange := [code for code in self.audio_exceptions if not 0 <= code < self.audio_size]:
            raise ValueError(f"audio exceptions {strange} are not codes 0 … {self.audio_size - 1}")
        ids = np.concatenate([list(self.state.values()), self._id_by_code])
        if len(np.unique(ids)) != len(ids) or ids.min() < self.text_size:
            raise ValueError(f"text ids (0 … {self.text_size - 1}), state ids and audio ids must not meet: {self}")

    @classmethod
    def build(cls, text_tokenizer: TextTokenizer, speech_tokenizer: SpeechTokenizer) -> "Vocabulary":
        """Text ids first, then the state tokens, then one token a code of codebook 0.

        Tokens the text tokenizer already has keep their ids; every id is looked up by its string. GLM-4-Voice's has
        `<|assistant|>` and all audio tokens but the last, `<|audio_16383|>`, which its published code takes to be the
        id after the others: so what is missing of audio tokens is added before the states.
        Raises UserError if the tokenizer has one of them among its text.
        """
        from tokenizers import AddedToken, Tokenizer

        tokenizer = Tokenizer.from_str(text_tokenizer.to_json())
        known = tokenizer.get_vocab(with_added_tokens=True)
        states = {state: state_token(state) for state in STATES}
        if all(token in known for token in BAYLING_STATES.values()):
            states = BAYLING_STATES
        audio = [audio_token(code) for code in range(speech_tokenizer.codebook_size)]
        added = [*audio, *states.values()] if any(token in known for token in audio) else [*states.values(), *audio]
        tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in added])

        ids: dict[str, int] = {}
        for token in added:
            id_ = tokenizer.token_to_id(token)
            if id_ is None or id_ < text_tokenizer.vocab_size:
                raise UserError(
                    f"the text tokenizer {text_tokenizer.name!r} cannot take the token {token}: its id would be {id_}, "
                    f"and text has the ids 0 … {text_tokenizer.vocab_size - 1}. Use another text tokenizer."
                )
            ids[token] = id_
        first = ids[audio[0]]
        return cls(
            **{state: ids[token] for state, token in states.items()},
            audio_first_id=first,
            audio_size=len(audio),
            text_size=text_tokenizer.vocab_size,
            audio_exceptions={code: ids[token] for code, token in enumerate(audio) if ids[token] != first + code},
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
            audio_exceptions={int(code): id_ for code, id_ in audio["exceptions"].items()},
        )

    @property
    def state(self) -> dict[str, int]:
        return {"silence": self.silence, "assistant": self.assistant, "pad": self.pad, "epad": self.epad}

    @property
    def size(self) -> int:
        """One past the largest id: the rows an embedding needs."""
        return max(int(self._id_by_code.max()), *self.state.values()) + 1

    @cached_property
    def _id_by_code(self) -> Ids:
        ids = np.arange(self.audio_first_id, self.audio_first_id + self.audio_size, dtype=np.int32)
        for code, id_ in self.audio_exceptions.items():
            ids[code] = id_
        return ids

    @cached_property
    def _code_by_id(self) -> NDArray[np.int16]:
        codes = np.full(self.size, -1, np.int16)
        codes[self._id_by_code] = np.arange(self.audio_size, dtype=np.int16)
        return codes

    def audio_ids(self, codes: ArrayLike) -> Ids:
        """Ids of codes of codebook 0, any shape. Raises ValueError at a code outside 0 … audio_size - 1."""
        codes = np.asarray(codes)
        _raise_at_first((codes < 0) | (codes >= self.audio_size), codes, f"is no code 0 … {self.audio_size - 1}")
        ids: Ids = self._id_by_code[codes]
        return ids

    def audio_codes(self, ids: ArrayLike) -> NDArray[np.int16]:
        """Codes of codebook 0 of audio ids, any shape. Raises ValueError at an id that is not audio."""
        ids = np.asarray(ids)
        codes = self._codes(ids)
        _raise_at_first(codes < 0, ids, "is not an audio id")
        return codes

    def is_audio(self, ids: ArrayLike) -> NDArray[np.bool_]:
        return self._codes(np.asarray(ids)) >= 0

    def is_text(self, ids: ArrayLike) -> NDArray[np.bool_]:
        ids = np.asarray(ids)
        return (ids >= 0) & (ids < self.text_size)

    def _codes(self, ids: NDArray[Any]) -> NDArray[np.int16]:
        known = (ids >= 0) & (ids < self.size)
        return np.where(known, self._code_by_id[np.where(known, ids, 0)], np.int16(-1))

    def describe(
        self,
        speech_tokenizer: SpeechTokenizer,
        text_tokenizer: TextTokenizer,
        layout: Mapping[str, Any],
        sample_rate: int,
    ) -> dict[str, Any]:
        """What vocabulary.json says: all a reader needs to take a sequence apart.

        `layout` is the layout's name and parameters, `sample_rate` that of the tracks, in Hz.
        """
        speech, text = speech_tokenizer.fingerprint(), text_tokenizer.fingerprint()
        frame_samples, remainder = divmod(
            speech_tokenizer.samples_per_frame * sample_rate, speech_tokenizer.sample_rate
        )
        if remainder:
            raise ValueError(f"a frame of {speech['name']} is no whole number of samples at {sample_rate} Hz")
        return {
            "format_version": FORMAT_VERSION,
            "layout": dict(layout),
            "sample_rate": sample_rate,
            "samples_per_frame": frame_samples,
            "channels": list(CHANNELS),
            "state": self.state,
            "audio": {
                "first_id": self.audio_first_id,
                "size": self.audio_size,
                "exceptions": {str(code): id_ for code, id_ in sorted(self.audio_exceptions.items())},
            },
            "speech_tokenizer": {
                "name": speech["name"],
                "version": speech["version"],
                "codebooks": speech_tokenizer.codebooks,
                "sha256": speech["sha256"],
            },
            "text_tokenizer": {
                "name": text["name"],
                "vocab_size": text_tokenizer.vocab_size,
                "sha256": text["sha256"],
            },
        }

    def save(self, folder: Path) -> None:
        """Write the `vocabulary/` folder, which `transformers.AutoTokenizer.from_pretrained` loads.

        No padding token is declared: `<|pad|>` is one the model has to learn, and collators mask the
        declared one out of the loss. Raises ValueError on a vocabulary that was read from a vocabulary.json.
        """
        if self.tokenizer_json is None:
            raise ValueError("only a vocabulary made by Vocabulary.build has a tokenizer to save")
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer_config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": False,  # decoding gives the text back as it was
            "model_input_names": ["input_ids", "attention_mask"],
        }
        _write(folder / "tokenizer.json", self.tokenizer_json)
        _write(folder / "tokenizer_config.json", json.dumps(tokenizer_config, indent=2))


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8") + b"\n")


def _raise_at_first(wrong: NDArray[np.bool_], values: NDArray[Any], complaint: str) -> None:
    if not wrong.any():
        return
    position = tuple(int(i) for i in np.unravel_index(int(wrong.argmax()), wrong.shape))
    where = position[0] if len(position) == 1 else position
    raise ValueError(f"{values[position]} at position {where} {complaint}")
