"""The widgets of lesson 09: a search by meaning, and the attention of every head of every block."""

import ipywidgets
from IPython.display import HTML, display

from unmasked import panel
from unmasked.figures import arcs
from unmasked.figures.real_bert import found
from unmasked.widgets import explore, ready, slider

__all__ = ["attention_explorer", "ready", "search"]


def search(find, query):
    """Type a query and see what is found; `find(query)` gives pairs of a cosine and a text."""

    def draw(query):
        if not query.strip():
            return HTML(panel.box(panel.GREY, "Type a sentence, or a few words, to search for."))
        return found(find(query))

    layout = {"width": "640px", "max_width": "100%"}
    explore(draw, query=ipywidgets.Text(query, description="Search", continuous_update=False, layout=layout))
    display(HTML('<span style="opacity:.8">Press Enter to search.</span>'))


def attention_explorer(words, weights, block, head, word):
    """Choose a block, a head and a word, and see where it looks from there.  weights (L, H, T, T)"""
    places = [f"{i} {each}" for i, each in enumerate(words)]

    def draw(block, head, word):
        place = places.index(word)
        title = f"block {block}, from “{words[place]}”"
        return arcs(words, {head: weights[block, head, place]}, place, title)

    explore(
        draw,
        block=slider("block", list(range(weights.shape[0])), block),
        head=slider("head", list(range(weights.shape[1])), head),
        word=slider("word", places, places[words.index(word)]),
    )
