"""The figures of lesson 03, and the small measurements they draw."""

import torch
import torch.nn.functional as F
from matplotlib.patches import Rectangle
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

from unmasked.figures import BLUE, GREEN, HEAD_COLOURS, ORANGE, PURPLE, RED, SKY, axes, heatmap, show

TOKEN_COLOURS = (SKY, ORANGE, PURPLE, GREEN)


def seesaw(shares, lost_before, lost_after):
    """Draw how much of each neighbour a mix leaves out, by the share of the first one in it."""
    figure, ax = axes(width=7.2)
    ax.plot(shares, lost_before, color=BLUE, label="one head: lost of the one before")
    ax.plot(shares, lost_after, color=ORANGE, label="one head: lost of the one after")
    mean = [(a + b) / 2 for a, b in zip(lost_before, lost_after)]
    ax.plot(shares, mean, "--", color="black", label="one head: mean of the two")
    ax.plot([0, 1], [0, 0], color=GREEN, lw=3, label="two heads, one for each", clip_on=False)
    ax.set(xlabel="weight on the one before", ylabel="share that is lost", ylim=(0, 1))
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    show(figure, "Whatever the weights of one softmax, the mean loss of the two neighbours stays at one half: what one "
                 "gains the other loses. Two heads lose nothing.")  # fmt: skip


