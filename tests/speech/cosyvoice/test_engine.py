import gc
import json
import logging
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch comes with the extra `train`")

from duplexgen.pipeline.errors import DialogueRejected, UserError  # noqa: E402
from duplexgen.pipeline.speech.cosyvoice import engine as engine_module  # noqa: E402
from duplexgen.pipeline.speech.cosyvoice import segments as segments_module  # noqa: E402
from duplexgen.pipeline.speech.cosyvoice.batches import Batches  # noqa: E402
from duplexgen.pipeline.speech.cosyvoice.decoding import DecodedRow, Decoder  # noqa: E402
from duplexgen.pipeline.speech.cosyvoice.engine import CosyVoiceEngine  # noqa: E402
from duplexgen.pipeline.speech.cosyvoice.segments import Segment  # noqa: E402
from duplexgen.pipeline.speech.cosyvoice.utterances import Utterance  # noqa: E402
from duplexgen.pipeline.speech.engine import RawSpeech, SpeechRequest  # noqa: E402
from duplexgen.pipeline.speech.guard import BadSpeechError  # noqa: E402
from duplexgen.pipeline.speech.recorded import RecordedBank  # noqa: E402
from duplexgen.pipeline.speech.section import Speech  # noqa: E402
from tests.speech.cosyvoice.configurations import RATE_HZ  # noqa: E402
from tests.speech.cosyvoice.conftest import spec  # noqa: E402
from tests.speech.cosyvoice.reference import Reference  # noqa: E402


def requests(count: int, first_seed: int = 0) -> list[SpeechRequest]:
    return [SpeechRequest("Yes." if k % 3 else "Oh, no.", f"voice{k % 3}", "en", first_seed + k) for k in range(count)]


def same(one: object, other: object) -> bool:
    """But for what rounding does in other batches: less than a step of 16 bit, which is 3e-5."""
    if isinstance(one, RawSpeech):
        if not isinstance(other, RawSpeech) or one.waveform.shape != other.waveform.shape:
            return False
        return np.allclose(one.waveform, other.waveform, rtol=0, atol=2e-5)
    return type(one) is type(other) and str(one) == str(other)


def test_speaks_at_its_rate_in_order(engine):
    said = engine.speak(requests(4))
    assert len(said) == 4
    spoken = [one.waveform for one in said if isinstance(one, RawSpeech)]
    assert all(one.words is None for one in said if isinstance(one, RawSpeech))
    assert len(spoken) >= 2
    for waveform in spoken:
        assert waveform.dtype == np.float32
        assert waveform.ndim == 1
        assert 0.05 < len(waveform) / engine.sample_rate < 6
        assert np.isfinite(waveform).all()
    assert engine.sample_rate == RATE_HZ[engine._parts.version]
    assert engine.speak([]) == []


def test_speaks_as_inference_zero_shot_does(engine, monkeypatch):
    """The same tokens from the same draws, and the same waveform once the vocoder is seeded alike."""
    parts, text = engine._parts, "Good morning."
    clip = RecordedBank.read(Path(engine.spec.bank)).prompt("voice1")
    prompt = engine._prompts.make(clip)
    ids = tuple(parts.text_ids(text))
    said = "You are a helpful assistant.<|endofprompt|>" + clip.text if parts.version == 3 else clip.text
    reference = Reference(Path(engine.spec.model), parts.version, monkeypatch)
    lengths = set()
    for seed in (1, 2):
        segment = Segment(0, ids, prompt, seed, 0)
        row = segment.row(parts)
        decoded = parts.decoder.decode([row])[0]
        file = Path(engine.spec.bank) / "clips" / "voice1.wav"
        tokens, waveform = reference.speak(text, file, said, row.draws, row.shortest, seed)
        assert segments_module.kept_tokens(decoded.tokens, parts.version) == tokens
        assert np.allclose(parts.speech([Utterance(tokens, prompt, seed)])[0], waveform, atol=1e-3)
        lengths.add(len(tokens))
    assert min(lengths) >= 2 * len(ids)


