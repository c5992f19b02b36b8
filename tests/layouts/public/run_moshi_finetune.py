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

    answers = {}
    for name, example in json.loads(given.read_text()).items():
        mimi = CodesInSamples()
        interleaver = Interleaver(
            Words(example["tokens"]),
            mimi.frame_rate,
            example["pad"],
            example["epad"],
            -1,  # `zero_padding`, as its train.py has it from LMModel
            keep_main_only=True,
            device="cpu",
        )
        tokenizer = InterleavedTokenizer(mimi, interleaver, duration_sec=example["duration_s"])
        samples = build_dataset(
            example["jsonl"], tokenizer, seed=None, rank=0, world_size=1, is_eval=True, shuffle_pretrain=False
        )
        answers[name] = [sample.codes[0].tolist() for sample in samples]
    returned.write_text(json.dumps(answers))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
