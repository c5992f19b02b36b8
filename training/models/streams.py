"""A causal language model over parallel streams: FLM-Audio (section 2.1) and Moshi.

The backbone is any causal language model of transformers. It reads the sum of the embeddings of all streams of a
column (equation 1), its head predicts the text of the next column, and a depth transformer beside it the speak codes.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, Cache, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.utils.generic import ModelOutput

from ...pipeline.errors import UserError
from .depth import Block, DepthShape, DepthTransformer, LinearPerCodebook
from .heads import cross_entropy, inputs_of, losses_at

TEXT = 0  # the stream of text


class StreamsConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """The backbone's configuration, and the shape of the depth transformer."""

    model_type = "duplexgen_streams"
    sub_configs: ClassVar[dict[str, Any]] = {"text_config": AutoConfig}

    def __init__(self, text_config: Any = None, depth: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """text_config: the backbone's, or what makes it, with `model_type`. depth: fields of `DepthShape`."""
        if isinstance(text_config, dict):
            text_config = AutoConfig.for_model(**text_config)
        self.text_config = text_config
        self.depth = depth or {}
        super().__init__(**kwargs)

    @property
    def depth_shape(self) -> DepthShape:
        return DepthShape(**self.depth)


@dataclass
class StreamsOutput(ModelOutput):
    text_logits: Tensor | None = None  # [B, T, rows of the head], of the next column's text
    hidden: Tensor | None = None  # [B, T, H], from which the depth transformer predicts the next column's codes
    losses: Tensor | None = None  # [B, K, 1 + Q], of text and speak codes; 0 where a code is none to learn
    past_key_values: Cache | None = None


class StreamsForCausalLM(PreTrainedModel):
    """Reads columns [B, T, S] of S = 2Q + 1 ids: text, Q speak codes, Q listen codes."""

    config_class = StreamsConfig
    supports_gradient_checkpointing = True
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = True  # as far as the backbone does

    def __init__(self, config: StreamsConfig) -> None:
        super().__init__(config)
        self._no_split_modules = [Block.__name__]  # and the backbone's: what sharding puts together at a time
        shape = config.depth_shape
        from_config: Any = AutoModelForCausalLM.from_config
        self.backbone: PreTrainedModel = from_config(config.text_config)
        width = shape.input_size
        self.audio = nn.ModuleList([nn.Embedding(shape.audio_size, width) for _ in range(2 * shape.codebooks)])
        self.depth = DepthTransformer(shape)
        self.post_init()  # type: ignore[no-untyped-call]

    @classmethod
    def around(cls, backbone: PreTrainedModel, depth: dict[str, Any]) -> "StreamsForCausalLM":
        """A model with this backbone, as it is; the rest gets random weights. depth: fields of `DepthShape`."""
        with torch.device("meta"):  # a second backbone takes no memory
            network = cls(StreamsConfig(text_config=backbone.config, depth=depth))
        network.backbone = backbone
        for part in (network.audio, network.depth):
            part.to_empty(device=backbone.device)
            for module in part.modules():
                network._init_weights(module)
        return network

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)  # type: ignore[no-untyped-call]
        if isinstance(module, LinearPerCodebook):
            init.normal_(module.weight, mean=0.0, std=getattr(self.config.text_config, "initializer_range", 0.02))

    def get_input_embeddings(self) -> nn.Module:
        """The embedding of text."""
        return self.backbone.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        """The head of text."""
        return self.backbone.get_output_embeddings()  # type: ignore[no-untyped-call, no-any-return]

    @property
    def codebooks(self) -> int:
        return self.depth.shape.codebooks

    def embed(self, ids: Tensor) -> Tensor:
        """Equation 1: the sum of the embeddings of all streams, [B, T, H]. ids: [B, T, S]."""
        embedded: Tensor = self.get_input_embeddings()(ids[..., TEXT])
        for stream, table in enumerate(self.audio, TEXT + 1):
            embedded = embedded + table(ids[..., stream])
        return embedded

    def forward(
        self,
        input_ids: Tensor,
        targets: Tensor | None = None,
        speaks: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool = False,
    ) -> StreamsOutput:
        """Without `targets`: what predicts each next column. With them: the losses of these columns, and no more.

        All that has weights runs in here, because wrappers for several devices see nothing else.

        input_ids: [B, T, S]. targets: columns to predict, [K], ascending, without column 0; each is predicted from the
        column before it. speaks: bool [B, K], which of these have speak codes to learn: the depth transformer runs
        over no others. position_ids: [B, T]; where they start anew, a new row starts, which sees nothing before it.
        """
        options = {"position_ids": position_ids, "past_key_values": past_key_values, "use_cache": use_cache}
        options = {name: value for name, value in options.items() if value is not None}
        if targets is None:
            output, hidden = self._backbone(
                input_ids, torch.arange(input_ids.shape[1], device=input_ids.device), options
            )
            return StreamsOutput(output.logits, hidden, None, output.past_key_values if use_cache else None)
        assert speaks is not None, "targets come with what of them speaks"
        ids = input_ids[:, targets, : 1 + self.codebooks]
        with losses_at(self.get_output_embeddings(), ids[..., TEXT]) as losses_of:
            output, hidden = self._backbone(input_ids, targets - 1, options)
        text = losses_of(output.logits)
        return StreamsOutput(losses=torch.cat([text[..., None], self._speak_losses(hidden, ids, speaks)], dim=2))

    def _backbone(self, input_ids: Tensor, kept: Tensor, options: dict[str, Any]) -> tuple[Any, Tensor]:
        """The backbone's output, and the hidden state [B, kept, H] that its head saw."""
        with inputs_of(self.get_output_embeddings()) as seen:
            output = self.backbone(inputs_embeds=self.embed(input_ids), logits_to_keep=kept, **options)
        if len(seen) != 1:
            raise ValueError(f"{type(self.backbone).__name__} uses its head {len(seen)} times in a pass, expected once")
        return output, seen[0]

    def _speak_losses(self, hidden: Tensor, ids: Tensor, speaks: Tensor) -> Tensor:
        """ℓ of the speak codes, [B, K, Q]; 0 where `speaks` is False.

        hidden: [B, K, H]. ids: [B, K, 1 + Q]. At least one column runs, so that each device has gradients to share.
        """
        where = torch.nonzero(speaks.flatten())[:, 0]
        run = where if len(where) else where.new_zeros(1)
        columns = ids.flatten(0, 1)[run]
        codes = columns[:, TEXT + 1 :]
        logits = self.depth(hidden.flatten(0, 1)[run], codes, columns[:, TEXT])
        of_columns = cross_entropy(logits, codes.clamp(max=logits.shape[-1] - 1))  # what pads is no target
        losses = of_columns.new_zeros(speaks.numel(), self.codebooks).index_add(0, run, of_columns)
        return losses.view(*speaks.shape, -1) * speaks[..., None]


@torch.no_grad()
def check_packing(network: StreamsForCausalLM) -> None:
    """Raise UserError if the rows of a pack would see each other, or count positions through.

    Classes of transformers keep them apart by `position_ids`, but not all of them do. A network on `meta` is not
    checked: the first process has it with its weights.
    """
    if network.device.type == "meta":
        return
    training = network.training
    first, second = (torch.zeros(1, length, 1 + 2 * network.codebooks, dtype=torch.long) for length in (5, 3))
    first += 1  # other ids than those of the second
    network.eval()  # type: ignore[no-untyped-call]
    packed = network(torch.cat([first, second], dim=1), position_ids=torch.tensor([[*range(5), *range(3)]])).hidden
    apart = torch.cat([network(row).hidden for row in (first, second)], dim=1)
    network.train(training)
    if not torch.allclose(packed, apart, atol=1e-3 * float(apart.abs().max())):
        raise UserError(
            f"rows of a pack see each other in the model's class, {type(network.backbone).__name__}: remove "
            "optimization.pack_columns from the recipe, or use another model, such as Llama or Qwen."
        )


AutoConfig.register(StreamsConfig.model_type, StreamsConfig)
AutoModelForCausalLM.register(StreamsConfig, StreamsForCausalLM)
