"""Makes the sentences that noise is mixed of (pipeline/acoustics/babble), by voices of the bank.

    python -m duplexgen.pipeline.assets.babble

Voices that are held out say other sentences than those that are drawn for training, and none of the sentences is in a
recipe that ships (tests/acoustics/test_babble.py).
"""

import soxr

from ..acoustics.babble import FOLDER, RATE_HZ
from ..audio import flac
from ..audio.trim import trim
from ..speech import bank
from ..speech.kokoro import Kokoro

PEAK = 0.125  # noise is scaled anyway, and soft samples take fewer bytes
SENTENCES = {
    "af_alloy": "Somebody left a wet umbrella under the piano again.",
    "af_river": "They are painting the ferry blue, right down to the anchor.",
    "am_liam": "The parrot next door has learned the sound of our kettle.",
    "am_onyx": "Half of these drawers open, and the other half only pretend.",
    "bf_alice": "I counted eleven kites above the quarry this afternoon.",
    "bm_lewis": "Nobody remembers who planted that crooked plum tree.",
    "mix_f02": "The tailor shut early, so my coat is still without buttons.",
    "mix_f11": "We took the slow train because it stops beside the lighthouse.",
    "mix_m13": "His goat ate the map, and most of the picnic as well.",
    "mix_m21": "There is a violin hanging in the window of the butcher's shop.",
    "mix_m05": "The orchestra got stuck in the lift with two cellos.",
    "mix_m08": "Every Thursday a man in yellow boots feeds the swans.",
    "mix_m10": "Her grandmother's clock strikes thirteen when it rains.",
    "mix_f17": "We found a postcard from nineteen twelve behind the stove.",
    "mix_f19": "The mayor's speech was shorter than the applause after it.",
    "mix_f20": "All the chairs in that cafe come from different churches.",
}


def main() -> None:
    engine = Kokoro()
    engine.load()
    FOLDER.mkdir(exist_ok=True)
    for name, sentence in SENTENCES.items():
        spoken = engine.synthesize(sentence, bank.style(name)).waveform
        speech = soxr.resample(trim(spoken, engine.sample_rate), engine.sample_rate, RATE_HZ)
        (FOLDER / f"{name}.flac").write_bytes(flac.encode(speech * (PEAK / abs(speech).max()), RATE_HZ))
        print(f"{name}: {len(speech) / RATE_HZ:.2f} s")


if __name__ == "__main__":
    main()
