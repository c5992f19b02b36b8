"""Lhotse reads an export as NeMo does (lhotse is in the extra `test`)."""

import io

import numpy as np
import pytest
import soundfile

from tests.exports.conftest import Export, Sets
from tests.exports.heard import samples_of, unlike

lhotse = pytest.importorskip("lhotse", reason="lhotse is in the extra test")

AGENT_RATE = 22_050


def test_cuts(exports: Export, sets: Sets) -> None:
    cuts = [*lhotse.CutSet.from_shar(in_dir=exports("shar", "bayling") / "shar")]
    rows = [*sets("bayling").rows()]
    assert [cut.custom["dialogue_id"] for cut in cuts] == [row["dialogue_id"] for row in rows]
    assert len({cut.shard_origin for cut in cuts}) == 3
    for cut, row in zip(cuts, rows, strict=True):
        lhotse.validate(cut)
        user, assistant = samples_of(row)
        assert np.array_equal(np.rint(cut.load_audio()[0] * 32768), user) and cut.sampling_rate == 16_000
        assert cut.target_audio.sampling_rate == AGENT_RATE
        assert unlike(cut.load_target_audio()[0], assistant, 441, 320) < 0.02
        assert cut.duration == cut.target_audio.duration == len(user) / 16_000
    assert isinstance(cuts[0].recording.sources[0].source, bytes)
    assert soundfile.info(io.BytesIO(cuts[0].target_audio.sources[0].source)).samplerate == AGENT_RATE


def test_supervisions_end_where_speech_stops(exports: Export, sets: Sets) -> None:
    cuts = [*lhotse.CutSet.from_shar(in_dir=exports("shar", "bayling") / "shar")]
    stopped = 0
    for cut, row in zip(cuts, sets("bayling").rows(["events", "audio"]), strict=True):
        assistant = samples_of(row)[1]
        for said, event in zip(cut.supervisions, row["events"], strict=True):
            assert said.speaker == {"user": "user", "assistant": "agent"}[event["channel"]]
            assert round(said.start * 16_000) == event["start_sample"]
            assert round(said.end * 16_000) == event["end_sample"] and said.text == event["spoken_text"]
            assert said.language == "en" and said.custom == {"kind": event["kind"], "voice": event["voice"]}
            if event["cut_by"] is not None:
                stopped += 1
                assert len(said.text) < len(event["text"])
                after = event["end_sample"] + 1600
                assert abs(assistant[event["end_sample"] : after].astype(int)).max() < 100, "nothing is heard after it"
    assert stopped >= 5


def test_nemos_collation(exports: Export, sets: Sets) -> None:
    """As NeMo's `DuplexS2SDataset` does it: cuts are resampled, which leaves `target_audio`; both are collated."""
    cuts = lhotse.CutSet.from_shar(in_dir=exports("shar", "bayling") / "shar").to_eager().resample(AGENT_RATE)
    from lhotse.dataset.collation import collate_audio

    audio, lengths = collate_audio(cuts)
    target, target_lengths = collate_audio(cuts, recording_field="target_audio")
    assert lengths.tolist() == target_lengths.tolist() and audio.shape == target.shape


def test_kinds_of_speakers(exports: Export, sets: Sets) -> None:
    cuts = [*lhotse.CutSet.from_shar(in_dir=exports("shar", "natural") / "shar")]
    said = [one for cut in cuts for one in cut.supervisions]
    kinds = {(one.custom["kind"], one.speaker) for one in said}
    assert {("turn", "agent"), ("turn", "user"), ("backchannel", "user")} <= kinds
    assert {speaker for kind, speaker in kinds if kind == "bystander"} <= {"bystander"}
    assert {speaker for kind, speaker in kinds if kind != "bystander"} == {"user", "agent"}
