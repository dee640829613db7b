"""The figures of lesson 02, and the small measurements they draw."""

import torch
from torch.utils.benchmark import Timer

from unmasked.figures import BLUE, GREEN, ORANGE, RED, axes, heatmap, image, show


def word_plane(sentences, vectors, moved, word, title):
    """Draw each sentence's words as points, and an arrow from where `word` stood to where it has moved.

    `vectors` (N, T, 2) are where the words stand, `moved` (N, T, 2) where they have moved.
    """
    figure, panels = axes(len(sentences), height=3.3, sharex=True, sharey=True)
    for ax, words, before, after in zip(panels, sentences, vectors, moved):
        ax.scatter(*before.T, color=BLUE, s=18)
        for text, place in sorted({w: tuple(p.tolist()) for w, p in zip(words, before)}.items()):
            ax.annotate(text, place, xytext=(4, 4), textcoords="offset points", color=BLUE)
        start, end = before[words.index(word)], after[words.index(word)]
        ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": RED, "lw": 1.8})
        ax.scatter(*end, color=RED, s=30, zorder=3)
        ax.set(title=" ".join(words), xlabel="about water", ylabel="about money", xlim=(-0.1, 2.6), ylim=(-0.1, 2.6))
    figure.suptitle(title)
    ends = (a[words.index(word)].tolist() for words, a in zip(sentences, moved))
    where = "; ".join(f"in '{' '.join(w)}' to ({x:.1f}, {y:.1f})" for w, (x, y) in zip(sentences, ends))
    show(figure, f"Words in a plane. An arrow shows where '{word}' moves: {where}.")


def weights_by_sentence(sentences, weights):
    """Draw each sentence's weights: a row for each query, a column for each key."""
    figure, panels = axes(len(sentences), height=3.6)
    for ax, words, matrix in zip(panels, sentences, weights):
        heatmap(ax, matrix, words, words, title=" ".join(words), lowest=0, highest=1)
        ax.set(xlabel="key", ylabel="query")
    show(figure, "Attention weights of every word (row) on every word (column); each row sums to 1.")


def saturation(widths, variances, unscaled, scaled):
    """Draw how the spread of dot products grows with their width, and what that does to the softmax."""
    figure, (left, right) = axes(2)
    left.plot(widths, variances, "o-", label="measured")
    left.plot(widths, widths, ":", color="black", label="d_k")
    left.set(title="Variance of q·k", xlabel="d_k", xscale="log", yscale="log")
    right.plot(widths, unscaled, "o-", color=RED, label="softmax(q·k)")
    right.plot(widths, scaled, "o-", color=GREEN, label="softmax(q·k / √d_k)")
    right.set(title="Largest of 16 weights, on average", xlabel="d_k", xscale="log", ylim=(0, 1))
    for ax in (left, right):
        ax.legend()
    show(figure, "Left: the variance of a dot product equals its width. Right: without scaling the largest weight "
                 "goes towards 1 as the width grows; with scaling it stays put.")  # fmt: skip


def padded_weights(words, weights):
    """Draw the weights of padded sentences side by side."""
    figure, panels = axes(len(words), height=3.6)
    for ax, row, matrix in zip(panels, words, weights):
        heatmap(ax, matrix, row, row, lowest=0, highest=1)
        ax.set(xlabel="key", ylabel="query")
    shares = (sum(matrix[:, column].sum() for column, word in enumerate(row) if word == "[PAD]")
              for row, matrix in zip(words, weights))  # fmt: skip
    show(figure, "Attention weights of two padded sentences. What padding gets, added up over all words: "
                 + ", ".join(f"{float(share):.2f}" for share in shares) + ".")  # fmt: skip


def attention_in_a_loop(x):
    """Self-attention without matrices: a pair of tokens at a time, in plain Python.  (B, T, D) -> (B, T, D)"""
    result = torch.zeros_like(x)
    for b, tokens in enumerate(x):
        for q, query in enumerate(tokens):
            scores = torch.stack([(query * key).sum() for key in tokens]) / len(query) ** 0.5
            weights = scores.exp() / scores.exp().sum()
            for weight, value in zip(weights, tokens):
                result[b, q] += weight * value
    return result


