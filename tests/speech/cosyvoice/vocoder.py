"""A tiny vocoder in whose sound the detector hears speech: no build takes the noise of an untrained one."""

from importlib.resources import files
from inspect import unwrap
from pathlib import Path
from typing import Any

import numpy as np

from tests.speech.cosyvoice.conftest import spec

STEPS = 400  # at most; 50 to 150 are usual
CONTENT = 0.05  # mean loss of the last spectra
SPECTRA = 8
FRAMES = 150
SOURCE = ("f0_predictor", "m_source")  # left as they are: the phase of all that follows hangs on every change of pitch
LOUDEST = 4.0  # natural logarithm of a magnitude; upstream's bound is about 4.6


def fit_vocoder(folder: Path, version: int, bank: Path) -> None:
    """Train the vocoder of a tiny folder for some seconds, on spectra of its own flow, until Silero VAD is content."""
    import torch
    import torchaudio

    from duplexgen.pipeline.speech.cosyvoice.engine import CosyVoiceEngine
    from duplexgen.pipeline.speech.cosyvoice.folder import ModelFolder
    from duplexgen.pipeline.speech.cosyvoice.parts import read
    from duplexgen.pipeline.speech.cosyvoice.upstream import Code
    from duplexgen.pipeline.speech.cosyvoice.utterances import Utterance

    engine = CosyVoiceEngine(spec(folder, bank))
    engine.load()
    parts = engine._loaded
    rng = np.random.default_rng(0)
    voices = [engine._voice(name) for name in sorted(engine.voices())]
    tokens = rng.integers(0, 4000, (SPECTRA, FRAMES // 2)).tolist()
    spoken = [Utterance(row, voices[number % len(voices)], number) for number, row in enumerate(tokens)]
    spectra = [mel[None].clone() for mel in parts.flow.mels(spoken)]
    hift = read(ModelFolder.read(folder), Code.find(engine.spec.source))["hift"].to(parts.device)
    hift.conv_post.register_forward_hook(_bounded)
    speak = unwrap(type(hift).inference)  # it forbids gradients
    detector = torch.jit.load(str(files("silero_vad") / "data" / "silero_vad.jit"))
    at_16_khz = torchaudio.transforms.Resample(parts.sample_rate, 16000)
    trained = [value for name, value in hift.named_parameters() if not name.startswith(SOURCE)]
    optimizer = torch.optim.Adam(trained, lr=5e-4)
    torch.manual_seed(0)
    losses: list[float] = []
    while len(losses) < SPECTRA or np.mean(losses[-SPECTRA:]) > CONTENT:
        assert len(losses) < STEPS, "the detector hears no speech yet"
        mel = spectra[rng.integers(SPECTRA)][..., :FRAMES]
        wave = speak(hift, speech_feat=mel, **({"finalize": True} if version == 3 else {}))[0]
        heard = at_16_khz(wave[0] * (0.5 / wave.abs().max().clamp_min(1e-4)))
        detector.reset_states()
        windows = heard[: len(heard) // 512 * 512].reshape(-1, 1, 512)
        probability = torch.cat([detector(window, 16000)[0] for window in windows])
        loss = -probability.clamp_min(1e-6).log().mean()
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0, error_if_nonfinite=True)
        optimizer.step()
    fitted = {f"generator.{name}": value.float() for name, value in hift.state_dict().items()}
    torch.save(fitted, folder / "hift.pt")


def _bounded(_: Any, __: Any, spectrum: Any) -> Any:
    """Upstream bounds magnitudes after it has raised them to powers of e, where infinity has no gradient."""
    return spectrum.clamp(max=LOUDEST)
