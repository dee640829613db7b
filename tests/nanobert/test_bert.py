"""Bert, against Hugging Face `transformers` with the same weights: random ones, and the real ones."""

import pytest
import torch
import torch.nn.functional as F
from transformers import BertConfig, BertForMaskedLM, BertModel

from nanobert.bert import BertEmbeddings, load_bert, mean_pooling, most_similar, rename, with_head
from nanobert.masked_lm import masked_lm_loss
from unmasked.data.pretrained import load_pretrained

SMALL = {
    "vocab_size": 37,
    "hidden_size": 24,
    "num_attention_heads": 3,
    "num_hidden_layers": 12,
    "intermediate_size": 20,
    "max_position_embeddings": 11,
}


def theirs(config, tensors=None):
    """The model in `transformers`, with dropout off; random weights of some size if none are given."""
    torch.manual_seed(0)
    eager = BertConfig(**{"layer_norm_eps": 1e-12, "initializer_range": 0.3} | config, attn_implementation="eager")
    model = BertModel(eager, add_pooling_layer=False)
    if tensors:
        model.load_state_dict({name: tensors[name] for name in model.state_dict()})
    return model.eval()


@pytest.fixture(scope="module")
def minilm():
    return load_pretrained()


@torch.no_grad()
def assert_equal_layer_by_layer(ours, model, tokens, mask, atol):
    states = model(tokens, (~mask).long(), output_hidden_states=True).hidden_states
    x = ours.embeddings(tokens)
    torch.testing.assert_close(x, states[0], atol=atol, rtol=0)
    for block, expected in zip(ours.encoder.blocks, states[1:], strict=True):
        x = block(x, mask)
        torch.testing.assert_close(x, expected, atol=atol, rtol=0)
    torch.testing.assert_close(ours(tokens, mask), states[-1], atol=atol, rtol=0)


def test_a_random_model_of_other_sizes_is_that_of_transformers():
    model = theirs(SMALL)
    tokens, mask = torch.randint(37, (3, 11)), torch.zeros(3, 11, dtype=torch.bool)
    mask[1, 7:] = True
    assert_equal_layer_by_layer(load_bert(SMALL, model.state_dict()), model, tokens, mask, atol=1e-4)


def head_of(model):
    """The head's tensors of a masked language model in `transformers`, by our names."""
    theirs = model.cls.predictions
    parts = {"dense": theirs.transform.dense, "norm": theirs.transform.LayerNorm, "decoder": theirs.decoder}
    return {f"{name}.{kind}": value for name, part in parts.items() for kind, value in part.state_dict().items()}


@pytest.fixture
def masked_lms():
    """The same masked language model twice, with one set of random weights: ours, and that of `transformers`."""
    torch.manual_seed(0)
    config = BertConfig(**SMALL, layer_norm_eps=1e-12, initializer_range=0.3)
    model = BertForMaskedLM(config).eval()
    for value in model.cls.parameters():  # no bias of 0 and no gain of 1, which would hide what is left out
        torch.nn.init.normal_(value, mean=0.1, std=0.3)
    ours = with_head(load_bert(SMALL, model.bert.state_dict()))
    ours.head.load_state_dict(head_of(model))
    return ours.eval(), model


