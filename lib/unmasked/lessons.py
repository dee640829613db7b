"""The lessons of the course, in order: the one list that everything else follows."""

from dataclasses import dataclass

from unmasked.errors import UnmaskedError


@dataclass(frozen=True)
class Lesson:
    """One lesson. `topic` names its check module, `unmasked.checks.<topic>`, and its `name` its files, `NN_topic`."""

    number: int
    topic: str
    title: str

    @property
    def name(self):
        return f"{self.number:02d}_{self.topic}"


LESSONS = (
    Lesson(0, "warm_up", "Warm-up"),
    Lesson(1, "text_to_tensors", "Text to tensors"),
    Lesson(2, "self_attention", "Self-attention"),
    Lesson(3, "multi_head_attention", "Multi-head attention"),
    Lesson(4, "word_order", "Word order"),
    Lesson(5, "encoder_block", "The encoder block"),
    Lesson(6, "stack_at_work", "The stack at work"),
    Lesson(7, "masked_language_modelling", "Masked language modelling"),
    Lesson(8, "fine_tuning", "Fine-tuning"),
    Lesson(9, "real_bert", "A real BERT"),
)

# The lesson in which each module of `nanobert` is built; a lesson may use what earlier ones have built.
BUILT_IN = {
    "device": -1,  # lesson 00 gives it whole, and the command line needs it from the start
    "tokenizer": 1,
    "attention": 2,
    "multi_head": 3,
    "embeddings": 4,
    "positions": 4,
    "encoder": 5,
    "recipe": 6,
    "optimizer": 6,
    "checkpoint": 6,
    "distributed": 6,
    "training": 6,
    "tagging": 6,
    "masking": 7,
    "masked_lm": 7,
    "schedule": 7,
    "unigram": 7,
    "evaluation": 7,
    "fine_tuning": 8,
    "bert": 9,
    "bigram": 7,
}


def find_lesson(name, lessons=LESSONS):
    """The lesson that a person calls 02, 2 or 02_self_attention. Raises UnmaskedError if there is none."""
    for lesson in lessons:
        if name == lesson.name or name.isdecimal() and int(name) == lesson.number:
            return lesson
    known = ", ".join(lesson.name for lesson in lessons)
    raise UnmaskedError(f"There is no lesson {name}, only {known}.")