def race(attention, lengths=(8, 16, 32, 64), width=64):
    """Time the loop and the matrix form on sequences of several lengths, on every device there is, and draw it.

    Returns how many times faster the matrix form is on the CPU for the longest sequence.
    """
    seconds = {"loop, CPU": [_seconds(attention_in_a_loop, torch.randn(1, T, width)) for T in lengths]}
    devices = ["cpu"] + ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()
    for device in devices:
        inputs = [torch.randn(1, T, width, device=device) for T in lengths]
        seconds[f"matrices, {device.upper()}"] = [_seconds(attention, x) for x in inputs]
    figure, ax = axes(width=5.6)
    for label, times in seconds.items():
        ax.plot(lengths, [1000 * t for t in times], "o-", label=label)
    ax.set(xlabel="tokens", ylabel="milliseconds", xscale="log", yscale="log", xticks=lengths, xticklabels=lengths)
    ax.minorticks_off()
    ax.legend()
    longest = ", ".join(f"{label} {1000 * times[-1]:.2f} ms" for label, times in seconds.items())
    show(figure, f"Time of attention against the number of tokens; with {lengths[-1]} tokens: {longest}.")
    return seconds["loop, CPU"][-1] / seconds["matrices, CPU"][-1]


def _seconds(function, x):
    return Timer("f(x)", globals={"f": function, "x": x}).blocked_autorange(min_run_time=0.05).median


def learned(losses, before, after, groups):
    """Draw the loss of the errands and the query-key matrix before and after training; `groups` name its blocks."""
    figure, (left, middle, right) = axes(3, width=10, height=3.3)
    left.plot(losses)
    left.axhline(losses[0], ls=":", color="black")
    left.annotate("identity matrices", (len(losses), losses[0]), ha="right", va="bottom")
    left.set(xlabel="step", ylabel="loss (log scale)", title="Loss", yscale="log")
    for ax, matrix, title in ((middle, before, "Before: the identity"), (right, after, "After")):
        drawn = heatmap(ax, matrix, title=title, numbers=False)
        figure.colorbar(drawn, ax=ax, shrink=0.75)
        edges = [sum(size for _, size in groups[:i]) - 0.5 for i in range(len(groups))]
        centres = [edge + size / 2 for edge, (_, size) in zip(edges, groups)]
        for edge in edges[1:]:
            ax.axhline(edge, color="white", lw=0.7)
            ax.axvline(edge, color="white", lw=0.7)
        ax.set(xlabel="in the key", ylabel="in the query")
        ax.set_xticks(centres, [name for name, _ in groups], rotation=0)
        ax.set_yticks(centres, [name for name, _ in groups], rotation=90, va="center")
    fall = "less than a hundredth" if losses[-1] < losses[0] / 100 else "more than a hundredth"
    parts = [name for name, size in groups for _ in range(size)]
    row, column = divmod(int(after.argmax()), len(parts))
    show(figure, f"The loss ends at {fall} of that of the identity. The brightest place of the matrix after training "
                 f"is where the {parts[row]} of a query meets the {parts[column]} of a key.")  # fmt: skip


def bars(words, weights, query, scale):
    """A picture of one query's weights as bars, for the explorer."""
    figure, ax = axes(width=6.0, height=2.6)
    heights = weights.tolist()
    ax.bar(range(len(words)), heights, color=[ORANGE if i == query else BLUE for i in range(len(words))])
    ax.set_xticks(range(len(words)), words)
    ax.set(ylim=(0, 1.05), ylabel="weight", title=f"What “{words[query]}” attends to, scores divided by {scale:g}")
    for i, height in enumerate(heights):
        ax.text(i, height + 0.02, f"{height:.2f}", ha="center", fontsize=8)
    return image(figure, f"Weights of '{words[query]}': " + ", ".join(f"{w} {h:.2f}" for w, h in zip(words, heights)))
