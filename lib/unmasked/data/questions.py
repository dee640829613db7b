"""Questions on commands, answered by pointing at words: made from the slots of lesson 06's commands.

Nobody asked them. There is one question for each kind of slot, and the slot is the answer; a command with two slots or
more is taken, so that the question decides which of them is meant.
"""

from dataclasses import dataclass

QUESTIONS = {
    "area": "Which room?",
    "floor": "Which floor?",
    "name": "Which thing?",
    "item": "What goes on the list?",
    "hours": "How many hours?",
    "minutes": "How many minutes?",
    "seconds": "How many seconds?",
    "temperature": "How warm?",
    "brightness": "How bright?",
    "position": "How far?",
    "volume_level": "How loud?",
    "percentage": "How fast?",
    "color": "Which color?",
    "state": "In which state?",
}


@dataclass(frozen=True)
class Question:
    """A question on a text, and where its answer stands there, in letters."""

    question: str
    text: str
    start: int
    end: int

    @property
    def answer(self):
        return self.text[self.start : self.end]


def questions_on(commands):
    """All questions that the commands answer, in their order."""
    return [
        Question(QUESTIONS[slot], command.text, start, end)
        for command in commands
        for start, end, slot in command.slots
        if len(command.slots) > 1 and slot in QUESTIONS
    ]
