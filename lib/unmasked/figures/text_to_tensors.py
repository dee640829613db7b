"""The figures of lesson 01. Tokens are shown as small boxes of HTML, which wrap as a text does."""

from html import escape

from IPython.display import HTML, display

from unmasked.figures import BLUE, GREEN, RED, axes, heatmap, show

START, CONTINUATION, UNKNOWN = "#cfe5f5", "#e9f3fb", "#f8d3c2"  # grounds on which black reads well


def boxes(tokens, ids=None):
    """HTML: a box for each token, those that continue a word attached to it; below each its id, if given."""
    numbers = [""] * len(tokens) if ids is None else [f"<small>{id}</small>" for id in ids]
    cells = []
    for token, number in zip(tokens, numbers):
        attached = token.startswith("##") and len(token) > 2
        ground = UNKNOWN if token == "[UNK]" else CONTINUATION if attached else START
        style = f"background:{ground};color:black;margin:3px 0 0 {1 if attached else 7}px;padding:1px 5px"
        text = "␣" if token == " " else escape(token)
        cells.append(
            f'<span style="display:inline-block;text-align:center;border-radius:3px;line-height:1.3;{style}">'
            f'<code style="background:none;color:black">{text}</code>{"<br>" * bool(number)}{number}</span>'
        )
    return "".join(cells)


def cuts(ways):
    """Show one text cut in several ways: name -> tokens."""
    rows = []
    for name, tokens in ways.items():
        count = f"{len(tokens)} token{'' if len(tokens) == 1 else 's'}"
        rows.append(f'<div style="margin:6px 0"><b>{escape(name)}</b>, {count}:<br>{boxes(tokens)}</div>')
    display(HTML("".join(rows)))


def unknown_words(sizes, shares):
    """Draw the share of words in new text that a vocabulary of words does not know, by its size."""
    figure, ax = axes(width=5.6, height=2.8)
    ax.plot(sizes, [100 * share for share in shares], "o-", color=RED)
    for size, share in zip(sizes, shares):
        ax.annotate(f"{100 * share:.1f} %", (size, 100 * share), xytext=(3, 6), textcoords="offset points", fontsize=8)
    ax.set(xlabel="size of the vocabulary", ylabel="unknown words (%)", xscale="log", ylim=(0, None))
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
    ax.minorticks_off()
    ax.margins(x=0.1)
    listed = ", ".join(f"{share:.1%} with {size:,}" for size, share in zip(sizes, shares))
    show(figure, f"Words of held-out text that the vocabulary does not know: {listed}.")


def shrinking(sizes, pieces, characters):
    """Draw how many pieces a word has on average, by the size of the vocabulary that cuts it."""
    figure, ax = axes(width=5.6, height=2.8)
    ax.plot(sizes, pieces, "o-", color=BLUE)
    ax.axhline(characters, ls=":", color="black")
    ax.annotate("characters", (sizes[-1], characters - 0.05), ha="right", va="top")
    ax.axhline(1, ls=":", color=GREEN)
    ax.annotate("whole words", (sizes[0], 1.05), va="bottom")
    ax.set(xlabel="size of the vocabulary", ylabel="pieces in a word", xscale="log", ylim=(0, characters * 1.08))
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
    ax.minorticks_off()
    show(figure, f"The mean number of pieces in a word falls from {pieces[0]:.1f} to {pieces[-1]:.1f} as the "
                 f"vocabulary grows from {sizes[0]} to {sizes[-1]:,}.")  # fmt: skip


def padded_batch(rows, key_padding_mask):
    """Draw a batch of tokens, given as texts, with its padding dimmed."""
    figure, ax = axes(width=9.5, height=0.5 + 0.42 * len(rows))
    ax.imshow(key_padding_mask.int(), cmap="Greys", vmin=0, vmax=4, aspect="auto")
    for i, row in enumerate(rows):
        for j, token in enumerate(row):
            colour = "#666666" if key_padding_mask[i, j] else "black"
            ax.text(j, i, token, ha="center", va="center", fontsize=8, color=colour)
    ax.set_xticks([j - 0.5 for j in range(1, len(rows[0]))], [])
    ax.set_yticks(range(len(rows)), [f"row {i}" for i in range(len(rows))])
    ax.grid(axis="x", color="#cccccc", lw=0.7)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    hidden = [int(row.sum()) for row in key_padding_mask]
    show(figure, f"{len(rows)} rows of {len(rows[0])} tokens; at their ends stand {hidden} tokens of padding, dimmed.")


def lookup(one_hot, table, vectors, words):
    """Draw one-hot vectors times a table, and the vectors that come out."""
    figure, panels = axes(3, width=9.5, height=3.0, gridspec_kw={"width_ratios": [len(table), 5, 5]})
    titles = f"one-hot {tuple(one_hot.shape)}", f"table {tuple(table.shape)}", f"vectors {tuple(vectors.shape)}"
    for ax, matrix, title in zip(panels, (one_hot, table, vectors), titles):
        lowest, highest = (0, 1) if matrix is one_hot else (-2, 2)
        heatmap(ax, matrix, title=title, numbers=False, lowest=lowest, highest=highest)
    for ax in (panels[0], panels[2]):
        ax.set_yticks(range(len(words)), words)
    for ax, sign in zip(panels, "@="):
        ax.text(1.09, 0.5, sign, transform=ax.transAxes, fontsize=15, ha="center", va="center")
    show(figure, "One-hot vectors, a single bright place in each row, times the table: each row of the result is the "
                 "row of the table that the bright place picks.")  # fmt: skip