def test_company_order_and_global_generators_change_nothing(engine_of: Callable[[int], CosyVoiceEngine]):
    engine = engine_of(1)  # both its flow and its vocoder draw from the global generator
    batch = requests(5)
    torch.manual_seed(1)
    together = engine.speak(batch)
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    assert all(same(*pair) for pair in zip(engine.speak(batch[::-1])[::-1], together, strict=True))
    assert all(same(engine.speak([request])[0], said) for request, said in zip(batch, together, strict=True))
    assert torch.equal(before, torch.random.get_rng_state())


def test_another_seed_is_another_utterance(engine_of):
    engine = engine_of(2)
    one, other = engine.speak(requests(1) + requests(1, first_seed=50))
    assert not same(one, other)


def test_a_long_text_is_spoken_in_parts_and_joined(engine_of, monkeypatch):
    engine = engine_of(1)
    sentence = "The ferry leaves from the northern pier at a quarter past nine in the morning and comes back at noon. "
    text = sentence * 5
    texts = engine_module.split(text, "en", engine._loaded.text_ids)
    assert 1 < len(texts) < 5
    assert "".join(texts).split() == text.split()
    monkeypatch.setattr(engine_module, "check_tokens", lambda *_: None)
    monkeypatch.setattr(engine_module, "check_start", lambda *_: None)
    monkeypatch.setattr(segments_module, "MOST_PER_TEXT_TOKEN", 1)
    monkeypatch.setattr(segments_module, "FEWEST_PER_TEXT_TOKEN", 1)
    whole = engine.speak([SpeechRequest(text, "voice0", "en", 3)])[0]
    assert isinstance(whole, RawSpeech)
    tokens = sum(len(engine._loaded.text_ids(part)) for part in texts)
    assert len(whole.waveform) / engine.sample_rate == pytest.approx(tokens / 50, rel=0.05)  # 50 speech tokens a second


def test_too_little_memory_halves_the_batch_and_says_so(engine_of, monkeypatch, caplog):
    engine = engine_of(2)
    batch = requests(5)
    expected = engine.speak(batch)
    sizes, decode = [], Decoder.decode

    def scarce(self, rows):
        sizes.append(len(rows))
        if len(rows) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return decode(self, rows)

    monkeypatch.setattr(Decoder, "decode", scarce)
    monkeypatch.setattr(engine, "_decoding", Batches(256, 256, lambda rows, _: rows))
    with caplog.at_level(logging.WARNING):
        said = engine.speak(batch)
        assert all(same(*pair) for pair in zip(engine.speak(batch), said, strict=True))
    assert all(same(*pair) for pair in zip(said, expected, strict=True))
    assert sizes == [5, 3, 2, 2, 1, 2, 2, 1]  # what did not fit once is not tried again
    assert caplog.text.count("out of memory") == 1
    assert "batch_tokens" in caplog.text


def test_an_utterance_that_does_not_fit_alone_stops_the_command(engine_of, monkeypatch):
    engine = engine_of(2)

    def none(self, rows):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Decoder, "decode", none)
    monkeypatch.setattr(engine, "_decoding", Batches(8192, 256, engine._parts.decoder.cost))
    with pytest.raises(UserError, match="one utterance alone"):
        engine.speak(requests(2))


def test_broken_weights_are_no_silence(engine_of):
    engine = engine_of(2)
    bias = engine._loaded.vocoder._module.conv_post.bias
    kept = bias.detach().clone()
    try:
        with torch.no_grad():
            bias.fill_(torch.nan)
        [said] = engine.speak(requests(1))
    finally:
        with torch.no_grad():
            bias.copy_(kept)
    assert isinstance(said, BadSpeechError) and "not numbers" in str(said)


