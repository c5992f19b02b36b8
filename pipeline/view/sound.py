"""The sound of a row: as it is stored, or decoded from its codes."""

from collections.abc import Mapping
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from ..audio import flac
from ..dataset.audio import LONGEST_TRACK_S
from ..dataset.reader import Dataset
from ..dialogue import CHANNELS, Codes
from ..errors import UserError
from ..pairs.kind import PREFERENCES
from ..tokens.protocols import SpeechTokenizer
from ..tokens.tokenizers import SPEECH_TOKENIZERS, installed
from .rows import sides

STORED, DECODED, NONE = "stored", "decoded", "none"
LONGEST_S = 1800.0  # a browser holds all samples of a dialogue as floats: 230 MB per half an hour
MISSING = -1  # all codes of a channel that a row leaves out


class Sound:
    """Says where the sound of a data set comes from, and makes it. `flac` may be called by several threads."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._lock = Lock()

    @cached_property
    def state(self) -> str:
        """STORED, DECODED or NONE."""
        if self.is_stored:
            return STORED
        return NONE if self.obstacle else DECODED

    @property
    def is_stored(self) -> bool:
        return self.dataset.kind != PREFERENCES and "audio" in self.dataset.columns.names

    @cached_property
    def obstacle(self) -> str:
        """Why codes cannot be decoded here, in words; "" if they can."""
        described = self.dataset.described.speech_tokenizer
        advice = "Build the data set with `output: {audio: flac}` to hear it."
        if described.name not in SPEECH_TOKENIZERS:
            return f"Its speech tokenizer, {described.name}, is not known here. {advice}"
        tokenizer = SPEECH_TOKENIZERS[described.name](self.dataset.tokens)
        if not tokenizer.decodes:
            return f"The recipe names no decoder for its speech tokenizer, {described.name}. {advice}"
        if problems := tokenizer.check():
            return f"{described.name} cannot be used here: {'; '.join(says for _, says in problems)}. {advice}"
        return ""

    @property
    def says(self) -> str:
        """Where the sound comes from, for a person."""
        name = self.dataset.described.speech_tokenizer.name
        if self.state == STORED:
            effects = "after all effects" if self.dataset.manifest.made_of.acoustics else "without effects"
            return f"You hear the audio that is stored. The user's channel is that of the microphone, {effects}."
        if self.state == NONE:
            return f"No sound: the data set has codes without audio. {self.obstacle}"
        which = "the codes of the row" if self.dataset.kind == PREFERENCES else "all codes"
        return f"Decoded from {which} by {name}: timing is exact, the voices are those of the tokenizer."

    def flac(self, row: Mapping[str, Any], side: str) -> bytes:
        """FLAC of two channels, at the rate of the data set. side: of a pair, chosen or rejected; else "".

        Raises UserError if the row has no sound here, or its sound is damaged.
        """
        rate = self.dataset.sample_rate
        if self.state == NONE:
            raise UserError(self.says)
        try:
            if self.state == STORED:
                data = (row["audio"] or {}).get("bytes")
                flac.decode_checked(data, rate, len(CHANNELS), LONGEST_TRACK_S)
                return bytes(data or b"")
            return flac.encode(self._decoded(row, side).T, rate)
        except (ValueError, IndexError) as error:
            raise UserError(f"{self.dataset.place}: the sound of the row is damaged: {error}") from error

    @cached_property
    def _tokenizer(self) -> SpeechTokenizer:
        tokenizer: SpeechTokenizer = installed(
            SPEECH_TOKENIZERS, self.dataset.described.speech_tokenizer, self.dataset.tokens
        )
        return tokenizer

    def _decoded(self, row: Mapping[str, Any], side: str) -> NDArray[np.float32]:
        """Waveforms [2, samples] at the rate of the data set, as long as the row tells the track."""
        layout = self.dataset.layout
        of_side = sides(self.dataset, row)[side]
        if self.dataset.kind == PREFERENCES:
            written = layout.written(of_side)
            codes, firsts = (written.user_codes, written.assistant_codes), (0, layout.first_assistant_frame)
        else:
            codes = np.asarray(row["user_codes"], np.int16), np.asarray(row["assistant_codes"], np.int16)
            firsts = (0, 0)
        samples = np.zeros((len(CHANNELS), layout.length(of_side) * layout.samples_per_frame), np.float32)
        with self._lock:  # models decode one dialogue at a time
            for channel, (of_channel, first) in enumerate(zip(codes, firsts, strict=True)):
                place = samples[channel, first * layout.samples_per_frame :]
                waveform = self._waveform(of_channel)[: len(place)]
                place[: len(waveform)] = waveform
        return samples

    def _waveform(self, codes: Codes) -> NDArray[np.float32]:
        if (codes == MISSING).all():
            return np.zeros(0, np.float32)
        waveform: NDArray[np.float32] = self._tokenizer.decode(codes)
        here, there = self._tokenizer.sample_rate, self.dataset.sample_rate
        return waveform if here == there else np.asarray(soxr.resample(waveform, here, there), np.float32)
