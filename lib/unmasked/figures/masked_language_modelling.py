"""The figures of lesson 07: masked text in colour, the schedule, the live loss curve, and what fills a blank."""

import time
from html import escape

from IPython.display import HTML, display
from matplotlib.ticker import MaxNLocator

from unmasked.figures import BLUE, GREEN, ORANGE, PURPLE, RED, SKY, axes, image, show

# How a token is marked: its colour, and the word for it in the legend. Boxes carry text, so that colour is not all.
MARKS = {
    "chosen": (ORANGE, "chosen"),
    "mask": (BLUE, "hidden behind [MASK]"),
    "random": (RED, "replaced by a random token"),
    "kept": (GREEN, "left as it is, but still asked for"),
    "right": (GREEN, "guessed right"),
    "wrong": (RED, "guessed wrong (below: what stood there)"),
}
STALE = 3.0  # seconds between two pictures of a curve that grows

# The held-out loss after 100, 200, ... steps of the lesson's CPU model by another recipe: AdamW for all parameters
# (peak 0.003, 100 steps of warm-up, 4,000 in all), batches of 32 rows. Measured once.
ADAMW_ALONE = "5.78 5.64 5.6 5.56 5.49 5.47 5.33 5.13 4.79 4.5 4.35 4.22 4.1 4.03 4.0 3.92 3.87 3.82 3.78 3.74"


# --- text ------------------------------------------------------------------------------------------------------------


def chosen_text(tokenizer, tokens, chosen):
    """Show rows of tokens (B, T), the chosen ones (B, T) in colour."""
    marks = [["chosen" if here else None for here in row] for row in chosen.tolist()]
    _text([_words(tokenizer, row) for row in tokens], marks)


def masked_text(tokenizer, tokens, inputs, labels, mask_id, ignore=-100):
    """Show what the model sees, (B, T), and under each chosen token its label."""
    marks, below = [], []
    for before, after, wanted in zip(tokens.tolist(), inputs.tolist(), labels.tolist()):
        kinds = ["mask" if new == mask_id else "kept" if new == old else "random" for old, new in zip(before, after)]
        marks.append([kind if label != ignore else None for kind, label in zip(kinds, wanted)])
        below.append([_words(tokenizer, [label])[0] if label != ignore else "" for label in wanted])
    _text([_words(tokenizer, row) for row in inputs], marks, below)


def guessed_text(tokenizer, guesses, labels, tokens, ignore=-100):
    """Show rows of tokens with the model's first guess at each chosen position, right or wrong."""
    words, marks, below = [], [], []
    for row, guess, wanted in zip(tokens.tolist(), guesses.tolist(), labels.tolist()):
        asked = [label != ignore for label in wanted]
        words.append(_words(tokenizer, [g if ask else t for t, g, ask in zip(row, guess, asked)]))
        marks.append([("right" if g == w else "wrong") if ask else None for g, w, ask in zip(guess, wanted, asked)])
        below.append([_words(tokenizer, [w])[0] if ask and g != w else "" for g, w, ask in zip(guess, wanted, asked)])
    _text(words, marks, below)


def _words(tokenizer, row):
    return [tokenizer.id_to_token(int(token)) or "?" for token in row]  # a small text may fill less than the vocabulary


def _text(rows, marks, below=None):
    below = below or [[""] * len(row) for row in rows]
    lines = "".join(
        f'<div style="margin:8px 0;line-height:1.2">{"".join(map(_token, *line))}</div>'
        for line in zip(rows, marks, below)
    )
    kinds = [kind for kind in MARKS if any(kind in row for row in marks)]
    legend = "".join(
        f'<span style="margin-right:18px"><span style="color:{colour}">■</span> {word}</span>'
        for colour, word in (MARKS[kind] for kind in kinds)
    )
    display(HTML(f'<div style="max-width:860px">{lines}<div style="opacity:.85">{legend}</div></div>'))


def _token(word, mark, label):
    """One token as a small box, its label below it."""
    style = (
        "display:inline-block;vertical-align:top;text-align:center;margin:0 2px 5px;padding:1px 4px;border-radius:3px;"
    )
    if mark:
        colour = MARKS[mark][0]
        style += f"background:{colour}2e;border-bottom:3px solid {colour};"
    elif word.startswith("["):
        style += "opacity:.45;"
    under = f'<br><span style="font-size:80%;opacity:.8">{escape(label)}</span>' if label else ""
    return f'<span style="{style}">{escape(word)}{under}</span>'


# --- curves ----------------------------------------------------------------------------------------------------------


def schedule(rates, warmup):
    """Draw the learning rate of every step."""
    figure, ax = axes(width=5.6, height=2.6)
    ax.plot(rates)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.axvline(warmup, color="black", ls=":", lw=1)
    ax.annotate("end of the warm-up", (warmup, 0), xytext=(6, 4), textcoords="offset points")
    ax.set(xlabel="step", ylabel="learning rate", title="Up in a straight line, then down to 0", ylim=(0, None))
    show(figure, f"The learning rate rises for {warmup} steps and falls to 0 over the remaining {len(rates) - warmup}.")


