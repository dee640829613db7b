"""A real BERT: the encoder that the pretrained weights of others fit into, a head for it, and vectors of sentences.

B batch, T tokens, D model width, N vectors, V vocabulary.
"""

import torch
import torch.nn.functional as F
from torch import nn

from nanobert.encoder import Encoder, EncoderBlock, FeedForward
from nanobert.masked_lm import MaskedLM, MaskedLMHead
from nanobert.multi_head import MultiHeadAttention


class BertEmbeddings(nn.Module):
    """Which token, at which position, in which of two texts: three learned vectors, added and normalized.

    Shapes: tokens (B, T), token_types (B, T), 0 or 1, all 0 if left out -> (B, T, D).
    Source: Devlin et al. 2019, "BERT", section 3 and figure 2; eps as in its code.
    """

    def __init__(self, vocab_size, d_model, max_tokens):
        super().__init__()
        self.word = nn.Embedding(vocab_size, d_model)
        self.position = nn.Embedding(max_tokens, d_model)
        self.token_type = nn.Embedding(2, d_model)
        self.norm = nn.LayerNorm(d_model, eps=1e-12)

    def forward(self, tokens, token_types=None):
        if token_types is None:
            token_types = torch.zeros_like(tokens)
        positions = torch.arange(tokens.shape[1], device=tokens.device)  # T
        return self.norm(self.word(tokens) + self.position(positions) + self.token_type(token_types))


class Bert(nn.Module):
    """Embeddings and an encoder of post-norm blocks, every norm with BERT's eps.

    Shapes: tokens (B, T), key_padding_mask (B, T), True where the token is padding -> (B, T, D).
    Source: Devlin et al. 2019, section 3.
    """

    def __init__(self, vocab_size, d_model, heads, layers, d_hidden, max_tokens):
        super().__init__()
        self.embeddings = BertEmbeddings(vocab_size, d_model, max_tokens)
        blocks = []
        for _ in range(layers):
            attention, feed_forward = MultiHeadAttention(d_model, heads), FeedForward(d_model, d_hidden)
            blocks.append(EncoderBlock(attention, feed_forward, d_model, pre_norm=False))
        self.encoder = Encoder(blocks)
        for module in self.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = 1e-12

    def forward(self, tokens, key_padding_mask=None):
        return self.encoder(self.embeddings(tokens), key_padding_mask)


def rename(name):
    """What `Bert` calls a tensor of a published BERT; None for one that it has no place for.  str -> str or None"""
    if name.startswith("pooler.") or name == "embeddings.position_ids":
        return None
    for theirs, mine in (
        ("word_embeddings", "word"),
        ("position_embeddings", "position"),
        ("token_type_embeddings", "token_type"),
        ("embeddings.LayerNorm", "embeddings.norm"),
        ("encoder.layer.", "encoder.blocks."),
        ("attention.self.", "attention."),
        ("attention.output.dense", "attention.output"),  # before the other output.dense, which is part of its name
        ("attention.output.LayerNorm", "attention_norm"),
        ("intermediate.dense", "feed_forward.up"),
        ("output.dense", "feed_forward.down"),
        ("output.LayerNorm", "feed_forward_norm"),
    ):
        name = name.replace(theirs, mine)
    return name


def load_bert(config, tensors):
    """A Bert of the sizes in `config` with the weights in `tensors`, both named as in a published BERT.

    Errors: KeyError if a size is missing, RuntimeError if a tensor is missing, too many or of another shape.
    """
    sizes = "vocab_size hidden_size num_attention_heads num_hidden_layers intermediate_size max_position_embeddings"
    model = Bert(*(config[size] for size in sizes.split()))
    model.load_state_dict({rename(name): tensor for name, tensor in tensors.items() if rename(name)})
    return model.eval()


def with_head(bert):
    """A masked language model: a Bert, its embeddings frozen, and a new head that compares with its word vectors.

    Shapes of the model: tokens (B, T) -> (B, T, V). It shares the Bert's parameters, and training it changes the Bert.
    Source: Devlin et al. 2019, section 3.1; eps as in its code.
    """
    head = MaskedLMHead(bert.embeddings.word.embedding_dim, bert.embeddings.word)
    head.norm.eps = 1e-12
    bert.embeddings.requires_grad_(False)
    return MaskedLM(bert.embeddings, bert.encoder, head)


def mean_pooling(x, key_padding_mask):
    """One vector for each text: the mean of its tokens, without padding.  (B, T, D), (B, T) -> (B, D)

    A row of nothing but padding becomes 0. Source: Reimers and Gurevych 2019, "Sentence-BERT", section 3.
    """
    real = ~key_padding_mask[:, :, None]  # B, T, 1
    return (x * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)


def most_similar(query, vectors, count):
    """The vectors with the largest cosine to the query, best first.  (D), (N, D) -> cosines, indices, `count` of each

    All of them if there are fewer than `count`.
    """
    cosines = F.normalize(vectors, dim=-1) @ F.normalize(query, dim=-1)  # N
    return cosines.topk(min(count, len(vectors)))
