"""BERT for one short text in 8-bit integers: how questions are embedded where the processor is quicker with it.

A question has a dozen tokens, so most of its time went into reading single-precision weights and into the layers of
Python around them: 11 ms of processor time came down to 4. Rows of weights are scaled one by one and activations as a
whole, which keeps the cosine to single precision above .985. The evaluation embeds its questions in the same way.
"""

import warnings
from typing import Any

import torch
from torch.nn import functional

_LEVELS = 127


class QuantisedBert:
    """Embeds one text, given as token ids: mean of the last layer, of unit length."""

    def __init__(self, bert: Any) -> None:
        """Take over the weights of a `BertModel`.

        Raises:
            ValueError: the model is not of that kind.
            RuntimeError: this processor has no kernels for it.
        """
        config = bert.config
        if config.model_type != "bert" or config.hidden_act != "gelu":
            raise ValueError("only a BERT with GELU can be taken over")
        embeddings = bert.embeddings
        self._heads = int(config.num_attention_heads)
        self._words = embeddings.word_embeddings.weight
        self._places = embeddings.position_embeddings.weight + embeddings.token_type_embeddings.weight[0]
        self._norm = embeddings.LayerNorm
        self._layers = [_Layer(layer) for layer in bert.encoder.layer]

    def __call__(self, token_ids: torch.Tensor) -> torch.Tensor:
        hidden = self._norm(self._words[token_ids] + self._places[: len(token_ids)])
        for layer in self._layers:
            hidden = layer(hidden, self._heads)
        return functional.normalize(hidden.mean(0), dim=0)


class _Layer:
    """One layer, its three projections for attention made in one."""

    def __init__(self, layer: Any) -> None:
        attention = layer.attention.self
        projections = (attention.query, attention.key, attention.value)
        self._project = _pack(
            torch.cat([projection.weight for projection in projections]),
            torch.cat([projection.bias for projection in projections]),
        )
        self._attended = _pack(layer.attention.output.dense.weight, layer.attention.output.dense.bias)
        self._attended_norm = layer.attention.output.LayerNorm
        self._widen = _pack(layer.intermediate.dense.weight, layer.intermediate.dense.bias)
        self._narrow = _pack(layer.output.dense.weight, layer.output.dense.bias)
        self._norm = layer.output.LayerNorm

    def __call__(self, hidden: torch.Tensor, heads: int) -> torch.Tensor:
        tokens, width = hidden.shape
        projected = _multiply(hidden, self._project).view(tokens, 3, heads, width // heads)
        query, key, value = projected.permute(1, 2, 0, 3)
        attended = functional.scaled_dot_product_attention(query, key, value).transpose(0, 1).reshape(tokens, width)
        hidden = self._attended_norm(_multiply(attended, self._attended) + hidden)
        widened = functional.gelu(_multiply(hidden, self._widen))
        return self._norm(_multiply(widened, self._narrow) + hidden)


def _pack(weight: torch.Tensor, bias: torch.Tensor) -> Any:
    scales = (weight.abs().amax(1) / _LEVELS).double()
    zeros = torch.zeros(len(weight), dtype=torch.int64)
    with warnings.catch_warnings():
        # A later torch will be without these tensors; then the embedder does without this module.
        warnings.simplefilter("ignore", UserWarning)
        rows: Any = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
    return torch.ops.quantized.linear_prepack(rows, bias)


def _multiply(hidden: torch.Tensor, packed: Any) -> torch.Tensor:
    # No reduced range: with it an eighth bit is lost, and the cosine falls to .97.
    result: torch.Tensor = torch.ops.quantized.linear_dynamic(hidden, packed, False)
    return result