def cut(split_heads, tokens=3, heads=2, width=6):
    """Draw where each number of x goes in `split_heads`, and where a reshape alone would put it."""
    x = _numbered(tokens, width)
    yours, reshaped = split_heads(x, heads)[0], x.reshape(heads, tokens, -1)
    pieces = {"x": x[0]} | {f"your head {h}": part for h, part in enumerate(yours)}
    pieces |= {f"by reshape: {h}": part for h, part in enumerate(reshaped)}
    kept = yours.shape == (heads, tokens, width // heads) and (yours // width == torch.arange(tokens)[:, None]).all()
    mine = "keeps each row to one token" if kept else "mixes tokens in a row too"
    text = f"Colours of tokens: yours {mine}; a reshape alone puts numbers of several tokens into one row."
    _show_pieces(pieces, width, text)


def joined(merge_heads, tokens=3, heads=2, width=6):
    """Draw what `merge_heads` makes of two heads, and what a flatten alone would make of them."""
    x = _numbered(tokens, width)
    parts = torch.stack(x.chunk(heads, dim=-1), dim=1)
    pieces = {f"head {h}": part for h, part in enumerate(parts[0])}
    merged = merge_heads(parts)[0]
    pieces |= {"your merge": merged, "flatten alone": parts.reshape(tokens, width)}
    mine = "brings each token back into one row" if torch.equal(merged, x[0]) else "does not give the tokens back"
    text = f"Yours {mine}; a flatten alone mixes the tokens."
    _show_pieces(pieces, width, text)


def _numbered(tokens, width):
    return torch.arange(tokens * width).view(1, tokens, width)


def _show_pieces(pieces, width, text):
    """Draw matrices of the numbers of `_numbered` side by side: each number as token and column it came from."""
    ratios = [piece.shape[-1] for piece in pieces.values()]
    figure, panels = axes(len(pieces), width=10, height=2.4, gridspec_kw={"width_ratios": ratios})
    for ax, (title, piece) in zip(panels, pieces.items()):
        rows, columns = piece.shape
        for row in range(rows):
            for column in range(columns):
                token, origin = divmod(int(piece[row, column]), width)
                ax.add_patch(Rectangle((column, row), 1, 1, facecolor=TOKEN_COLOURS[token], edgecolor="white", lw=2))
                ax.text(column + 0.5, row + 0.5, f"{token}·{origin}", ha="center", va="center", fontsize=8)
        ax.set(title=title, xlim=(0, columns), ylim=(rows, 0), aspect="equal")
        ax.set_xticks([])
        ax.set_yticks(
            [row + 0.5 for row in range(rows)], [f"row {row}" for row in range(rows)] if ax is panels[0] else []
        )
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    figure.supxlabel("a colour for each token; in each square: token · column of x", fontsize=8.5)
    show(figure, text)


def change_by_column(change, heads, changed):
    """Draw how much each number of the result has changed, tokens by columns, with lines between the heads."""
    tokens, width = change.shape
    figure, ax = axes(width=6.6, height=2.5)
    drawn = ax.imshow(change.numpy(), cmap="viridis", vmin=0, aspect="auto")
    figure.colorbar(drawn, label="change")
    for head in range(1, heads):
        ax.axvline(head * width / heads - 0.5, color="white", lw=2)
    centres = [(head + 0.5) * width / heads - 0.5 for head in range(heads)]
    ax.set_xticks(centres, [f"columns of head {head}" for head in range(heads)])
    ax.set(ylabel="token", title=f"What changes when head {changed}'s columns of the input do")
    ax.tick_params(length=0)
    moved = [head for head, columns in enumerate(change.chunk(heads, dim=-1)) if columns.any()]
    show(figure, f"Of the columns of {heads} heads, counted from 0, those of these change: {moved}.")


def race(loop, at_once, heads=(1, 2, 4, 8, 16, 32, 64), tokens=32, width=256):
    """Time both forms by the number of heads, on every device there is, and draw it.

    Returns how many times faster the form without a loop is on the CPU with the most heads.
    """
    devices = ["cpu"] + ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()
    figure, ax = axes(width=5.8)
    milliseconds = {}
    for device in devices:
        x = torch.randn(4, tokens, width, device=device)
        for label, attend in (("in a loop", loop), ("at once", at_once)):
            times = milliseconds[label, device] = [1000 * _seconds(attend, x, x, x, h) for h in heads]
            ax.plot(heads, times, "o-", label=f"{label}, {device.upper()}")
    ax.set(xlabel="heads", ylabel="milliseconds", xscale="log", ylim=(0, None), xticks=heads, xticklabels=heads)
    ax.minorticks_off()
    ax.legend(frameon=False)
    last = {label: milliseconds[label, "cpu"][-1] for label in ("in a loop", "at once")}
    spoken = ", ".join(f"{label} {time:.1f} ms" for label, time in last.items())
    show(figure, f"Time by the number of heads; on the CPU, with {heads[-1]} heads: {spoken}.")
    return last["in a loop"] / last["at once"]


def _seconds(function, *args):
    return Timer("f(*args)", globals={"f": function, "args": args}).blocked_autorange(min_run_time=0.05).median


class ByReshape(nn.Module):
    """Multi-head attention with a mistake: heads are cut and joined by `reshape` alone.  (B, T, D) -> (B, T, D)"""

    def __init__(self, d_model, heads):
        super().__init__()
        self.heads = heads
        self.layers = nn.ModuleList(nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, x):
        cut = (layer(x).reshape(len(x), self.heads, x.shape[1], -1) for layer in self.layers[:3])
        return self.layers[3](F.scaled_dot_product_attention(*cut).reshape(x.shape))


def losses(curves, bound):
    """Draw loss curves by label, and the line below which one head can't get."""
    figure, ax = axes(width=7.2)
    for label, curve in curves.items():
        ax.plot(curve, label=label)
    ax.axhline(bound, ls="--", color="black", lw=1, label="floor of the seesaw")
    ax.set(xlabel="step", ylabel="loss", ylim=(0, 1.1))
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    ends = ", ".join(f"{label}: {sum(curve[-20:]) / 20:.2f}" for label, curve in curves.items())
    show(figure, f"Loss curves. They end at: {ends}.")


def heads_side_by_side(weights, titles, **labels):
    """Draw the weights of each head as a heat map.  weights (H, T, T)"""
    figure, panels = axes(len(weights), width=3.4 * len(weights), height=3.1, squeeze=False)
    for ax, matrix, title in zip(panels[0], weights, titles):
        heatmap(ax, matrix, title=title, lowest=0, highest=1)
        ax.set(**labels)
    rows = (f"{title}: row 0 looks most at {matrix[0].argmax()}" for title, matrix in zip(titles, weights))
    show(figure, "Weights of each head. " + "; ".join(rows) + ".")


def by_distance(weights, place):
    """Draw how far from the hidden word each head looks.  weights (H, T): means over many sentences"""
    figure, panels = axes(len(weights), width=10, height=2.5, sharey=True)
    distances = [i - place for i in range(weights.shape[1])]
    for head, (ax, row) in enumerate(zip(panels, weights.tolist())):
        ax.bar(distances, row, color=HEAD_COLOURS[head])
        ax.axvline(0, ls=":", color="black", lw=1)
        ax.set(title=f"head {head}", ylim=(0, 1), xticks=distances[::2])
    panels[0].set_ylabel("mean weight")
    figure.supxlabel("places to the right of the hidden word", fontsize=9.5)
    most = (f"head {head} at {distances[row.argmax()]:+d}" for head, row in enumerate(weights))
    show(figure, "Mean weight by distance. Each head looks most at: " + ", ".join(most) + ".")


def measured_cost(module, tokens, d_model):
    """The parameters of a module, and the FLOPs of the matrix products that one call of it really makes."""
    counter = FlopCounterMode(display=False)
    with counter, sdpa_kernel(SDPBackend.MATH):  # fused kernels do the same products where they can't be counted
        module(torch.zeros(1, tokens, d_model))
    return sum(p.numel() for p in module.parameters()), counter.get_total_flops()


def cost_by_heads(heads, parameters, flops, modules, tokens, d_model):
    """Draw parameters, FLOPs and the measured time of a forward pass against the number of heads."""
    x = torch.randn(4, tokens, d_model)
    with torch.no_grad():
        times = [1000 * _seconds(module, x) for module in modules]
    figure, panels = axes(3, width=10, height=2.7)
    millions = [count / 1e6 for count in flops]
    lines = (("parameters", parameters), ("FLOPs, in millions", millions), ("milliseconds, this machine", times))
    for ax, (title, line), colour in zip(panels, lines, (BLUE, ORANGE, RED)):
        ax.plot(heads, line, "o-", color=colour)
        ax.set(title=title, xlabel="heads", xscale="log", ylim=(0, 1.25 * max(line)), xticks=heads, xticklabels=heads)
        ax.minorticks_off()
    ends = f"{times[0]:.2f} ms with {heads[0]} head, {times[-1]:.2f} ms with {heads[-1]}"
    same = "the same" if len(set(parameters)) == len(set(flops)) == 1 else "not the same"
    show(figure, f"The counts of parameters and FLOPs are {same} for every number of heads; the time: {ends}.")


def loss_by_heads(final, bound):
    """Draw the loss after training by the number of heads."""
    figure, ax = axes(width=5.8)
    heads = list(final)
    ax.plot(heads, list(final.values()), "o-")
    ax.axhline(bound, ls="--", color="black", lw=1)
    ax.set(
        xlabel="heads", ylabel="loss after training", xscale="log", ylim=(-0.02, 0.7), xticks=heads, xticklabels=heads
    )
    ax.minorticks_off()
    ends = ", ".join(f"{loss:.2f} with {count}" for count, loss in final.items())
    show(figure, f"Loss after training, by the number of heads: {ends}.")


def cost_by_tokens(tokens, projections, attention, d_model):
    """Draw the FLOPs of the projections and of the attention itself against the number of tokens."""
    figure, ax = axes(width=5.8)
    ax.plot(tokens, projections / 1e6, label="four projections, 8·T·D²")
    ax.plot(tokens, attention / 1e6, label="scores and mixing, 4·T²·D")
    ax.plot([2 * d_model] * 2, [0, 16 * d_model**3 / 1e6], ":", color="black", lw=1)
    ax.annotate("T = 2·D", (2 * d_model, 0), xytext=(4, 4), textcoords="offset points")
    ax.set(xlabel="tokens", ylabel="FLOPs, in millions", title=f"D = {d_model}", xlim=(0, None), ylim=(0, None))
    ax.legend(frameon=False)
    show(figure, "The cost of the projections grows with the tokens, that of attention with their square; they meet "
                 "where there are twice as many tokens as columns.")  # fmt: skip
