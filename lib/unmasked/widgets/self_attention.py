"""The widget of lesson 02: one query's weights, under a scale that the learner moves."""

from unmasked.figures.self_attention import bars
from unmasked.widgets import explore, slider


def weights_explorer(words, vectors):
    """Choose a word and a scale, and see how that word shares out its attention.  `vectors` (T, K)"""
    scores = vectors @ vectors.mT

    def draw(word, scale):
        query = words.index(word)
        return bars(words, (scores[query] / scale).softmax(-1), query, scale)

    root = round(vectors.shape[-1] ** 0.5, 2)
    scales = sorted({0.1, 0.25, 0.5, 1.0, root, 3.0, 10.0})
    explore(draw, word=slider("query", words, words[-1]), scale=slider("divide the scores by", scales, root))
