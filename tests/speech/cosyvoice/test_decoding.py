import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch comes with the extra `train`")

from duplexgen.pipeline.speech.cosyvoice import decoding  # noqa: E402
from duplexgen.pipeline.speech.cosyvoice.decoding import Decoder, Row, length_for, size_for  # noqa: E402
from duplexgen.pipeline.speech.cosyvoice.language_models import Cache  # noqa: E402
from duplexgen.pipeline.speech.recorded import RecordedBank  # noqa: E402
from tests.speech.cosyvoice import growing  # noqa: E402


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
    together = engine._parts.decoder.decode(batch)
    alone = [engine._parts.decoder.decode([row])[0] for row in batch]
    assert together == alone
    assert len({tuple(row.tokens[:4]) for row in alone}) > 8  # they do say different things
    assert any(row.ended for row in alone)
    assert not all(row.ended for row in alone)
    assert all(len(found.tokens) >= row.shortest for found, row in zip(alone, batch, strict=True))


def test_a_fixed_cache_says_what_a_growing_one_does(engine, bank, monkeypatch):
    """In batches of any size, padded or not, and when the cache becomes too short again and again."""
    parts, batch = engine._parts, rows(engine, bank, TEXTS)
    expected = growing.decode(parts.llm, batch, parts.decoder.sampling)
    monkeypatch.setattr(decoding, "length_for", lambda positions: -(-positions // 8) * 8)
    for sizes in ((), (64,), (1, 2, 3, 5, 8, 13, 21)):
        assert Decoder(parts.llm, parts.decoder.sampling, sizes).decode(batch) == expected, sizes


def test_order_and_company_change_nothing(engine_of, bank):
    engine = engine_of(2)
    batch = rows(engine, bank, TEXTS)
    forwards = engine._parts.decoder.decode(batch)
    assert engine._parts.decoder.decode(batch[::-1])[::-1] == forwards
    assert engine._parts.decoder.decode(batch[3:7]) == forwards[3:7]


def test_steps_over_a_cache_are_one_full_pass(engine, bank):
    """Of two rows, one of them padded; the cache is longer than either."""
    model = engine._parts.llm
    prefixes = [row.prefix for row in rows(engine, bank, ["Good morning to you.", "No."])]
    tokens = torch.arange(7, 27, device=prefixes[0].device)
    width, length = max(map(len, prefixes)), max(map(len, prefixes)) + 40
    with torch.inference_mode():
        start = torch.tensor([width - len(prefix) for prefix in prefixes], device=tokens.device)
        inputs = torch.stack([torch.nn.functional.pad(prefix, (0, 0, width - len(prefix), 0)) for prefix in prefixes])
        read = model.read(inputs, torch.arange(width, device=tokens.device) >= start[:, None])
        keys, values = (torch.nn.functional.pad(kept, (0, 0, 0, 40)) for kept in (read.keys, read.values))
        bias = torch.full((2, 1, 1, length), -torch.inf, device=tokens.device)
        bias[:, 0, 0, :width].masked_fill_(torch.arange(width, device=tokens.device) >= start[:, None], 0.0)
        cache = Cache(keys, values, bias, start, torch.tensor([width], device=tokens.device))
        stepwise = [read.scores]
        for token in tokens:
            cache.bias.index_fill_(3, cache.at, 0.0)
            stepwise.append(model.step(token.repeat(2), cache))
            cache.at.add_(1)
        for number, prefix in enumerate(prefixes):
            for count in (0, 1, 2, 19, 20):
                whole = torch.cat([prefix, model._model.speech_embedding(tokens[:count])])[None]
                full = model.read(whole, torch.ones_like(whole[..., 0], dtype=torch.bool)).scores
                assert torch.allclose(stepwise[count][number], full[0], atol=1e-4), count
    assert not torch.allclose(stepwise[0], stepwise[-1], atol=0.05)


def test_what_was_decoded_before_leaves_no_trace(engine, bank):
    parts, batch = engine._parts, rows(engine, bank, TEXTS[:5])
    decoder = Decoder(parts.llm, parts.decoder.sampling)
    first = decoder.decode(batch)
    with torch.inference_mode():
        decoder._storage.fill_(torch.nan)
    assert decoder.decode(batch) == first
    decoder.forget()
    assert decoder.decode(batch) == first


def test_a_row_ends_where_the_model_knows_no_more_positions(engine_of, bank, monkeypatch):
    parts = engine_of(2)._parts
    batch = rows(engine_of(2), bank, TEXTS[:4])
    whole = parts.decoder.decode(batch)
    monkeypatch.setattr(parts.llm, "positions", len(batch[0].prefix) + 5)
    cut = parts.decoder.decode(batch)
    assert (cut[0].tokens, cut[0].ended) == (whole[0].tokens[:5], False)
    assert [row.tokens for row in cut[1:]] == [
        found.tokens[: max(0, len(batch[0].prefix) + 5 - len(row.prefix))]
        for found, row in zip(whole[1:], batch[1:], strict=True)
    ]
    assert any(not row.tokens for row in cut)


def test_a_row_that_may_not_speak_says_nothing(engine_of, bank):
    engine = engine_of(2)
    row = rows(engine, bank, ["Yes."])[0]
    mute = Row(row.prefix, 0, 0, np.zeros((0, 2), np.float32))
    decoded = engine._parts.decoder.decode([row, mute])
    assert decoded[0] == engine._parts.decoder.decode([row])[0]
    assert (decoded[1].tokens, decoded[1].ended) == ([], False)
    assert engine._parts.decoder.decode([mute]) == decoded[1:]


def test_sizes_are_few():
    assert [size_for(rows, (1, 4, 16)) for rows in (1, 2, 4, 5, 16, 17)] == [1, 4, 4, 16, 16, 17]
    assert [length_for(positions) for positions in (1, 256, 257, 512, 513)] == [256, 256, 512, 512, 1024]
