"""The masked language model: embeddings, encoder, and a head that says which token stood at each position.

B batch, T tokens, N chosen positions of a batch, D model width, V vocabulary.
"""

import torch
import torch.nn.functional as F
from torch import nn

from nanobert.attention import masked_attention_weights
from nanobert.embeddings import Embeddings
from nanobert.encoder import Encoder, EncoderBlock, FeedForward
from nanobert.multi_head import MultiHeadAttention, merge_heads, split_heads
from nanobert.positions import sinusoidal_positions
from nanobert.tokenizer import IGNORE

SHORT = 32  # tokens in a row; plain products keep T x T scores for backward, so longer rows don't take them


class MaskedLMHead(nn.Module):
    """A score for every token of the vocabulary: how well the token's own embedding fits the position.

    Shapes: x (..., D) -> (..., V); `token_embedding` is the model's own nn.Embedding, (V, D).
    Source: Devlin et al. 2019, "BERT", section 3.1; tied weights: Press and Wolf 2017.
    """

    def __init__(self, d_model, token_embedding):
        super().__init__()
        self.dense = nn.Linear(d_model, d_model)
        self.norm = nn.LayerNorm(d_model)
        self.decoder = nn.Linear(d_model, token_embedding.num_embeddings)
        self.decoder.weight = token_embedding.weight  # tied: one parameter, learned from both ends

    def forward(self, x):
        return self.decoder(self.norm(F.gelu(self.dense(x))))  # ..., V


def masked_lm_loss(logits, labels):
    """Mean cross-entropy over the chosen positions, in nats; positions labelled -100 do not count.

    Shapes: logits (..., V), labels (...) -> a number, 0 if no position is chosen.
    Source: Devlin et al. 2019, section 3.1 and appendix A.2.
    """
    total = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORE, reduction="sum")
    return total / (labels != IGNORE).sum().clamp(min=1)


class MaskedLM(nn.Module):
    """Embeddings, then encoder, then head.

    Shapes: tokens (B, T), key_padding_mask (B, T), True where the token is padding -> (B, T, V).
    With `positions` (N,), counted through the whole batch row by row, the head looks at these only -> (N, V).
    """

    def __init__(self, embeddings, encoder, head):
        super().__init__()
        self.embeddings = embeddings
        self.encoder = encoder
        self.head = head

    def forward(self, tokens, key_padding_mask=None, positions=None):
        x = self.encoder(self.embeddings(tokens), key_padding_mask)  # B, T, D
        if positions is not None:
            x = x.flatten(0, 1)[positions]  # N, D: most tokens have no label, so don't score a vocabulary for them
        return self.head(x)


class FastMaskedLM(MaskedLM):
    """The same model with the same weights, quicker in training.

    * Query, key and value come from one product of matrices in the place of three narrow ones. It is meant for a GPU:
      two CPU cores are busy with a narrow one already.
    * Short rows on a CPU take the plain products of lesson 02: PyTorch's fused kernel is made for long ones.
    * After its attention, the last block computes the chosen positions only. No position looks at another one from
      there on, so what is left out changes nothing.
    """

    def forward(self, tokens, key_padding_mask=None, positions=None):
        if positions is None:
            return super().forward(tokens, key_padding_mask)
        *blocks, last = self.encoder.blocks
        x = self.embeddings(tokens)
        for block in blocks:
            x = fast_block(block, x, key_padding_mask)  # B, T, D
        return self.head(self.encoder.norm(fast_block(last, x, key_padding_mask, positions)))


def fast_block(block, x, key_padding_mask, positions=None):
    """What an EncoderBlock makes of x (B, T, D), or of some positions of it, counted through the batch -> (N, D)"""
    mixed = fast_attention(
        block.attention, block.attention_norm(x) if block.pre_norm else x, key_padding_mask, positions
    )
    if positions is not None:
        x = x.flatten(0, 1)[positions]  # N, D
    if block.pre_norm:
        x = x + block.dropout(mixed)
        return x + block.dropout(block.feed_forward(block.feed_forward_norm(x)))
    x = block.attention_norm(x + block.dropout(mixed))
    return block.feed_forward_norm(x + block.dropout(block.feed_forward(x)))


def fast_attention(attention, x, key_padding_mask, positions=None):
    """What a MultiHeadAttention makes of x (B, T, D), or of some positions of it -> (N, D)"""
    layers = attention.query, attention.key, attention.value
    weight, bias = torch.cat([layer.weight for layer in layers]), torch.cat([layer.bias for layer in layers])
    query, key, value = (split_heads(part, attention.heads) for part in F.linear(x, weight, bias).chunk(3, dim=-1))
    if x.device.type == "cpu" and x.shape[1] <= SHORT and key_padding_mask is None:
        mixed = masked_attention_weights(query, key) @ value  # B, H, T, K
    else:
        visible = None if key_padding_mask is None else ~key_padding_mask[:, None, None, :]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=visible)
    mixed = merge_heads(mixed)  # B, T, D
    return attention.output(mixed if positions is None else mixed.flatten(0, 1)[positions])


def build_masked_lm(
    vocab_size, d_model=128, heads=4, layers=2, max_tokens=32, std=0.05, dropout=0.0, pre_norm=True, d_hidden=None
):
    """A masked language model from its sizes; `d_hidden`, inside the feed-forward nets, is 4 `d_model` if left out.

    Positions start as sinusoids and are learned from there: what attention needs first is there from the beginning.
    Errors: ValueError if the heads do not divide the width.
    Source: Devlin et al. 2019, section 3; pre-norm: Xiong et al. 2020, "On Layer Normalization in the Transformer".
    """
    d_hidden = d_hidden or 4 * d_model
    blocks = [
        EncoderBlock(MultiHeadAttention(d_model, heads), FeedForward(d_model, d_hidden), d_model, pre_norm, dropout)
        for _ in range(layers)
    ]
    # Pre-norm leaves the sum of all layers without a norm, post-norm leaves the input of the first without one.
    last_norm, first_norm = (nn.LayerNorm(d_model), None) if pre_norm else (None, nn.LayerNorm(d_model))
    embeddings = Embeddings(vocab_size, d_model, max_tokens, std, first_norm)
    embeddings.position.weight.data = std * 2**0.5 * sinusoidal_positions(max_tokens, d_model)  # variance std**2
    return FastMaskedLM(embeddings, Encoder(blocks, last_norm), MaskedLMHead(d_model, embeddings.token))
