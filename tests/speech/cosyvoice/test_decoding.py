import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch comes with the extra `train`")

from duplexgen.pipeline.speech.cosyvoice.decoding import Row, decode  # noqa: E402
from duplexgen.pipeline.speech.recorded import RecordedBank  # noqa: E402


def rows(engine, bank, texts):
    """Rows of different text, voice, length and draws."""
    parts, known = engine._parts, RecordedBank.read(bank)
    prompts = [engine._prompts.make(known.prompt(name)) for name in sorted(known.voices)]
    made = []
    for number, text in enumerate(texts):
        draws = np.random.default_rng(number).random((48, 2), dtype=np.float32)
        prefix = parts.prefix(parts.text_ids(text), prompts[number % len(prompts)])
        made.append(Row(prefix, shortest=4 + number % 3, longest=12 + number * 2, draws=draws[: 12 + number * 2]))
    return made


TEXTS = ["Yes, I do. " * (1 + number % 4) + "ab"[number % 2] * number for number in range(16)]


def test_a_row_in_a_batch_is_the_row_alone(engine, bank):
    batch = rows(engine, bank, TEXTS)
    together = decode(engine._parts.llm, batch, engine._parts.sampling)
    alone = [decode(engine._parts.llm, [row], engine._parts.sampling)[0] for row in batch]
    assert together == alone
    assert len({tuple(row.tokens[:4]) for row in alone}) > 8  # they do say different things
    assert any(row.ended for row in alone)
    assert not all(row.ended for row in alone)
    assert all(len(found.tokens) >= row.shortest for found, row in zip(alone, batch, strict=True))


def test_order_and_company_change_nothing(engine_of, bank):
    engine = engine_of(2)
    batch = rows(engine, bank, TEXTS)
    forwards = decode(engine._parts.llm, batch, engine._parts.sampling)
    assert decode(engine._parts.llm, batch[::-1], engine._parts.sampling)[::-1] == forwards
    assert decode(engine._parts.llm, batch[3:7], engine._parts.sampling) == forwards[3:7]


def test_cached_steps_are_one_full_pass(engine, bank):
    model = engine._parts.llm
    prefix = rows(engine, bank, ["Good morning to you."])[0].prefix
    tokens = torch.arange(7, 27, device=prefix.device)
    with torch.inference_mode():
        seen = torch.ones(1, len(prefix), dtype=torch.bool, device=prefix.device)
        scores, cache = model.step(prefix[None], seen, None)
        stepwise = [scores]
        for token in tokens:
            seen = torch.nn.functional.pad(seen, (0, 1), value=True)
            scores, cache = model.step(model.embed(token[None]), seen, cache)
            stepwise.append(scores)
        for count, scores in enumerate(stepwise):
            whole = torch.cat([prefix, *(model.embed(token[None])[0] for token in tokens[:count])])[None]
            full, _ = model.step(whole, torch.ones_like(whole[..., 0], dtype=torch.bool), None)
            assert torch.allclose(scores, full, atol=1e-4), count
    assert not torch.allclose(stepwise[0], stepwise[-1], atol=0.05)


def test_a_row_that_may_not_speak_says_nothing(engine_of, bank):
    engine = engine_of(2)
    row = rows(engine, bank, ["Yes."])[0]
    mute = Row(row.prefix, 0, 0, np.zeros((0, 2), np.float32))
    decoded = decode(engine._parts.llm, [row, mute], engine._parts.sampling)
    assert decoded[0] == decode(engine._parts.llm, [row], engine._parts.sampling)[0]
    assert (decoded[1].tokens, decoded[1].ended) == ([], False)