def test_what_cannot_be_spoken_leaves_the_rest_alone(engine_of):
    engine = engine_of(2)
    odd = [
        SpeechRequest("?! ...", "voice0", "en", 1),
        SpeechRequest("Stop <|endofprompt|> now.", "voice0", "en", 1),
        SpeechRequest("Bonjour.", "voice0", "fr", 1),
    ]
    good = requests(2)
    said = engine.speak([odd[0], good[0], odd[1], good[1], odd[2]])
    assert all(isinstance(said[index], DialogueRejected) for index in (0, 2, 4))
    assert [said[index].reason for index in (0, 2, 4)] == ["unspeakable", "unspeakable", "language_not_spoken"]
    assert all(same(*pair) for pair in zip([said[1], said[3]], engine.speak(good), strict=True))


def test_babble_is_for_another_seed(engine_of, monkeypatch):
    engine = engine_of(2)
    loop = DecodedRow([7] * 30, ended=True)
    monkeypatch.setattr(Decoder, "decode", lambda self, rows: [loop for _ in rows])
    said = engine.speak(requests(2))
    assert all(isinstance(result, BadSpeechError) for result in said)


def test_memory_does_not_grow(engine_of):
    """Over 320 utterances to tokens, and 12 of them to sound, which takes most of the time."""
    engine = engine_of(1)

    def utterances(first: int, count: int) -> list[Segment]:
        batch = [SpeechRequest("Oh.", f"voice{k % 3}", "en", first + k) for k in range(count)]
        return [segment for index, request in enumerate(batch) for segment in engine._segments(index, request)]

    def tensors() -> int:
        engine._loaded.decoder.forget()  # on a GPU, a graph for each size of batch and cache
        gc.collect()
        return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())

    engine.speak(requests(2))
    engine._decode(utterances(0, 40))
    before = tensors()
    for first in range(0, 320, 40):
        assert len(engine._decode(utterances(first, 40))) == 40
    engine.speak(requests(12))
    assert tensors() <= before


def test_few_voices_are_kept_in_memory_and_all_speak_as_before(folder_of, bank, engine_of, monkeypatch):
    monkeypatch.setattr(engine_module, "VOICES", 2)
    engine = CosyVoiceEngine(spec(folder_of(2), bank))
    engine.load()
    batch = requests(6)
    assert all(same(*pair) for pair in zip(engine.speak(batch), engine_of(2).speak(batch), strict=True))
    kept = engine._clone.cache_info()
    assert (kept.currsize, kept.misses) == (2, 6)  # voices 0, 1, 2, and again


def test_a_row_takes_its_prompt_and_its_text_of_the_batch(engine_of, monkeypatch):
    engine = engine_of(2)
    sizes, decode = [], Decoder.decode

    def counted(self, rows):
        sizes.append([len(row.prefix) for row in rows])
        return decode(self, rows)

    monkeypatch.setattr(Decoder, "decode", counted)
    engine.speak(requests(12))
    assert [len(prefixes) for prefixes in sizes] == [12]
    sizes.clear()
    monkeypatch.setattr(engine, "_decoding", Batches(1100, 256, engine._parts.decoder.cost))
    engine.speak(requests(12))
    assert [len(prefixes) for prefixes in sizes] == [4, 4, 4]  # each has a cache of 256 positions
    sizes.clear()
    monkeypatch.setattr(engine, "_decoding", Batches(1100, 3, engine._parts.decoder.cost))
    engine.speak(requests(12))
    assert [len(prefixes) for prefixes in sizes] == [3, 3, 3, 3]


def test_a_batch_is_as_large_as_the_recipe_says(folder_of, bank):
    engine = CosyVoiceEngine(spec(folder_of(2), bank, batch_tokens=777))
    engine.load()
    assert engine._decoding.budget == 777


def long_clips(bank: Path, path: Path, *names: str) -> Path:
    """A copy of a bank that says of these clips that they last 31 s."""
    shutil.copytree(bank, path)
    index = json.loads((path / "bank.json").read_text())
    for voice in index["voices"]:
        voice["duration_s"] = 31.0 if voice["name"] in names else voice["duration_s"]
    (path / "bank.json").write_text(json.dumps(index))
    return path