def test_scores_and_loss_with_a_head_are_those_of_transformers(masked_lms):
    ours, model = masked_lms
    tokens, padding = torch.randint(37, (3, 11)), torch.zeros(3, 11, dtype=torch.bool)
    padding[1, 7:] = True
    labels = torch.where(torch.rand(3, 11) < 0.4, torch.randint(37, (3, 11)), -100).masked_fill(padding, -100)
    expected = model(tokens, (~padding).long(), labels=labels)
    torch.testing.assert_close(ours(tokens, padding)[~padding], expected.logits[~padding], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(masked_lm_loss(ours(tokens, padding), labels), expected.loss, atol=1e-4, rtol=1e-4)


def test_a_tiny_variance_shows_that_the_norm_of_a_head_has_the_eps_of_bert(masked_lms):
    ours, model = masked_lms
    with torch.no_grad():
        for dense in (ours.head.dense, model.cls.predictions.transform.dense):
            dense.weight.mul_(1e-3)
            dense.bias.zero_()
        tokens = torch.randint(37, (3, 11))
        torch.testing.assert_close(ours(tokens), model(tokens).logits, atol=1e-3, rtol=1e-3)


def test_training_a_head_leaves_the_embeddings_and_changes_all_else():
    torch.manual_seed(0)
    bert = load_bert(SMALL, theirs(SMALL).state_dict())
    model = with_head(bert)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    masked_lm_loss(model(torch.randint(37, (3, 11))), torch.randint(37, (3, 11))).backward()
    optimizer.step()
    same = {name for name, value in model.state_dict().items() if torch.equal(value, before[name])}
    assert same == {name for name in before if name.startswith("embeddings.")} | {"head.decoder.weight"}
    assert model.head.decoder.weight is bert.embeddings.word.weight


def test_the_real_model_is_that_of_transformers_layer_by_layer(minilm):
    ours, model = load_bert(minilm.config, minilm.tensors), theirs(minilm.config, minilm.tensors)
    texts = ["In the beginning God created the heavens and the earth.", "Jesus wept."]
    rows = [torch.tensor(encoding.ids) for encoding in minilm.tokenizer.encode_batch(texts)]
    tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    assert_equal_layer_by_layer(ours, model, tokens, tokens == 0, atol=1e-5)


def test_the_second_text_has_a_vector_of_its_own():
    model = theirs(SMALL)
    ours, kinds = load_bert(SMALL, model.state_dict()), torch.tensor([[0, 0, 1, 1, 1]])
    tokens = torch.randint(37, (1, 5))
    expected = model.embeddings(input_ids=tokens, token_type_ids=kinds)
    torch.testing.assert_close(ours.embeddings(tokens, kinds), expected, atol=1e-6, rtol=0)


def test_every_tensor_of_the_checkpoint_has_one_place(minilm):
    names = [rename(name) for name in minilm.tensors]
    assert sorted(name for name in minilm.tensors if rename(name) is None) == [
        "embeddings.position_ids",
        "pooler.dense.bias",
        "pooler.dense.weight",
    ]
    kept = [name for name in names if name]
    assert len(set(kept)) == len(kept) == 101


def test_a_missing_tensor_is_told(minilm):
    tensors = {name: tensor for name, tensor in minilm.tensors.items() if "layer.3.output.dense.bias" not in name}
    with pytest.raises(RuntimeError, match="encoder.blocks.3.feed_forward.down.bias"):
        load_bert(minilm.config, tensors)


def test_gradients_reach_every_vector_of_the_embeddings():
    embeddings = BertEmbeddings(7, 6, 5)
    embeddings(torch.tensor([[1, 2, 3]])).square().mul(torch.arange(6)).sum().backward()
    assert embeddings.word.weight.grad[1:4].abs().sum(-1).gt(0).all()
    assert embeddings.token_type.weight.grad[0].any() and not embeddings.token_type.weight.grad[1].any()


def test_a_mean_without_padding_is_that_of_the_text_alone():
    x, mask = torch.randn(3, 5, 4), torch.tensor([[False] * 5, [False, False, True, True, True], [True] * 5])
    pooled = mean_pooling(x, mask)
    torch.testing.assert_close(pooled[0], x[0].mean(0))
    torch.testing.assert_close(pooled[1], x[1, :2].mean(0))
    assert torch.equal(pooled[2], torch.zeros(4))


def test_the_most_similar_come_first():
    vectors, query = torch.randn(9, 4) * torch.rand(9, 1) * 5, torch.randn(4)
    cosines, indices = most_similar(query, vectors, 3)
    expected = F.cosine_similarity(query[None], vectors)
    assert indices.tolist() == expected.argsort(descending=True)[:3].tolist()
    torch.testing.assert_close(cosines, expected[indices])
    assert len(most_similar(query, vectors, 20)[1]) == 9
