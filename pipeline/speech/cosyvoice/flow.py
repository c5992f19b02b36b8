"""Speech tokens to log-mel by the flow of CosyVoice, many utterances at once.

The modules are the package's. What is around them is written here, as the package takes one utterance, makes a mask of
frames times frames for each block, and waits for the GPU in each step of its solver.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...kernels import cudnn_attention
from .rounding import round_weights
from .utterances import Utterance

if TYPE_CHECKING:
    import torch

STEPS = 10  # of the solver, the package's own number
PADDED = 64  # frames: lengths are padded to a multiple, as kernels are chosen for each length
MEL_HZ, MEL_HOP = 22050, 256  # of v1, whose flow counts frames by them


class Flow:
    """The flow of a loaded model. In half precision it is the solver's network, most of the work, that is in it."""

    def __init__(self, module: Any, version: int, device: "torch.device", dtype: "torch.dtype") -> None:
        self._module, self._version, self._device, self._dtype = module, version, device, dtype
        round_weights(module.decoder.estimator, dtype)

    def frames(self, utterance: Utterance) -> int:
        """Frames of mel that are computed for an utterance, those of its prompt among them."""
        return len(utterance.prompt.mel) + self._own_frames(utterance)

    def _own_frames(self, utterance: Utterance) -> int:
        if self._version == 1:
            return int(len(utterance.tokens) / self._module.input_frame_rate * MEL_HZ / MEL_HOP)
        every = int(self._module.token_mel_ratio)
        return every * (len(utterance.prompt.tokens) + len(utterance.tokens)) - len(utterance.prompt.mel)

    def mels(self, utterances: Sequence[Utterance]) -> list["torch.Tensor"]:
        """The log-mel of each utterance without its prompt, f32 [80, frames]. It depends on that utterance alone.

        v1 takes them one by one: the norms of its networks look at all of a row, padding included.
        """
        import torch

        with torch.inference_mode():
            if self._version > 1:
                return self._together(utterances)
            return [mel for utterance in utterances for mel in self._together([utterance])]

    def _together(self, utterances: Sequence[Utterance]) -> list["torch.Tensor"]:
        import torch

        lengths = [self.frames(utterance) for utterance in utterances]
        width = lengths[0] if self._version == 1 else -(-max(lengths) // PADDED) * PADDED
        rows, device = len(utterances), self._device
        told = torch.zeros(rows, 80, width, device=device)
        speakers = torch.from_numpy(np.stack([utterance.prompt.embedding for utterance in utterances])).to(device)
        speakers = self._module.spk_embed_affine_layer(torch.nn.functional.normalize(speakers, dim=1))
        for row, utterance in enumerate(utterances):
            told[row, :, : len(utterance.prompt.mel)] = torch.from_numpy(utterance.prompt.mel.T)
        expected = self._expected_of_v1(utterances[0]) if self._version == 1 else self._expected(utterances, width)
        mask = torch.arange(width, device=device) < torch.tensor(lengths, device=device)[:, None]
        mel = self._solve(
            self._noise(utterances[0].seed, width).expand(rows, -1, -1),
            mask,
            torch.cat([expected, told], dim=1),
            speakers,
        )
        return [
            mel[row, :, len(utterance.prompt.mel) : length]
            for row, (utterance, length) in enumerate(zip(utterances, lengths, strict=True))
        ]

    def _noise(self, seed: int, frames: int) -> "torch.Tensor":
        """[1, 80, frames]: v1 draws it for its one utterance, v2 and v3 have always the same."""
        import torch

        if self._version > 1:
            always: torch.Tensor = self._module.decoder.rand_noise
            return always[:, :, torch.arange(frames) % always.shape[2]].to(self._device)  # of 300 s, then again
        drawn = torch.Generator(self._device).manual_seed(seed + 1)  # the vocoder draws from `seed`
        return torch.randn(1, 80, frames, generator=drawn, device=self._device)

    def _embedded(self, utterances: Sequence[Utterance], width: int) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Prompt and utterance, [rows, width, hidden], zero where a row is padded, and bool [rows, width]."""
        import torch

        ids = np.zeros((len(utterances), width), dtype=np.int64)
        mask = np.zeros((len(utterances), width), dtype=bool)
        for row, utterance in enumerate(utterances):
            own = np.concatenate([utterance.prompt.tokens, utterance.tokens]).clip(min=0)
            ids[row, : len(own)], mask[row, : len(own)] = own, True
        present = torch.from_numpy(mask).to(self._device)
        embedded = self._module.input_embedding(torch.from_numpy(ids).to(self._device))
        return embedded * present[:, :, None], present

    def _expected_of_v1(self, utterance: Utterance) -> "torch.Tensor":
        """What the solver is told of the speech, [1, 80, frames], for one utterance."""
        import torch

        flow, spoken = self._module, len(utterance.prompt.tokens)
        embedded, mask = self._embedded([utterance], spoken + len(utterance.tokens))
        hidden, _ = flow.encoder(embedded, mask.sum(dim=1))
        hidden = flow.encoder_proj(hidden)
        sizes = len(utterance.prompt.mel), self._own_frames(utterance)
        parts = hidden[:, :spoken], hidden[:, spoken:]
        stretched: torch.Tensor = flow.length_regulator.inference(*parts, *sizes, flow.input_frame_rate)[0]
        return stretched.transpose(1, 2)

    def _expected(self, utterances: Sequence[Utterance], width: int) -> "torch.Tensor":
        """What the solver is told of the speech, [rows, 80, width]."""
        import torch

        flow, every = self._module, int(self._module.token_mel_ratio)
        embedded, mask = self._embedded(utterances, -(-width // every))
        if self._version == 2:
            hidden = flow.encoder_proj(_encoded(flow.encoder, embedded, mask))
        else:
            hidden = flow.pre_lookahead_layer(embedded).repeat_interleave(every, dim=1)
        told: torch.Tensor = hidden.transpose(1, 2)[:, :, :width]
        return told

    def _solve(
        self, noise: "torch.Tensor", mask: "torch.Tensor", told: "torch.Tensor", speakers: "torch.Tensor"
    ) -> "torch.Tensor":
        """Euler's method from noise to mel, f32 [rows, 80, frames], with classifier-free guidance.

        mask: bool [rows, frames]; told: [rows, 160, frames], of the speech and of the prompt; speakers: [rows, 80].
        """
        import torch

        decoder = self._module.decoder
        network = _Dit if self._version == 3 else _UNet
        # Each row twice: once with all that is known, once with nothing.
        told, speakers = (torch.cat([known, torch.zeros_like(known)]).to(self._dtype) for known in (told, speakers))
        estimate = network(decoder.estimator, told, speakers, torch.cat([mask, mask]))
        mel, rate = noise, float(decoder.inference_cfg_rate)
        with cudnn_attention():
            for time, step in _times(decoder.t_scheduler):
                both = torch.cat([mel, mel]).to(self._dtype)
                with_all, with_none = estimate(both, time.to(self._device)).float().chunk(2)
                mel = mel + step * ((1.0 + rate) * with_all - rate * with_none)
        return mel


def _times(scheduler: str) -> list[tuple["torch.Tensor", "torch.Tensor"]]:
    """Where each step of the solver starts and how long it is, as the package adds them up."""
    import torch

    span = torch.linspace(0, 1, STEPS + 1)
    if scheduler == "cosine":
        span = 1 - torch.cos(span * 0.5 * torch.pi)
    time, step, found = span[0], span[1] - span[0], []
    for number in range(STEPS):
        found.append((time, step))
        time = time + step
        step = span[min(number + 2, STEPS)] - time
    return found


def _encoded(encoder: Any, embedded: "torch.Tensor", mask: "torch.Tensor") -> "torch.Tensor":
    """v2's encoder, which gives twice as many positions: its own pass has values in the padding that others look at."""
    import torch

    narrow = mask[:, None]  # [rows, 1, positions]
    hidden, positions, _ = encoder.embed(embedded, narrow)
    hidden = encoder.pre_lookahead_layer(hidden * mask[:, :, None])
    hidden = encoder.forward_layers(hidden, narrow, positions, narrow)
    lengths = mask.sum(dim=1)
    hidden, _ = encoder.up_layer(hidden.transpose(1, 2).contiguous(), lengths)
    wide = mask.repeat_interleave(encoder.up_layer.stride, dim=1)[:, None]
    hidden, positions, _ = encoder.up_embed(hidden.transpose(1, 2).contiguous(), wide)
    encoded: torch.Tensor = encoder.forward_up_layers(hidden, wide, positions, wide)
    return encoder.after_norm(encoded) if encoder.normalize_before else encoded


class _UNet:
    """The solver's network of v1 and v2, with what stays the same in all steps."""

    def __init__(self, module: Any, told: "torch.Tensor", speakers: "torch.Tensor", mask: "torch.Tensor") -> None:
        import torch

        self._module, self._dtype, self._mask = module, told.dtype, mask[:, None].to(told.dtype)
        self._bias = None
        if not mask.all():
            self._bias = torch.zeros_like(self._mask).masked_fill_(~mask[:, None], -torch.inf)
        known, prompt = told.chunk(2, dim=1)
        repeated = speakers[:, :, None].expand(-1, -1, told.shape[2])
        self._told = torch.cat([known, repeated, prompt], dim=1)

    def __call__(self, mel: "torch.Tensor", time: "torch.Tensor") -> "torch.Tensor":
        import torch

        module = self._module
        moment = module.time_mlp(module.time_embeddings(time[None]).to(self._dtype))  # [1, hidden]
        hidden, mask, bias = torch.cat([mel, self._told], dim=1), self._mask, self._bias
        above = []
        for number, (resnet, blocks, down) in enumerate(module.down_blocks):
            if number:  # each level but the first has half the frames
                mask, bias = mask[:, :, ::2], bias if bias is None else bias[:, :, ::2]
            hidden = _attended(blocks, resnet(hidden, mask, moment), bias, moment)
            above.append((hidden, mask, bias))
            hidden = down(hidden * mask)
        for resnet, blocks in module.mid_blocks:
            hidden = _attended(blocks, resnet(hidden, mask, moment), bias, moment)
        for resnet, blocks, up in module.up_blocks:
            skipped, mask, bias = above.pop()
            hidden = torch.cat([hidden[:, :, : skipped.shape[2]], skipped], dim=1)
            hidden = up(_attended(blocks, resnet(hidden, mask, moment), bias, moment) * mask)
        estimated: torch.Tensor = module.final_proj(module.final_block(hidden, mask) * mask)
        return estimated * mask


def _attended(
    blocks: Any, hidden: "torch.Tensor", bias: "torch.Tensor | None", moment: "torch.Tensor"
) -> "torch.Tensor":
    """hidden: [rows, channels, frames]; bias: [rows, 1, frames], which each block would take for every frame, too."""
    hidden = hidden.transpose(1, 2).contiguous()
    for block in blocks:
        hidden = block(hidden_states=hidden, attention_mask=bias, timestep=moment)
    return hidden.transpose(1, 2).contiguous()


class _Dit:
    """The solver's network of v3, with what stays the same in all steps."""

    def __init__(self, module: Any, told: "torch.Tensor", speakers: "torch.Tensor", mask: "torch.Tensor") -> None:
        self._module, self._dtype, self._speakers = module, told.dtype, speakers
        self._known, self._prompt = (part.transpose(1, 2) for part in told.chunk(2, dim=1))
        self._mask = None if mask.all() else mask[:, None, None]
        self._rope = module.rotary_embed.forward_from_seq_len(told.shape[2])

    def __call__(self, mel: "torch.Tensor", time: "torch.Tensor") -> "torch.Tensor":
        import torch

        module = self._module
        moment = module.time_embed.time_embed(time[None]).to(self._dtype)
        moment = module.time_embed.time_mlp(moment)  # [1, hidden]
        hidden = module.input_embed(mel.transpose(1, 2), self._prompt, self._known, self._speakers)
        first = hidden
        for block in module.transformer_blocks:
            hidden = block(hidden, moment, mask=self._mask, rope=self._rope)
        if module.long_skip_connection is not None:
            hidden = module.long_skip_connection(torch.cat([hidden, first], dim=-1))
        estimated: torch.Tensor = module.proj_out(module.norm_out(hidden, moment))
        return estimated.transpose(1, 2)
