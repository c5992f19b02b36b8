import dataclasses
import functools

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch comes with the extra `train`")

from platformdirs import user_cache_path

from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.speech.cosyvoice.folder import ModelFolder
from duplexgen.pipeline.speech.cosyvoice.prompts import Prompts, described


def prompts(engine):
    return Prompts(ModelFolder.read(engine._folder.path), engine._parts, "code")


def test_is_computed_once_and_shared(engine, monkeypatch):
    clip = engine._bank.prompt("voice1")
    made = prompts(engine).make(clip)
    monkeypatch.setattr(Prompts, "_compute", lambda *_: pytest.fail("computed again"))
    kept = prompts(engine).make(clip)
    for name in ("tokens", "mel", "embedding"):
        assert np.array_equal(getattr(made, name), getattr(kept, name))
    assert kept.text == made.text


def test_a_damaged_cache_is_computed_again(engine_of):
    engine = engine_of(2)
    clip = engine._bank.prompt("voice2")
    made = prompts(engine).make(clip)
    for file in (user_cache_path("duplexgen") / "voice-prompts").iterdir():
        file.write_bytes(b"PK\x03\x04")
    assert np.array_equal(prompts(engine).make(clip).tokens, made.tokens)


def test_other_features_are_other_prompts(engine_of):
    """The configuration says how a mel is made; the same clip under another one is not what was kept."""
    engine = engine_of(2)
    clip = engine._bank.prompt("voice0")
    made = prompts(engine).make(clip)
    other = functools.partial(engine._parts.feat_extractor, fmax=4000)
    assert described(other) != described(engine._parts.feat_extractor)
    narrow = Prompts(engine._folder, dataclasses.replace(engine._parts, feat_extractor=other), "code").make(clip)
    assert not np.array_equal(narrow.mel, made.mel)
    assert np.array_equal(narrow.tokens, made.tokens)


def test_shapes(engine):
    made = prompts(engine).make(engine._bank.prompt("voice0"))  # 3 s
    version = engine._parts.version
    assert made.embedding.shape == (192,)
    assert made.mel.shape[1] == 80
    assert len(made.tokens) == pytest.approx(150 if version == 1 else 75, abs=2)
    if version > 1:
        assert len(made.mel) == 2 * len(made.tokens)
    else:
        assert len(made.mel) == pytest.approx(3 * 22050 / 256, abs=3)


def test_voices_differ_and_the_transcript_counts(engine):
    one, other = (prompts(engine).make(engine._bank.prompt(name)) for name in ("voice0", "voice1"))
    assert not np.allclose(one.embedding, other.embedding)
    assert not np.array_equal(one.tokens[:20], other.tokens[:20])
    told = dataclasses.replace(engine._bank.prompt("voice0"), text="Something else.")
    assert prompts(engine).make(told).text != one.text


def test_only_v3_is_told_to_be_helpful(engine):
    clip = engine._bank.prompt("voice0")
    made, plain = prompts(engine).make(clip), tuple(engine._parts.text_ids(clip.text))
    assert (made.text == plain) == (engine._parts.version < 3)
    assert made.text[-len(plain) :] == plain


def test_clips_that_cannot_be_prompts_are_rejected(engine_of):
    engine = engine_of(2)
    clip = engine._bank.prompt("voice0")
    long = dataclasses.replace(clip, samples=np.zeros(31 * clip.sample_rate, np.float32))
    with pytest.raises(DialogueRejected, match=r"31\.0 s"):
        prompts(engine).make(long)
    with pytest.raises(DialogueRejected, match="8000 Hz"):
        prompts(engine).make(dataclasses.replace(clip, sample_rate=8000))


def test_the_model_folder_is_never_written_to(engine_of, bank):
    engine = engine_of(2)
    before = sorted((p.as_posix(), p.stat().st_mtime_ns) for p in engine._folder.path.rglob("*"))
    prompts(engine).make(engine._bank.prompt("voice0"))
    assert sorted((p.as_posix(), p.stat().st_mtime_ns) for p in engine._folder.path.rglob("*")) == before
