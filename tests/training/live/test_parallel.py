"""Models of parallel streams, step by step: what they read is a row, and what they say comes out where it is heard."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.layouts.streams import Streams
from duplexgen.training.live.modes import check_length, mode_of
from duplexgen.training.live.stream import Said, Sampling, Span
from duplexgen.training.live.talk import heard_at_s
from duplexgen.training.models.model import DuplexModel
from duplexgen.training.models.streams import StreamsForCausalLM
from tests.layouts.streams import ANSWER, ASR, AUDIO_PAD, CODES, EPAD, PAD, TEXT_SIZE, WAIT, flm, moshi
from tests.training.streams import format_of, network_of

STEPS = 9
LAYOUTS = [flm(delay=0), flm(), flm(delay=2), moshi(), moshi(delay=0)]


def model_of(layout: Streams) -> DuplexModel:
    reads_text: dict[str, Any] = {"text_size": layout.vocabulary.size} if layout.name == "moshi" else {}
    return DuplexModel(network_of(layout, **reads_text), format_of(layout), {})


def heard(dialogue: int, layout: Streams) -> NDArray[np.int16]:
    """Codes of a user, [Q, STEPS]."""
    return np.random.default_rng(dialogue).integers(0, CODES, (layout.codebooks, STEPS)).astype(np.int16)


def run(model: DuplexModel, layout: Streams, dialogues: Sequence[int], temperature: float = 0.8) -> list[Said]:
    stream = mode_of(model.format).stream(model, [str(dialogue) for dialogue in dialogues], Sampling(temperature))
    users = np.stack([heard(dialogue, layout) for dialogue in dialogues])
    return [stream.step(users[:, :, step : step + 1]) for step in range(STEPS)]


def columns_read(model: DuplexModel, layout: Streams, temperature: float = 0.8) -> tuple[list[Said], torch.Tensor]:
    """What was said, and the columns [1, STEPS + 1, S] that the network was given."""
    columns: list[torch.Tensor] = []
    hook = model.network.register_forward_pre_hook(lambda _, given: columns.append(given[0]))
    said = run(model, layout, [1], temperature)
    hook.remove()
    return said, torch.cat(columns, dim=1)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"{layout.name} {layout.section.acoustic_delay}")
def test_what_it_reads_is_a_row(layout: Streams) -> None:
    """Column 0 is initial; each other column has the frames that a row has there, heard and said."""
    model, delay, q = model_of(layout), layout.section.acoustic_delay, layout.codebooks
    said, columns = columns_read(model, layout)
    row = columns[0].T.numpy()
    assert row.shape == (1 + 2 * q, STEPS + 1)
    assert row[0, 0] == layout.initial_text and (row[1:, 0] == AUDIO_PAD).all()
    user = heard(1, layout)
    assert np.array_equal(row[1 + q, 1:], user[0])
    assert np.array_equal(row[2 + q :, 1 + delay :], user[1:, : STEPS - delay])
    assert (row[2 : 1 + q, 1 : 1 + delay] == AUDIO_PAD).all() and (row[2 + q :, 1 : 1 + delay] == AUDIO_PAD).all()
    frames = np.concatenate([one.codes[0] for one in said], axis=1)
    first = 2 - delay  # number of the first whole frame, from 1
    lost = max(0, first - 1)  # with no delay, frame 1 is whole before anything is heard
    whole = row[2 : 1 + q, 1 + delay :]
    assert np.array_equal(frames[0, : STEPS - delay - lost], row[1, 1 + lost : 1 + STEPS - delay])
    assert np.array_equal(frames[1:, : STEPS - delay - lost], whole[:, lost:])
    assert np.array_equal([one.text_ids[0, 0] for one in said], row[0, 1:])


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"{layout.name} {layout.section.acoustic_delay}")
def test_the_cache_gives_what_the_full_pass_gives(layout: Streams) -> None:
    """At temperature 0, each text and each code is the likeliest one of a pass over all columns at once."""
    model = model_of(layout)
    network = model.network
    assert isinstance(network, StreamsForCausalLM)
    said, columns = columns_read(model, layout, temperature=0)
    with torch.inference_mode():
        full = network(columns)
        special = [WAIT, ASR, ANSWER] if layout.name == "flm" else [PAD, EPAD]
        allowed = torch.tensor([*range(TEXT_SIZE), *special])
        text = allowed[full.text_logits[0, :-1, allowed].argmax(dim=1)]
        assert text.tolist() == [one.text_ids[0, 0] for one in said]
        spoken = columns[0, 2:, 1 : 1 + layout.codebooks]
        logits = network.depth(full.hidden[0, 1:-1], spoken.clamp(max=CODES), columns[0, 2:, 0])
    delay = layout.section.acoustic_delay
    assert torch.equal(logits[delay:].argmax(dim=2), spoken[delay:])
    assert torch.equal(logits[:, 0].argmax(dim=1), spoken[:, 0])


@pytest.mark.parametrize("layout", [flm(), moshi()], ids=lambda layout: layout.name)
def test_a_dialogue_says_in_a_batch_what_it_says_alone(layout: Streams) -> None:
    model = model_of(layout)
    together = run(model, layout, range(5))
    for dialogue in (0, 4):
        for alone, all_ in zip(run(model, layout, [dialogue]), together, strict=True):
            assert np.array_equal(alone.codes[0], all_.codes[dialogue])
            assert np.array_equal(alone.text_ids[0], all_.text_ids[dialogue])


@pytest.mark.parametrize("layout", [flm(), moshi()], ids=lambda layout: layout.name)
def test_only_what_may_be_said_is_said(layout: Streams) -> None:
    said = run(model_of(layout), layout, range(300), temperature=50.0)
    text = np.concatenate([one.text_ids for one in said])
    special = [WAIT, ASR, ANSWER] if layout.name == "flm" else [PAD, EPAD]
    assert (layout.vocabulary.is_text(text) | np.isin(text, special)).all() and np.isin(special, text).all()
    codes = np.concatenate([one.codes for one in said], axis=2)
    assert codes.min() >= 0 and codes.max() == CODES - 1


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"{layout.name} {layout.section.acoustic_delay}")
def test_a_text_is_timed_with_the_speech_that_it_leads(layout: Streams) -> None:
    """Text of column c goes with frame c - 1, or in FLM-Audio with a later one, and is heard when that is."""
    model = model_of(layout)
    said, columns = columns_read(model, layout)
    frames = [(step, frame) for step, one in enumerate(said) for frame in one.codes[0].T.tolist()]
    speech = columns[0, :, 1].tolist()  # codebook 0 of frame f is in column f + 1
    lead, slot = layout.section.text_lead_frames or 0, 3
    step = next(step for step, frame in frames if frame[0] == speech[slot + lead + 1])
    assert speech.count(speech[slot + lead + 1]) == 1
    assert heard_at_s(slot, model.format) == pytest.approx((step + 1) * 0.08)


def test_replies() -> None:
    mode = mode_of(format_of(flm()))
    ids = [WAIT, ASR, 11, 12, ANSWER, 1, 2, WAIT, 3, WAIT]
    assert [(span.start, span.end, span.ids) for span in mode.replies(ids)] == [
        (5, 7, [1, 2]),
        (8, 9, [3]),
    ]
    assert mode.replies([ASR, 11, WAIT, 1, ANSWER, 2]) == [Span(3, 4, [1]), Span(5, 6, [2])]
    mode = mode_of(format_of(moshi()))
    ids = [PAD, EPAD, 1, 2, PAD, PAD, EPAD, 3, *[PAD] * 13, 4]
    assert [(span.start, span.end, span.ids) for span in mode.replies(ids)] == [(2, 8, [1, 2, 3]), (21, 22, [4])]


def test_a_dialogue_longer_than_the_model_is_refused() -> None:
    model = model_of(flm())
    check_length(model, 199)
    with pytest.raises(UserError, match=r"16\.0 s takes 201 positions and the model has 200, enough for 15\.9 s"):
        check_length(model, 200)
