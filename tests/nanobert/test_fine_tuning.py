"""Heads, freezing and learning rates, against Hugging Face's BERTs and torch's optimizers."""

import itertools

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForQuestionAnswering, BertForSequenceClassification, BertForTokenClassification

from nanobert.bert import Bert, rename
from nanobert.fine_tuning import Frozen, SpanHead, TextClassifier, best_span, layer_rates, piece_labels
from nanobert.masked_lm import build_masked_lm
from nanobert.tagging import TokenClassifier
from nanobert.tokenizer import IGNORE, train_tokenizer

VOCAB, WIDTH, CLASSES = 37, 24, 5
SIZES = {"vocab_size": VOCAB, "hidden_size": WIDTH, "num_attention_heads": 3, "num_hidden_layers": 2,
         "intermediate_size": 20, "max_position_embeddings": 11}  # fmt: skip


def theirs(kind):
    """A model in `transformers` with random weights, without dropout."""
    torch.manual_seed(0)
    eager = {"layer_norm_eps": 1e-12, "initializer_range": 0.3, "attn_implementation": "eager"}
    return kind(BertConfig(**SIZES | eager, num_labels=CLASSES if kind is not BertForQuestionAnswering else 2)).eval()


def encoder_of(model):
    """The embeddings and the encoder of theirs, in our classes."""
    ours = Bert(*SIZES.values())
    tensors = model.bert.state_dict().items()
    ours.load_state_dict({rename(name): tensor for name, tensor in tensors if rename(name)})
    return ours.embeddings, ours.encoder


@pytest.fixture
def batch():
    tokens = torch.randint(VOCAB, (4, 9), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(9) >= torch.tensor([9, 5, 7, 2])[:, None]
    return tokens, mask


@torch.no_grad()
def test_a_text_classifier_is_berts_for_sequence_classification(batch):
    model, (tokens, mask) = theirs(BertForSequenceClassification), batch

    def pooler(x, key_padding_mask):
        return torch.tanh(model.bert.pooler.dense(x[:, 0]))  # the vector of [CLS], as BERT pools it

    ours = TextClassifier(*encoder_of(model), pooler, WIDTH, CLASSES)
    ours.output.load_state_dict(model.classifier.state_dict())
    torch.testing.assert_close(ours(tokens, mask), model(tokens, ~mask).logits, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_token_classifier_is_berts(batch):
    model, (tokens, mask) = theirs(BertForTokenClassification), batch
    ours = TokenClassifier(*encoder_of(model), WIDTH, CLASSES)
    ours.output.load_state_dict(model.classifier.state_dict())
    expected = model(tokens, ~mask).logits
    torch.testing.assert_close(ours(tokens, mask)[~mask], expected[~mask], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_span_head_is_berts_for_question_answering(batch):
    model, (tokens, mask) = theirs(BertForQuestionAnswering), batch
    (embeddings, encoder), head = encoder_of(model), SpanHead(WIDTH)
    head.output.load_state_dict(model.qa_outputs.state_dict())
    start, end = head(encoder(embeddings(tokens), mask), mask)
    expected = model(tokens, ~mask)
    torch.testing.assert_close(start[~mask], expected.start_logits[~mask], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(end[~mask], expected.end_logits[~mask], atol=1e-4, rtol=1e-4)
    assert not start.softmax(-1)[mask].any() and not end.softmax(-1)[mask].any()


def test_a_hidden_token_gives_no_infinite_loss_where_others_are_labelled():
    head, hidden = SpanHead(WIDTH), torch.tensor([[True, False, False]])
    start, _ = head(torch.randn(1, 3, WIDTH), hidden)
    loss = nn.functional.cross_entropy(start, torch.tensor([1]))
    loss.backward()
    assert loss.isfinite() and head.output.weight.grad.isfinite().all()


@pytest.mark.parametrize("longest", [1, 2, 5, 20])
def test_the_best_span_is_that_of_trying_all(longest):
    generator = torch.Generator().manual_seed(longest)
    for _ in range(30):
        start, end = torch.randn(2, 12, generator=generator)
        pairs = [(i, j) for i, j in itertools.product(range(12), repeat=2) if i <= j < i + longest]
        assert best_span(start, end, longest) == max(pairs, key=lambda pair: start[pair[0]] + end[pair[1]])


def test_a_frozen_module_does_not_change_in_training_and_the_rest_does():
    frozen = Frozen(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)))
    model = nn.Sequential(nn.Linear(2, 3), frozen, nn.Linear(4, 1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model.train()
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(5, 2)).square().mean().backward()
        optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert model.training and not frozen.module[2].training
    assert frozen.train() is frozen


def classifier(layers):
    model = build_masked_lm(VOCAB, WIDTH, 3, layers, 11)
    return TextClassifier(model.embeddings, model.encoder, lambda x, mask: x[:, 0], WIDTH, CLASSES)


@pytest.mark.parametrize("layers", [1, 4])
def test_an_optimizer_takes_the_groups_and_has_every_parameter_once(layers):
    model = classifier(layers)
    optimizer = torch.optim.AdamW(layer_rates(model, 0.1, 0.5))  # refuses a parameter that is there twice
    rates = {id(value): group["lr"] for group in optimizer.param_groups for value in group["params"]}
    assert rates.keys() == {id(value) for value in model.parameters()}
    by_name = {name: rates[id(value)] for name, value in model.named_parameters()}
    assert by_name["output.weight"] == 0.1
    assert by_name["encoder.norm.bias"] == by_name[f"encoder.blocks.{layers - 1}.feed_forward.up.weight"] == 0.05
    assert by_name["encoder.blocks.0.attention.query.weight"] == pytest.approx(0.1 * 0.5**layers)
    assert by_name["embeddings.position.weight"] == pytest.approx(0.1 * 0.5 ** (layers + 1))


def test_lower_layers_move_less():
    model = classifier(3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(layer_rates(model, 1.0, 0.0))
    model(torch.randint(VOCAB, (2, 5))).square().sum().backward()
    optimizer.step()
    assert {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])} == {
        "output.weight",
        "output.bias",
    }


def test_words_in_pieces_have_one_label_each_where_the_tokenizer_says_they_begin():
    tokenizer = train_tokenizer(["set the lamp to red", "the red lamp is set"] * 9, 40)
    words = ["set", "the", "lampset", "to", "red"]
    encoding = tokenizer.encode(words, is_pretokenized=True)
    assert encoding.tokens == ["[CLS]", "set", "the", "lamp", "##s", "##et", "to", "red", "[SEP]"]
    labels = piece_labels(encoding.word_ids, [10, 11, 12, 13, 14])
    assert labels == [IGNORE, 10, 11, 12, IGNORE, IGNORE, 13, 14, IGNORE]
