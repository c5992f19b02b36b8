"""Prompts of voices: computed once per clip, stored in the user's cache folder, shared by all workers.

Nothing is written to the model folder.
"""

import functools
import hashlib
import io
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from ...errors import DialogueRejected, UserError
from ...storage.atomic import atomic_path, canonical_json
from ...storage.model_files import checksum
from .folder import SPEAKER, ModelFolder
from .parts import Parts
from .upstream import versions
from .utterances import VoicePrompt

if TYPE_CHECKING:
    import torch

    from ..engine import Prompt

FORMAT = "1"  # raise it if the same clip gives another prompt
LISTEN_HZ = 16000  # the rate of the speech tokenizer and the speaker model
LONGEST_S = 30.0
INSTRUCTION = "You are a helpful assistant.<|endofprompt|>"  # stands before the transcript of a v3 prompt


class Prompts:
    """Prompts of one loaded model."""

    def __init__(self, folder: ModelFolder, parts: Parts, code: str) -> None:
        self._folder, self._parts = folder, parts
        self._made_by = canonical_json(
            {
                "format": FORMAT,
                "code": code,
                "sample_rate": parts.sample_rate,
                "features": described(parts.feat_extractor),
                "models": [checksum(folder.path / name) for name in (SPEAKER, folder.speech_tokenizer)],
                "packages": versions(),
            }
        )
        self._sessions: dict[str, Any] = {}

    def make(self, clip: "Prompt") -> VoicePrompt:
        """The prompt of a clip. Raises DialogueRejected for a clip that cannot be one."""
        if (duration_s := len(clip.samples) / clip.sample_rate) > LONGEST_S:
            detail = f"the clip lasts {duration_s:.1f} s, CosyVoice hears {LONGEST_S:.0f} s at most"
            raise DialogueRejected("voice_unusable", detail)
        if clip.sample_rate < LISTEN_HZ:
            detail = f"the clip has {clip.sample_rate} Hz, CosyVoice wants {LISTEN_HZ} Hz or more"
            raise DialogueRejected("voice_unusable", detail)
        text = (INSTRUCTION if self._parts.version == 3 else "") + clip.text
        tokens, mel, embedding = self._features(clip)
        return VoicePrompt(tuple(self._parts.text_ids(text)), tokens, mel, embedding)

    def _features(self, clip: "Prompt") -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        key = hashlib.sha256(f"{self._made_by}\0{clip.sha256}".encode()).hexdigest()
        path = user_cache_path("duplexgen") / "voice-prompts" / f"{key}.npz"
        with suppress(OSError, ValueError, KeyError, zipfile.BadZipFile), np.load(path, allow_pickle=False) as kept:
            return kept["tokens"], kept["mel"], kept["embedding"]
        tokens, mel, embedding = self._compute(clip)
        packed = io.BytesIO()
        np.savez(packed, tokens=tokens, mel=mel, embedding=embedding)
        with suppress(UserError), atomic_path(path) as file:  # without it the next worker computes it again
            file.write_bytes(packed.getvalue())
        return tokens, mel, embedding

    def _compute(self, clip: "Prompt") -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        import torch

        with torch.inference_mode():
            low, own = self._at(clip, LISTEN_HZ), self._at(clip, self._parts.sample_rate)
            tokens = self._tokens(low)
            forget_windows()
            mel = self._parts.feat_extractor(own)[0].transpose(0, 1)  # [frames, 80]
            if self._parts.version > 1:  # two frames per token, or the flow mistakes the end of the prompt
                count = min(len(mel) // 2, len(tokens))
                tokens, mel = tokens[:count], mel[: 2 * count]
            embedding = self._embedding(low)
        return tokens, np.ascontiguousarray(mel.numpy()), embedding

    def _at(self, clip: "Prompt", rate: int) -> "torch.Tensor":
        """f32 [1, samples]."""
        import torch
        import torchaudio

        samples = torch.from_numpy(clip.samples)[None]
        resampled: torch.Tensor = torchaudio.functional.resample(samples, clip.sample_rate, rate)
        return resampled

    def _tokens(self, speech: "torch.Tensor") -> NDArray[np.int64]:
        import whisper

        features = whisper.log_mel_spectrogram(speech, n_mels=128)  # [1, 128, frames]
        length = np.array([features.shape[2]], dtype=np.int32)
        tokens = self._run(self._folder.speech_tokenizer, features.numpy(), length)
        return np.asarray(tokens, dtype=np.int64).reshape(-1)

    def _embedding(self, speech: "torch.Tensor") -> NDArray[np.float32]:
        from torchaudio.compliance import kaldi

        features = kaldi.fbank(speech, num_mel_bins=80, dither=0, sample_frequency=LISTEN_HZ)  # [frames, 80]
        features = features - features.mean(dim=0, keepdim=True)
        return np.asarray(self._run(SPEAKER, features[None].numpy()), dtype=np.float32).reshape(-1)

    def _run(self, name: str, *inputs: NDArray[Any]) -> Any:
        session = self._sessions.get(name) or self._sessions.setdefault(name, _session(self._folder.path / name))
        names = [entry.name for entry in session.get_inputs()]
        return session.run(None, dict(zip(names, inputs, strict=True)))[0]


def described(function: Any) -> dict[str, str]:
    """The name of a function, and the arguments that a configuration has bound to it."""
    if not isinstance(function, functools.partial):
        return {"function": f"{function.__module__}.{function.__qualname__}"}
    arguments = dict(enumerate(function.args)) | function.keywords
    return {**described(function.func), **{f"argument {name}": repr(value) for name, value in arguments.items()}}


def forget_windows() -> None:
    """Matcha keeps one window for all sizes: a model of another version in this process would get the wrong one."""
    from matcha.utils import audio

    audio.mel_basis.clear()  # the window is computed again with it


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions have no public base
        raise UserError(f"{path} cannot be loaded: {error}. Copy the model folder again.") from error
