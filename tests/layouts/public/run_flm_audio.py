"""FLM-Audio's own loop, with tiny random weights, made to say what a row says: what is its model fed, what comes out?

Runs in the environment of the clones: run_flm_audio.py CLONES GIVEN.json RETURNED.json
"""

import json
import sys
from collections import deque
from pathlib import Path

import torch


def tiny_model(ids: dict):
    from flmaudio.models.configuration_flmaudio import FLMAudioConfig
    from flmaudio.models.modeling_flmaudio import FLMAudioForCausalLM

    tokens = {name: ids[name] for name in ("text_wait_token_id", "aud_pad_token_id", "aud_emp_token_id")}
    depth = {"n_layer": 1, "n_head": 2, "n_embd": 16, "dropout": 0.0, "bias": False}
    config = FLMAudioConfig(
        vocab_size=ids["vocab_size"],
        aud_vocab_size=ids["aud_vocab_size"],
        aud_channel=8,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        mm_token_info=tokens,
        aud_depthgpt={**depth, "use_cmlp": True, "use_rmsnorm": True, "use_swiglu": True},
    )
    torch.manual_seed(0)
    return FLMAudioForCausalLM(config).eval()


def replay(lm_gen, given: dict) -> dict:
    """given: text [T], speak [8][T]: what is sampled for each column; listen [8][T]: the codes that each step gets."""
    text, speak, listen = (torch.tensor(given[name]) for name in ("text", "speak", "listen"))
    fed, said = lm_gen.spied, []
    fed.clear()
    lm_gen.forced.clear()
    last = len(text) - 1
    for step in range(len(text)):
        column = min(step + 1, last)  # what the last step says stands in no column
        lm_gen.forced.extend([text[column], *speak[:, column]])
        emitted = lm_gen.step(listen[None, :, step, None])
        assert not lm_gen.forced, "the loop sampled fewer tokens than a column has"
        if emitted is not None:
            said.append(emitted[0, :, 0])
    emitted = torch.stack(said, dim=1).tolist()
    return {"fed": torch.stack(fed, dim=1).tolist(), "emitted": emitted, "steps before it emits": len(text) - len(said)}


def main(clones: Path, given: Path, returned: Path) -> None:
    sys.path.insert(0, str(clones / "flm-audio"))
    torch.compile = lambda function, **_: function  # the loop compiles its model when it starts
    from flmaudio.models import streaming_flmaudio as streaming

    asked = json.loads(given.read_text())
    model = tiny_model(asked["ids"])
    depth = model.aud_output_layers

    def forward_audio(transformer_output_states, audio_input_ids):
        """The published one wants two more arguments, which neither its loop nor its depth model knows."""
        return depth(transformer_output_states, audio_input_ids)

    model.forward_audio = forward_audio
    forward = model.forward
    spied, forced = [], deque()

    def spy(input_ids, speak_ids, listen_ids, **rest):
        spied.append(torch.cat([input_ids[0], speak_ids[0, 0], listen_ids[0, 0]]))
        return forward(input_ids=input_ids, speak_ids=speak_ids, listen_ids=listen_ids, **rest)

    model.forward = spy
    streaming.sample_token = lambda logits, **_: forced.popleft().expand(len(logits))
    answers = {}
    for name, example in asked["examples"].items():
        lm_gen = streaming.LMGen(model)
        lm_gen.spied, lm_gen.forced = spied, forced
        with lm_gen.streaming(1), torch.no_grad():
            answers[name] = replay(lm_gen, example)
            if example.get("again"):
                lm_gen.reset_streaming()
                answers[f"{name} again"] = replay(lm_gen, example)
    returned.write_text(json.dumps(answers))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