def test_voices_that_cannot_be_cloned_are_never_drawn(folder_of, bank, tmp_path, caplog):
    engine = CosyVoiceEngine(spec(folder_of(2), long_clips(bank, tmp_path / "bank", "voice1")))
    with caplog.at_level(logging.WARNING):
        assert engine.check() == []
    assert "voice1" in caplog.text
    assert {name: voice.split for name, voice in engine.voices().items()} == {
        "voice0": "train",
        "voice1": None,
        "voice2": "eval",
    }
    assert engine.fingerprint() == {**CosyVoiceEngine(spec(folder_of(2), bank)).fingerprint(), "never_drawn": "voice1"}


def test_voices_that_are_named_must_be_fit_to_be_cloned(folder_of, bank, tmp_path):
    section = spec(folder_of(2), long_clips(bank, tmp_path / "bank", "voice0", "voice2"))
    listed = section.model_copy(update={"user_voices": ["voice1", "voice2"]})
    problems = CosyVoiceEngine(listed).check()
    assert [location for location, _ in problems] == [("speech", "assistant_voice"), ("speech", "user_voices", 1)]
    assert all("31.0 s" in message and "30 s at most" in message for _, message in problems)


def test_it_travels_before_it_loads(folder_of, bank):
    engine = pickle.loads(pickle.dumps(CosyVoiceEngine(spec(folder_of(2), bank))))
    assert set(engine.voices()) == {"voice0", "voice1", "voice2"}
    with pytest.raises(RuntimeError, match="load"):
        engine.speak(requests(1))


def test_fingerprint_names_contents_and_no_places(folder_of, bank, tmp_path):
    here = CosyVoiceEngine(spec(folder_of(2), bank)).fingerprint()
    shutil.copytree(folder_of(2), tmp_path / "elsewhere")
    there = CosyVoiceEngine(spec(tmp_path / "elsewhere", bank, batch_tokens=7))
    assert there.fingerprint() == here
    assert str(tmp_path) not in str(here)
    half = CosyVoiceEngine(spec(folder_of(2), bank, precision="bf16"))
    assert half.fingerprint() != here
    smaller = CosyVoiceEngine(spec(folder_of(2), bank, precision="bf16", batch_tokens=7))
    assert smaller.fingerprint() != half.fingerprint() != here  # there, speech depends on its batch
    with (tmp_path / "elsewhere" / "campplus.onnx").open("ab") as file:
        file.write(b" ")
    assert CosyVoiceEngine(spec(tmp_path / "elsewhere", bank)).fingerprint() != here


def test_check_names_each_mistake(tmp_path, bank, folder_of):
    assert CosyVoiceEngine(spec(folder_of(2), bank)).check() == []
    nothing = CosyVoiceEngine(Speech(engine="cosyvoice", assistant_voice="a"))
    assert [location for location, _ in nothing.check()] == [("speech", "cosyvoice")]
    missing = {"source": str(tmp_path), "precision": "fp16", "num_gpus": 0.0}
    wrong = CosyVoiceEngine(spec(tmp_path / "model", tmp_path / "bank", **missing))
    assert [location[-1] for location, _ in wrong.check()] == ["model", "bank", "source", "precision"]


def test_load_without_a_gpu_says_what_to_do(folder_of, bank):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UserError, match="num_gpus"):
        CosyVoiceEngine(spec(folder_of(2), bank, num_gpus=1.0)).load()


def test_a_gpu_that_is_too_old_or_too_small_is_named(folder_of, bank, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    with pytest.raises(UserError, match=r"bf16.*fp16 or fp32"):
        CosyVoiceEngine(spec(folder_of(2), bank, num_gpus=1.0, precision="bf16")).load()

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(engine_module, "load", full)
    with pytest.raises(UserError, match=r"does not fit into the GPU's free memory.*num_gpus"):
        CosyVoiceEngine(spec(folder_of(2), bank, num_gpus=1.0)).load()
