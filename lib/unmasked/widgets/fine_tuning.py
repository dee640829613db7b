"""The widgets of lesson 08: type a verse and see its group, type a question and a command and see the answer."""

import ipywidgets
from IPython.display import HTML, display

from unmasked import panel
from unmasked.figures.fine_tuning import pointing, verdict_on_a_text
from unmasked.widgets import explore, ready

__all__ = ["group_finder", "question_answerer", "ready"]

LAYOUT = {"width": "640px", "max_width": "100%"}


def group_finder(judge, groups, text):
    """Type a text and see its group; `judge(text)` gives tokens, what each says for the best group, and chances."""

    def draw(text):
        if not text.strip():
            return HTML(panel.box(panel.GREY, "Write a sentence: its group is shown here."))
        return verdict_on_a_text(*judge(text), groups)

    explore(draw, text=ipywidgets.Text(text, description="Text", continuous_update=False, layout=LAYOUT))
    display(HTML('<span style="opacity:.8">Change the text and press Enter.</span>'))


def question_answerer(answer, questions, text):
    """Choose a question, type a command, and see where the model points.

    `answer(question, text)` gives the place of the answer in letters, the tokens, and the chance of each to be the
    start and the end.
    """

    def draw(question, text):
        if not text.strip():
            return HTML(panel.box(panel.GREY, "Write a command: the answer is shown in it."))
        try:
            span, tokens, starts, ends = answer(question, text)
        except ValueError as error:  # more tokens than the model has positions
            return HTML(panel.box(panel.GREY, f"{error}."))
        return pointing(question, text, span, tokens, starts, ends)

    explore(
        draw,
        question=ipywidgets.Dropdown(options=questions, description="Question", layout=LAYOUT),
        text=ipywidgets.Text(text, description="Command", continuous_update=False, layout=LAYOUT),
    )
    display(HTML('<span style="opacity:.8">Change the command and press Enter; the question is a list.</span>'))
