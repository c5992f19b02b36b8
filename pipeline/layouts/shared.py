"""The shared vocabulary: one range of ids for text, state tokens and speech (BayLing-Duplex section 2.1)."""

import re
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, field_validator

from ..errors import DialogueRejected, UserError
from ..recipe.sections import Section
from ..tokens.described import Id, Name
from ..tokens.protocols import SpeechTokenizer, TextTokenizer
from .section import LayoutSection
from .vocabulary import END_OF_TEXT, Vocabulary

STATE_TOKENS = {"silence": "[SILENCE]", "assistant": "<|assistant|>", "pad": "[PAD]", "epad": "[EPAD]"}
"""As the published inference of BayLing-Duplex looks them up. A tokenizer's own `<|silence|>` is another token."""
STATES = tuple(STATE_TOKENS)
AUDIO_TOKEN = re.compile(r"<\|audio_(0|[1-9][0-9]*)\|>")

Ids = NDArray[np.int32]


def audio_token(code: int) -> str:
    return f"<|audio_{code}|>"


class AudioIds(Section):
    first_id: Id
    size: Annotated[int, Field(gt=0, le=2**15)]


class SharedIds(Section):
    state: dict[Name, Id]
    audio: AudioIds

    @field_validator("state")
    @classmethod
    def all_states(cls, state: dict[str, int]) -> dict[str, int]:
        if state.keys() != set(STATES):
            raise ValueError(f"the states are {reprlib.repr(sorted(state))}, expected {list(STATES)}")
        return state


@dataclass(frozen=True)
class SharedVocabulary(Vocabulary):
    """Code c of codebook 0 is id `audio_first_id` + c."""

    Spec: ClassVar[type[Section]] = SharedIds

    silence: int
    assistant: int
    pad: int
    epad: int
    audio_first_id: int
    audio_size: int  # codes of codebook 0 that have an id: 0 … audio_size - 1

    def __post_init__(self) -> None:
        own = [*self.state.values(), *range(self.audio_first_id, self.audio_first_id + self.audio_size)]
        if len(set(own)) != len(own) or min(own) < self.text_size or self.end_of_text in own:
            raise ValueError(f"text ids (0 … {self.text_size - 1}), state ids and audio ids must not meet: {self}")

    @classmethod
    def build(cls, section: LayoutSection, text_tokenizer: TextTokenizer, speech_tokenizer: SpeechTokenizer) -> Self:
        """Text ids first, then the state tokens, then one token per code of codebook 0, then `<|endoftext|>`.

        Tokens that the text tokenizer already has keep their ids, for any use; every id is looked up by its string.
        Audio tokens follow each other, as BayLing-Duplex assumes. If the tokenizer has some of them, the missing ones
        are added first if they follow those, as `<|audio_16383|>` does in GLM-4-Voice's. If other tokens are in the
        way, they are not added, and codes without an id reject their dialogue.
        Raises UserError if the tokenizer has one of them among its text, or audio tokens in another order.
        """
        return cls.extending(text_tokenizer, speech_tokenizer.codebook_size)

    @classmethod
    def extending(cls, text_tokenizer: TextTokenizer, codes: int) -> Self:
        """The vocabulary that `build` makes. codes: in codebook 0."""
        from tokenizers import AddedToken, Tokenizer

        tokenizer = Tokenizer.from_str(text_tokenizer.to_json())
        known = tokenizer.get_vocab(with_added_tokens=True)
        audio = [audio_token(code) for code in range(codes)]
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
        end = tokenizer.token_to_id(END_OF_TEXT)
        assert end is not None, "it was added"
        return cls(
            **{state: ids[token] for state, token in STATE_TOKENS.items()},
            audio_first_id=ids[audio[0]],
            audio_size=len(audio),
            text_size=text_tokenizer.vocab_size,
            end_of_text=end,
            tokenizer_json=tokenizer.to_str(pretty=False),
        )

    @classmethod
    def read(cls, ids: SharedIds, text_size: int, end_of_text: int) -> Self:
        silence, assistant, pad, epad = (ids.state[state] for state in STATES)
        return cls(text_size, end_of_text, silence, assistant, pad, epad, ids.audio.first_id, ids.audio.size)

    def ids(self) -> dict[str, Any]:
        return {"state": self.state, "audio": {"first_id": self.audio_first_id, "size": self.audio_size}}

    @property
    def state(self) -> dict[str, int]:
        return {"silence": self.silence, "assistant": self.assistant, "pad": self.pad, "epad": self.epad}

    @property
    def size(self) -> int:
        last_audio = self.audio_first_id + self.audio_size - 1
        return max(last_audio, *self.state.values(), self.end_of_text) + 1

    def check(self, names: Mapping[int, str]) -> Iterator[str]:
        for state, id_ in self.state.items():
            if names.get(id_) != STATE_TOKENS[state]:
                yield f"the state {state} has the id {id_}, which the tokenizer has for another token"
        ids = self.audio_ids(range(self.audio_size)).tolist()
        wrong = (code for code, id_ in enumerate(ids) if names.get(id_) != audio_token(code))
        if (code := next(wrong, None)) is not None:
            yield f"the audio code {code} has the id {ids[code]}, which the tokenizer has for another token"
        if names.get(ids[-1] + 1) == audio_token(len(ids)):
            yield f"audio.size is {len(ids)}, and the tokenizer has an id for the next code, too"

    def check_codes(self, codebooks: int, codebook_size: int) -> Iterator[str]:
        if self.audio_size > codebook_size:
            yield f"audio.size is {self.audio_size}, of {codebook_size} codes"

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
