"""Writes lib/unmasked/data/reference_numbers.py: what Hugging Face `transformers` computes, layer by layer.

.venv/bin/python tests/unmasked/data/make_reference.py
"""

import base64
import textwrap
from pathlib import Path

import torch
from transformers import BertConfig, BertModel

from unmasked.data.pretrained import load_pretrained

TARGET = Path(__file__).parents[3] / "lib" / "unmasked" / "data" / "reference_numbers.py"
SENTENCES = ("An encoder reads a sentence all at once.", "So do you?")
COLUMNS = 16  # a norm makes every column depend on all others, so a few tell as much as all

MODULE = '''"""What transformers computes for two sentences; made by tests/unmasked/data/make_reference.py."""

SENTENCES = {sentences}
COLUMNS = {columns}  # of each vector, the first ones
NUMBERS = """
{numbers}
"""
'''


def hugging_face(pretrained):
    """The model in `transformers`, without the pooler."""
    model = BertModel(BertConfig(**pretrained.config, attn_implementation="eager"), add_pooling_layer=False)
    needed = {name: tensor for name, tensor in pretrained.tensors.items() if name in model.state_dict()}
    model.load_state_dict(needed)
    return model.eval()


@torch.no_grad()
def hidden_states(pretrained, sentences):
    """What stands after the embeddings and after each layer.  -> (L + 1, B, T, D)"""
    rows = [torch.tensor(encoding.ids) for encoding in pretrained.tokenizer.encode_batch(list(sentences))]
    tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)  # [PAD] is 0
    model = hugging_face(pretrained)
    return torch.stack(model(tokens, (tokens != 0).long(), output_hidden_states=True).hidden_states)


if __name__ == "__main__":
    states = hidden_states(load_pretrained(), SENTENCES)[..., :COLUMNS].contiguous()
    numbers = "\n".join(textwrap.wrap(base64.b64encode(states.numpy().astype("<f4").tobytes()).decode(), 116))
    sentences = str(SENTENCES).replace("'", '"')
    TARGET.write_text(MODULE.format(sentences=sentences, columns=COLUMNS, numbers=numbers), encoding="utf-8")
