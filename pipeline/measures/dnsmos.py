"""DNSMOS P.835 (arXiv 2110.01763): the rating people would give a recording, predicted. Package `speechmos`."""

from pathlib import Path
from typing import Any

import numpy as np

from ..dialogue import Waveform
from ..errors import DialogueRejected
from .judge import MEASURE_HZ, needed, versions

MODELS = "dnsmos_models"  # a folder of the package; the personalised models are in another


def fingerprint() -> dict[str, str]:
    """What shapes the scores; the weights are inside the package."""
    return versions("speechmos", "onnxruntime")


class Dnsmos:
    """Rates speech. Raises UserError if speechmos is not installed."""

    def __init__(self, threads: int = 1) -> None:
        module, onnxruntime = needed("speechmos.dnsmos"), needed("onnxruntime")
        folder = Path(module.__file__).parent / MODELS
        overall, p808 = str(folder / "sig_bak_ovr.onnx"), str(folder / "model_v8.onnx")
        self._judge: Any = module.DNSMOS(overall, p808)
        # speechmos gives each session every core, which many workers on one machine cannot share
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        self._judge.onnx_sess = onnxruntime.InferenceSession(overall, options, providers=["CPUExecutionProvider"])
        self._judge.p808_onnx_sess = onnxruntime.InferenceSession(p808, options, providers=["CPUExecutionProvider"])

    def score(self, samples: Waveform) -> float:
        """Overall quality (OVRL, 1 to 5) of one channel [samples] at 16 kHz.

        The model hears windows of 9 s, 1 s apart; a shorter signal is repeated, as its authors do. Quiet speech is
        rated lower. Raises DialogueRejected("no_audio") for an empty signal.
        """
        if not len(samples):
            raise DialogueRejected("no_audio", "no samples to rate")
        signal = np.clip(np.nan_to_num(np.asarray(samples, dtype=np.float32)), -1.0, 1.0)
        return float(self._judge(signal, MEASURE_HZ, False)["ovrl_mos"])