class LossCurve:
    """The loss curve of a run, drawn again every few seconds while it grows: call it with the log.

    `lines` names levels: a text -> a loss. Entries of the log hold `step` and `loss`, and may hold `held_out` and
    `shuffled`, the held-out loss with the words of the context in another order.
    """

    def __init__(self, steps, lines):
        self.steps, self.lines = steps, lines
        self.picture, self.drawn = None, 0.0

    def __call__(self, log, done=False):
        now = time.monotonic()
        if not done and now - self.drawn < STALE:
            return
        self.drawn = now
        picture = self._draw(log)
        if self.picture is None:
            self.picture = display(picture, display_id=True)
        else:
            self.picture.update(picture)

    def _draw(self, log):
        figure, ax = axes(width=8.2, height=4.4)
        slow = [(100 * i, float(loss)) for i, loss in enumerate(ADAMW_ALONE.split(), start=1)]
        ax.plot(
            *zip(*slow), color=BLUE, ls="--", lw=1, label="held out, AdamW alone, batches of 32 (recorded on the Bible)"
        )
        ax.plot(*_series(log, "loss"), color="#999999", lw=0.8, label="training batches (30 % hidden)")
        ax.plot(*_series(log, "held_out"), color=BLUE, lw=3, label="held out")
        ax.plot(*_series(log, "shuffled"), color=ORANGE, lw=1.2, label="held out, its words shuffled")  # on top
        for text, level in self.lines.items():
            ax.axhline(level, color="black", ls=":", lw=1)
            told = f"{text}: {level:.2f}"
            ax.annotate(told, (self.steps, level), xytext=(0, 3), textcoords="offset points", ha="right", va="bottom")
        breaks = order_counts_from(log)
        if breaks:
            ax.axvline(breaks, color=GREEN, lw=1)
            ax.text(
                breaks, 0.03, f"  order counts\n  from step {breaks}", color=GREEN, transform=ax.get_xaxis_transform()
            )
        ax.set(xlabel="step", ylabel="loss (nats)", xlim=(0, self.steps), ylim=(1.8, max(self.lines.values()) + 0.6))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_title(f"step {log[-1]['step']:,} of {self.steps:,}")
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
        last = ", ".join(f"{name} {log[-1][name]:.2f}" for name in ("loss", "held_out", "shuffled") if name in log[-1])
        return image(figure, f"Loss curve up to step {log[-1]['step']}: {last}.")


def order_counts_from(log, gap=0.1):
    """The first step at which shuffling the words costs more than `gap` nats; None if there is none."""
    pairs = ((entry["step"], entry["shuffled"] - entry["held_out"]) for entry in log if "shuffled" in entry)
    return next((step for step, cost in pairs if cost > gap), None)


def _series(log, name):
    entries = [entry for entry in log if name in entry]
    return [entry["step"] for entry in entries], [entry[name] for entry in entries]


# --- what a blank is filled with -------------------------------------------------------------------------------------


def fillings(guesses):
    """Draw the best guesses for blanks side by side; `guesses` maps a text to a list of (token, probability)."""
    return show(*_fillings(guesses))


def fillings_image(guesses):
    """The same as a picture for `display`."""
    return image(*_fillings(guesses))


def _fillings(guesses):
    figure, panels = axes(len(guesses), width=min(4.0 * len(guesses) + 1.2, 10), height=2.5, squeeze=False)
    for ax, (text, best), colour in zip(panels[0], guesses.items(), (BLUE, ORANGE, GREEN, PURPLE, SKY)):
        tokens, shares = [token for token, _ in best][::-1], [share for _, share in best][::-1]
        ax.barh(range(len(best)), shares, color=colour)
        ax.set_yticks(range(len(best)), tokens)
        ax.set(xlim=(0, 1.12), xlabel="probability")
        ax.set_title(_wrapped(text), fontsize=9)
        for place, share in enumerate(shares):
            ax.text(share + 0.01, place, f"{share:.2f}", va="center", fontsize=8)
    told = "; ".join(f"{text}: " + ", ".join(f"{t} {p:.2f}" for t, p in best) for text, best in guesses.items())
    return figure, f"Best guesses. {told}."


def _wrapped(text, width=46):
    """Broken into lines of about `width` letters."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def losses(by_context, line):
    """Draw the loss under several conditions as bars; `line` is the (name, loss) of a model without any context."""
    figure, ax = axes(width=7.2, height=2.6)
    names, values = list(by_context)[::-1], list(by_context.values())[::-1]
    ax.barh(range(len(names)), values, color=[BLUE if i == len(names) - 1 else ORANGE for i in range(len(names))])
    ax.set_yticks(range(len(names)), names)
    ax.axvline(line[1], color="black", ls=":", lw=1)
    above = ax.get_xaxis_transform()
    ax.text(line[1], 1.02, f"{line[0]}: {line[1]:.2f}", ha="center", va="bottom", transform=above)
    ax.set(xlabel="loss at one hidden token (nats)", xlim=(0, max(values + [line[1]]) * 1.12))
    for place, value in enumerate(values):
        ax.text(value + 0.05, place, f"{value:.2f}", va="center", fontsize=9)
    show(figure, "Loss: " + ", ".join(f"{name} {value:.2f}" for name, value in by_context.items()) + ".")
