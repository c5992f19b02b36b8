"""The rows that moshi-finetune's own data set reads from a folder of ours; in place of Mimi stands a reader of codes.

Runs in the environment of the clones: run_moshi_finetune.py CLONES GIVEN.json RETURNED.json
"""

import json
import sys
from pathlib import Path

import torch


class CodesInSamples:
    """What Mimi would find, written into the audio: the first samples of a frame are the frame's codes."""

    sample_rate, frame_rate = 24000, 12.5

    def encode(self, wav):
        """[2, 1, samples] -> [2, codebooks, frames]"""
        spf = int(self.sample_rate / self.frame_rate)
        whole = torch.nn.functional.pad(wav[:, 0], (0, -wav.shape[-1] % spf))  # as Mimi does
        frames = whole.reshape(len(wav), -1, spf)
        return (frames[:, :, :8] * 32768).round().long().transpose(1, 2)


class Words:
    """A tokenizer that knows the words of an example."""

    def __init__(self, tokens: dict) -> None:
        self.tokens = tokens | {"\n": [199]}

    def encode(self, text):
        return self.tokens[text] if isinstance(text, str) else [self.tokens[line] for line in text]


def main(clones: Path, given: Path, returned: Path) -> None:
    sys.path[:0] = [str(clones / "moshi/moshi"), str(clones / "moshi-finetune")]
    torch.Tensor.cuda = lambda self: self  # the data set moves its audio to a GPU, whatever there is
    from finetune.data.dataset import build_dataset
    from finetune.data.interleaver import InterleavedTokenizer, Interleaver

    def interleaver(example: dict) -> Interleaver:
        words = Words(example["tokens"])
        # -1 is its `zero_padding`, which its train.py has from LMModel
        return Interleaver(
            words, CodesInSamples.frame_rate, example["pad"], example["epad"], -1, keep_main_only=True, device="cpu"
        )

    def chunks(example: dict) -> list:
        """[chunks][17, frames] of a folder of audio and words."""
        reader = InterleavedTokenizer(CodesInSamples(), interleaver(example), duration_sec=example["duration_s"])
        samples = build_dataset(example["jsonl"], reader, seed=None, rank=0, world_size=1, is_eval=True)
        return [sample.codes[0].tolist() for sample in samples]

    def text(example: dict) -> list:
        """[frames]: the stream of text alone."""
        words = [tuple(word) for word in example["alignments"]]
        return interleaver(example).prepare_item(words, example["seconds"])[0, 0].tolist()

    asked = json.loads(given.read_text())
    answers = {name: chunks(example) if "jsonl" in example else text(example) for name, example in asked.items()}
    returned.write_text(json.dumps(answers))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
