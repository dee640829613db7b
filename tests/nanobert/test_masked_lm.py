"""The masked language model, against Hugging Face's BERT and PyTorch's cross-entropy."""

import pytest
import torch
import torch.nn.functional as F
import transformers

from nanobert import masked_lm
from nanobert.masked_lm import FastMaskedLM, MaskedLM, MaskedLMHead, build_masked_lm, masked_lm_loss
from nanobert.masking import IGNORE

VOCAB, WIDTH, HEADS, LAYERS, PLACES = 97, 24, 3, 2, 19

# Names in Hugging Face's BertForMaskedLM -> names in nanobert, with {} for the number of a layer.
EMBEDDINGS = {
    "bert.embeddings.word_embeddings.weight": "embeddings.token.weight",
    "bert.embeddings.position_embeddings.weight": "embeddings.position.weight",
    "bert.embeddings.LayerNorm": "embeddings.norm",
}
LAYER = {
    "bert.encoder.layer.{}.attention.self.query": "encoder.blocks.{}.attention.query",
    "bert.encoder.layer.{}.attention.self.key": "encoder.blocks.{}.attention.key",
    "bert.encoder.layer.{}.attention.self.value": "encoder.blocks.{}.attention.value",
    "bert.encoder.layer.{}.attention.output.dense": "encoder.blocks.{}.attention.output",
    "bert.encoder.layer.{}.attention.output.LayerNorm": "encoder.blocks.{}.attention_norm",
    "bert.encoder.layer.{}.intermediate.dense": "encoder.blocks.{}.feed_forward.up",
    "bert.encoder.layer.{}.output.dense": "encoder.blocks.{}.feed_forward.down",
    "bert.encoder.layer.{}.output.LayerNorm": "encoder.blocks.{}.feed_forward_norm",
}
HEAD = {
    "cls.predictions.transform.dense": "head.dense",
    "cls.predictions.transform.LayerNorm": "head.norm",
    "cls.predictions.bias": "head.decoder.bias",
}


@pytest.fixture(scope="module")
def theirs():
    config = transformers.BertConfig(
        vocab_size=VOCAB,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH,
        max_position_embeddings=PLACES,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )
    torch.manual_seed(0)
    model = transformers.BertForMaskedLM(config).eval()
    for parameter in model.parameters():  # no bias of 0 and no gain of 1, which would hide what is left out
        torch.nn.init.normal_(parameter, mean=0.1, std=0.3)
    return model


@pytest.fixture(scope="module")
def ours(theirs):
    """nanobert with the very weights of Hugging Face's model."""
    model = build_masked_lm(VOCAB, WIDTH, HEADS, LAYERS, PLACES, pre_norm=False).eval()
    names = EMBEDDINGS | HEAD
    names |= {k.format(i): v.format(i) for i in range(LAYERS) for k, v in LAYER.items()}
    renamed = {}
    for name, value in theirs.state_dict().items():
        prefix = next((prefix for prefix in names if name.startswith(prefix)), None)
        if prefix:
            renamed[name.replace(prefix, names[prefix])] = value
    # BERT adds a vector for the segment; with one segment, it is part of every position's.
    renamed["embeddings.position.weight"] = (
        renamed["embeddings.position.weight"] + theirs.bert.embeddings.token_type_embeddings.weight
    )
    renamed["head.decoder.weight"] = renamed["embeddings.token.weight"]
    model.load_state_dict(renamed)
    return model


@pytest.fixture
def batch():
    tokens = torch.randint(0, VOCAB, (5, 13), generator=torch.Generator().manual_seed(3))
    padding = torch.zeros(5, 13, dtype=torch.bool)
    padding[1, 9:] = padding[4, 4:] = True
    return tokens, padding


@torch.no_grad()
def test_logits_are_those_of_hugging_faces_bert(ours, theirs, batch):
    tokens, padding = batch
    expected = theirs(input_ids=tokens, attention_mask=(~padding).long()).logits
    torch.testing.assert_close(ours(tokens, padding)[~padding], expected[~padding], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours(tokens), theirs(input_ids=tokens).logits, rtol=1e-4, atol=1e-4)


