"""What the ids of parallel streams mean: one table of ids for text, and one for the codes of each codebook.

FLM-Audio (section 2.1) and Moshi share it. Which special tokens the text stream has is the layout's.
"""

import reprlib
from abc import ABC
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from ..errors import UserError
from ..recipe.sections import Section
from ..tokens.described import Id, Name
from ..tokens.protocols import SpeechTokenizer, TextTokenizer
from .section import LayoutSection
from .vocabulary import END_OF_TEXT, Vocabulary

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class Special(Section):
    """A token that stands in the text stream and is no text."""

    id: Id
    token: Name


class AudioTable(Section):
    codebooks: Annotated[int, Field(gt=0, le=64)]
    codes: Annotated[int, Field(gt=0, le=2**15)]  # per codebook: 0 … codes - 1
    pad: Id  # where there is no code
    start: Id | None = None  # the first input of a model over codebooks; null: it starts from something else


class StreamIds(Section):
    special: dict[Name, Special]
    audio: AudioTable


@dataclass(frozen=True)
class StreamVocabulary(Vocabulary, ABC):
    """Text ids with special tokens among or after them, and codes as they are."""

    Spec: ClassVar[type[Section]] = StreamIds
    TOKENS: ClassVar[Mapping[str, str]]
    """The special tokens, by the names that a recipe gives their ids."""

    special: Mapping[str, Special]
    audio: AudioTable

    def __post_init__(self) -> None:
        if self.special.keys() != set(self.TOKENS):
            raise ValueError(f"the special tokens are {reprlib.repr(sorted(self.special))}, expected {[*self.TOKENS]}")
        text = [*(special.id for special in self.special.values()), self.end_of_text]
        audio = [id_ for id_ in (self.audio.pad, self.audio.start) if id_ is not None]
        if len(set(text)) != len(text):
            raise ValueError(f"special tokens and the end of text must differ, got the ids {text}")
        if len(set(audio)) != len(audio) or min(audio) < self.audio.codes:
            raise ValueError(f"audio.pad and audio.start must differ, and not be one of {self.audio.codes} codes")

    @classmethod
    def build(cls, section: LayoutSection, text_tokenizer: TextTokenizer, speech_tokenizer: SpeechTokenizer) -> Self:
        """Special tokens with the ids of the recipe, or added to the text tokenizer; then `<|endoftext|>`.

        An id of the recipe must be a special token of the tokenizer. Raises UserError if it is not, and if ids meet.
        """
        from tokenizers import AddedToken, Tokenizer

        tokenizer = Tokenizer.from_str(text_tokenizer.to_json())
        given: dict[str, int] = {name: id_ for name in cls.TOKENS if (id_ := getattr(section, name)) is not None}
        for name, token in cls.TOKENS.items():
            if (id_ := given.get(name, tokenizer.token_to_id(token))) is not None:
                _check_special(tokenizer, f"layout.{name}", id_, text_tokenizer.name)
        added = [*(token for name, token in cls.TOKENS.items() if name not in given), END_OF_TEXT]
        tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in added])
        special: dict[str, Special] = {}
        for name, token in cls.TOKENS.items():
            id_ = given.get(name, tokenizer.token_to_id(token))
            assert id_ is not None, "it was added"
            own = tokenizer.id_to_token(id_)
            assert own is not None, "it was checked"
            special[name] = Special(id=id_, token=own)
        end = tokenizer.token_to_id(END_OF_TEXT)
        assert end is not None, "it was added"
        codes = speech_tokenizer.codebook_size
        pad, start = (getattr(section, name, None) for name in ("audio_pad", "audio_start"))
        table = AudioTable(
            codebooks=speech_tokenizer.codebooks,
            codes=codes,
            pad=codes if pad is None else pad,
            start=(codes + 1 if start is None else start) if "audio_start" in type(section).model_fields else None,
        )
        try:
            return cls(text_tokenizer.vocab_size, end, special, table, tokenizer_json=tokenizer.to_str(pretty=False))
        except ValueError as error:
            raise UserError(f"the ids of the layout do not go together: {error}. Change them in the recipe.") from error

    @classmethod
    def read(cls, ids: StreamIds, text_size: int, end_of_text: int) -> Self:
        return cls(text_size, end_of_text, ids.special, ids.audio)

    def ids(self) -> dict[str, Any]:
        special = {name: special.model_dump() for name, special in self.special.items()}
        return {"special": special, "audio": self.audio.model_dump()}

    @property
    def size(self) -> int:
        return max(self.text_size - 1, self.end_of_text, *(special.id for special in self.special.values())) + 1

    @property
    def audio_size(self) -> int:
        """Rows of an embedding of codes: one past the largest id of a codebook."""
        return max(self.audio.codes - 1, self.audio.pad, self.audio.start or 0) + 1

    @property
    def sizes(self) -> tuple[int, ...]:
        return (self.size, *[self.audio_size] * (self.streams - 1))

    def holds(self, ids: ArrayLike) -> NDArray[np.bool_]:
        """In a stream of audio only codes and what stands where there is no code: `start` and others are in no row."""
        ids = np.asarray(ids)
        held = super().holds(ids)
        held[..., 1:] &= (ids[..., 1:] < self.audio.codes) | (ids[..., 1:] == self.audio.pad)
        return held

    @property
    def held(self) -> str:
        return f"{super().held} for text, and 0 … {self.audio.codes - 1} or {self.audio.pad} for codes"

    @property
    def streams(self) -> int:
        """The text, and the codebooks of both channels."""
        return 1 + 2 * self.audio.codebooks

    def is_text(self, ids: ArrayLike) -> NDArray[np.bool_]:
        return super().is_text(ids) & ~np.isin(ids, [special.id for special in self.special.values()])

    def check(self, names: Mapping[int, str]) -> Iterator[str]:
        for name, special in self.special.items():
            if names.get(special.id) != special.token:
                token = reprlib.repr(special.token)
                yield f"{name} is {token} with the id {special.id}, which the tokenizer has for another token"

    def check_codes(self, codebooks: int, codebook_size: int) -> Iterator[str]:
        if (self.audio.codebooks, self.audio.codes) != (codebooks, codebook_size):
            yield (
                f"audio has {self.audio.codebooks} codebooks of {self.audio.codes} codes, and the speech tokenizer "
                f"{codebooks} of {codebook_size}"
            )


def _check_special(tokenizer: "Tokenizer", key: str, id_: int, name: str) -> None:
    """Raise UserError unless an id is a special token of the tokenizer, which no text becomes.

    key: of the recipe, which gives the id. name: what a recipe calls the tokenizer.
    """
    token, added = tokenizer.id_to_token(id_), tokenizer.get_added_tokens_decoder()
    if id_ in added and added[id_].special:
        return
    is_what = "has no token" if token is None else f"is the word {token!r}"
    raise UserError(
        f"{key} is {id_}, which {is_what} in the text tokenizer {name!r}. Expected the id of a special token of this "
        "tokenizer, or null: then a token is added to it."
    )
