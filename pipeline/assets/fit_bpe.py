"""Train the embedded text tokenizer: `python -m duplexgen.pipeline.assets.fit_bpe`.

Writes pipeline/tokens/text/bpe.json; the same corpus and the same `tokenizers` give the same bytes.
"""

import argparse
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from ..tokens.text.bpe import WEIGHTS
from .chitchat import spoken, utterances

VOCAB_SIZE = 4096


def train() -> Tokenizer:
    """Byte-level BPE over the part of the corpus to fit on. It has no special token: every string is only text."""
    tokenizer = Tokenizer(models.BPE())
    # no prefix space: decoding then gives back exactly the encoded text
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(spoken(utterances("fit")), trainer)
    return tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the embedded text tokenizer.")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="Write the tokenizer to this file.")
    out: Path = parser.parse_args().out
    tokenizer = train()
    out.write_text(tokenizer.to_str(pretty=True) + "\n", encoding="utf-8")
    print(f"wrote {out} ({out.stat().st_size:,} bytes)")

    held_out = list(spoken(utterances("held_out")))
    tokens = sum(len(encoding.ids) for encoding in tokenizer.encode_batch(held_out))
    words = sum(len(text.split()) for text in held_out)
    print(f"held-out conversations: {tokens:,} tokens, {words:,} words, {tokens / words:.3f} tokens per word")


if __name__ == "__main__":
    main()
