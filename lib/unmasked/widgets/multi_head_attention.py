"""The widget of lesson 03: where each head looks from a hidden word, and what the model guesses there."""

from unmasked.figures import arcs
from unmasked.widgets import explore, slider

ALL = "all heads"


def head_explorer(words, weights, chances, vocabulary):
    """Choose which word is hidden, and a head or all of them.

    `weights` (T, H, T): at [i, h, j], how much head h looks from place i, hidden, at place j. `chances` (T, V): the
    probability of each word of the vocabulary at place i.
    """
    best, ids = chances.topk(3)
    guesses = [
        ", ".join(f"{vocabulary[i]} {chance:.0%}" for i, chance in zip(*pair))
        for pair in zip(ids.tolist(), best.tolist())
    ]
    places = [f"{i} {word}" for i, word in enumerate(words)]
    heads = [ALL] + [f"head {h}" for h in range(weights.shape[1])]

    def draw(hidden, head):
        place = places.index(hidden)
        chosen = [h for h in range(weights.shape[1]) if head in (ALL, heads[h + 1])]
        shown = [*words[:place], "[MASK]", *words[place + 1 :]]
        title = f"hidden: {words[place]}  ·  guessed: {guesses[place]}"
        return arcs(shown, {h: weights[place, h] for h in chosen}, place, title)

    explore(draw, hidden=slider("hidden word", places, places[len(places) // 2]), head=slider("head", heads, ALL))
