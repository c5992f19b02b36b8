"""The language models of CosyVoice, many rows at once: embeddings in, scores of the next speech token out.

Both have a cache of earlier positions, so that a step computes only one. Rows are padded on the left, and the mask
covers every position so far. (transformers pads a mask of the new position alone with zeros, on the right: the step
then sees no earlier position, and speech is noise, without an error. CosyVoice's own `forward_one_step` passes
such a mask.)
"""

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch


class SpeechLM(Protocol):
    """Text and voice to speech tokens. The cache is whatever `step` returned last; None at the start."""

    speech_tokens: int  # ids from here on are not speech: any of them ends the utterance

    def prefix(
        self, text: list[int], prompt_text: list[int], prompt: "torch.Tensor", embedding: "torch.Tensor"
    ) -> "torch.Tensor":
        """What stands before the first token to decode, [positions, hidden].

        prompt: int64 [tokens], the voice's clip as speech tokens; embedding: f32 [192], of its speaker.
        """
        ...

    def embed(self, tokens: "torch.Tensor") -> "torch.Tensor":
        """int64 [rows] to [rows, 1, hidden]."""
        ...

    def step(self, inputs: "torch.Tensor", seen: "torch.Tensor", cache: Any) -> tuple["torch.Tensor", Any]:
        """Scores of the token that follows, f32 [rows, vocabulary], and the cache to go on with.

        inputs: [rows, positions, hidden]; seen: bool [rows, positions so far], False where a row is padded.
        """
        ...

    def keep(self, cache: Any, rows: "torch.Tensor") -> Any:
        """The cache of some rows, by index int64 [rows kept]."""
        ...


class QwenLM:
    """CosyVoice 2 and 3: Qwen2 with speech tokens beside its own embeddings."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._causal = model.llm.model  # Qwen2ForCausalLM
        self.speech_tokens = int(model.speech_token_size)

    def prefix(
        self, text: list[int], prompt_text: list[int], prompt: "torch.Tensor", embedding: "torch.Tensor"
    ) -> "torch.Tensor":
        import torch

        model = self._model
        marks = getattr(model, "llm_embedding", None)  # v2; v3 keeps its marks among the speech tokens
        start, task = (marks.weight[0], marks.weight[1]) if marks is not None else self._marks()
        written = self._causal.get_input_embeddings()(torch.tensor(prompt_text + text, device=start.device))
        return torch.cat([start[None], written, task[None], model.speech_embedding(prompt)])

    def _marks(self) -> tuple["torch.Tensor", "torch.Tensor"]:
        weight = self._model.speech_embedding.weight
        return weight[self._model.sos], weight[self._model.task_id]

    def embed(self, tokens: "torch.Tensor") -> "torch.Tensor":
        embedded: torch.Tensor = self._model.speech_embedding(tokens[:, None])
        return embedded

    def step(self, inputs: "torch.Tensor", seen: "torch.Tensor", cache: Any) -> tuple["torch.Tensor", Any]:
        # Positions as without padding: only their differences matter, but in half precision others round differently.
        positions = (seen.long().cumsum(dim=-1) - 1).clamp(min=0)[:, -inputs.shape[1] :]
        # The inner model: the head over Qwen's own vocabulary would be most of a step's work, and is never used.
        out = self._causal.model(
            inputs_embeds=inputs,
            attention_mask=seen.long(),
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        )
        return self._model.llm_decoder(out.last_hidden_state[:, -1]).float(), out.past_key_values

    def keep(self, cache: Any, rows: "torch.Tensor") -> Any:
        cache.batch_select_indices(rows)
        return cache


class RelativeLM:
    """CosyVoice 1: a transformer with relative positions, so that padding on the left shifts nothing."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.speech_tokens = int(model.speech_token_size)

    def prefix(
        self, text: list[int], prompt_text: list[int], prompt: "torch.Tensor", embedding: "torch.Tensor"
    ) -> "torch.Tensor":
        import torch

        model = self._model
        marks = model.llm_embedding.weight
        ids = torch.tensor([prompt_text + text], device=marks.device)
        length = torch.tensor([ids.shape[1]], dtype=torch.int32, device=marks.device)
        written, _ = model.encode(model.text_embedding(ids), length)
        speaker = torch.nn.functional.normalize(embedding[None].to(marks), dim=1)
        parts = [
            marks[:1],
            model.spk_embed_affine_layer(speaker),
            written[0],
            marks[1:2],
            model.speech_embedding(prompt),
        ]
        return torch.cat(parts)

    def embed(self, tokens: "torch.Tensor") -> "torch.Tensor":
        embedded: torch.Tensor = self._model.speech_embedding(tokens[:, None])
        return embedded

    def step(self, inputs: "torch.Tensor", seen: "torch.Tensor", cache: Any) -> tuple["torch.Tensor", Any]:
        import torch

        encoder = self._model.llm
        rows, new, total = inputs.shape[0], inputs.shape[1], seen.shape[1]
        mask = seen[:, None, :].expand(rows, new, total)
        if new > 1:
            mask = mask & torch.ones(new, total, dtype=torch.bool, device=seen.device).tril(total - new)
        hidden, _, _ = encoder.embed(inputs, mask)
        positions = encoder.embed.position_encoding(offset=0, size=total)
        caches = []
        empty = torch.zeros((0, 0, 0, 0), device=inputs.device)
        for index, layer in enumerate(encoder.encoders):
            past = empty if cache is None else cache[index]
            hidden, _, layer_cache, _ = layer(hidden, mask, positions, att_cache=past)
            caches.append(layer_cache)  # [rows, heads, positions so far, keys and values]
        if encoder.normalize_before:
            hidden = encoder.after_norm(hidden)
        return self._model.llm_decoder(hidden[:, -1]).float(), caches

    def keep(self, cache: Any, rows: "torch.Tensor") -> Any:
        return [layer[rows] for layer in cache]