def test_loss_and_gradients_are_those_of_hugging_faces_bert(ours, theirs, batch):
    tokens, padding = batch
    labels = tokens.masked_fill(torch.arange(13) % 3 > 0, IGNORE).masked_fill(padding, IGNORE)
    ours.zero_grad(), theirs.zero_grad()
    loss, expected = masked_lm_loss(ours(tokens, padding), labels), theirs(tokens, ~padding, labels=labels).loss
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    loss.backward(), expected.backward()
    theirs_grad = theirs.bert.embeddings.word_embeddings.weight.grad
    torch.testing.assert_close(ours.embeddings.token.weight.grad, theirs_grad, rtol=1e-3, atol=1e-5)


@torch.no_grad()
def test_logits_at_positions_are_those_of_all_logits(ours, batch):
    tokens, padding = batch
    positions = torch.tensor([2, 12, 13, 40, 64])
    everywhere = ours(tokens, padding).flatten(0, 1)
    torch.testing.assert_close(ours(tokens, padding, positions), everywhere[positions])


@pytest.mark.parametrize("pre_norm", [True, False])
@pytest.mark.parametrize("positions", [[2, 12, 13, 40, 64], [], [7]])
@pytest.mark.parametrize("short", [32, 0])
@pytest.mark.parametrize("padded", [True, False])
def test_the_fast_model_has_the_scores_and_gradients_of_the_one_that_lessons_teach(
    batch, monkeypatch, pre_norm, positions, short, padded
):
    monkeypatch.setattr(masked_lm, "SHORT", short)
    tokens, padding = batch[0], batch[1] if padded else None
    fast = build_masked_lm(VOCAB, WIDTH, HEADS, LAYERS, PLACES, pre_norm=pre_norm)
    taught = MaskedLM(fast.embeddings, fast.encoder, fast.head)
    assert type(fast) is FastMaskedLM
    for parameter in fast.parameters():
        torch.nn.init.normal_(parameter, mean=0.1, std=0.3)
    positions = torch.tensor(positions, dtype=torch.long)
    results = []
    for model in (fast, taught):
        model.zero_grad()
        logits = model(tokens, padding, positions)
        logits.logsumexp(-1).square().sum().backward()
        results.append([logits.detach(), *(parameter.grad.clone() for parameter in model.parameters())])
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-4)


def test_the_head_shares_the_embedding():
    model = build_masked_lm(VOCAB, WIDTH, HEADS, LAYERS, PLACES)
    assert model.head.decoder.weight is model.embeddings.token.weight
    assert sum(parameter.shape == (VOCAB, WIDTH) for parameter in model.parameters()) == 1


def test_the_head_takes_any_number_of_leading_sizes():
    head = MaskedLMHead(WIDTH, torch.nn.Embedding(VOCAB, WIDTH))
    x = torch.randn(2, 3, WIDTH)
    torch.testing.assert_close(head(x)[1, 2], head(x[1, 2]))


def test_the_loss_is_pytorchs_cross_entropy_over_the_labelled_positions():
    logits = torch.randn(3, 7, 11) * 50
    labels = torch.randint(0, 11, (3, 7)).masked_fill(torch.rand(3, 7) < 0.6, IGNORE)
    expected = F.cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORE)
    torch.testing.assert_close(masked_lm_loss(logits, labels), expected)
    kept = labels != IGNORE
    torch.testing.assert_close(masked_lm_loss(logits[kept], labels[kept]), expected)


def test_the_loss_is_0_where_nothing_is_asked():
    logits = torch.randn(2, 3, 11, requires_grad=True)
    loss = masked_lm_loss(logits, torch.full((2, 3), IGNORE))
    loss.backward()
    assert loss == 0 and not logits.grad.any()


@pytest.mark.parametrize("pre_norm", [True, False])
def test_gradients_reach_every_parameter(pre_norm):
    model = build_masked_lm(VOCAB, WIDTH, HEADS, LAYERS, PLACES, pre_norm=pre_norm)
    tokens = torch.randint(0, VOCAB, (4, PLACES))
    masked_lm_loss(model(tokens), tokens).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("pre_norm", [True, False])
@torch.no_grad()
def test_padding_changes_nothing(pre_norm):
    model = build_masked_lm(VOCAB, WIDTH, HEADS, LAYERS, PLACES, pre_norm=pre_norm)
    tokens = torch.randint(5, VOCAB, (2, 6))
    padded = torch.cat([tokens, torch.randint(0, VOCAB, (2, 4))], dim=1)
    padding = torch.arange(10).expand(2, 10) >= 6
    torch.testing.assert_close(model(padded, padding)[:, :6], model(tokens))
