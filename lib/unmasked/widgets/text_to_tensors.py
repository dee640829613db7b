"""The widget of lesson 01: type a text and see its pieces."""

import ipywidgets
from IPython.display import HTML

from unmasked.figures.text_to_tensors import boxes
from unmasked.widgets import explore

LONGEST = 300  # characters


def playground(split_words, word_pieces, vocabulary, text):
    """Type a text; below it stand its pieces and their ids."""

    def draw(text):
        words = split_words(text[:LONGEST])
        pieces = sum((word_pieces(word, vocabulary) for word in words), [])
        count = (
            f"{len(words)} word{'' if len(words) == 1 else 's'}, {len(pieces)} token{'' if len(pieces) == 1 else 's'}"
        )
        return HTML(f"<div>{boxes(pieces, [vocabulary.get(piece, '?') for piece in pieces])}</div><div>{count}</div>")

    layout = {"width": "640px", "max_width": "100%"}
    explore(draw, text=ipywidgets.Text(text, description="Text", layout=layout))
