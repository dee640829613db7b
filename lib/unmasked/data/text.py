"""From the bytes of a text file to sentences."""

import re

from unmasked.errors import UnmaskedError

# A full stop and a space, then a capital or a quotation mark; but not after "Mr." or the initial of a name.
SENTENCE_END = re.compile(r"(?<=[.!?])(?<!\b[A-Z][a-z]\.)(?<!\b[A-Z]\.)\s+(?=[\"'“‘A-Z])")


def read_text(path):
    """The text of a UTF-8 file.

    Errors: UnmaskedError if there is no such file, or it can't be read, is not UTF-8 text or holds no words.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UnmaskedError(f"there is no corpus and no file named {path}: use web, sotu or a text file") from None
    except UnicodeDecodeError:
        raise UnmaskedError(f"{path} is not UTF-8 text: save it as plain text in UTF-8") from None
    except OSError as error:
        raise UnmaskedError(f"{path} can't be read: {error.strerror}") from None
    if "\0" in text:
        raise UnmaskedError(f"{path} is not a text file: save it as plain text in UTF-8")
    if not re.search(r"\w", text):
        raise UnmaskedError(f"{path} is empty: give it some sentences to learn from")
    return text


def sentences(text):
    """The sentences of a text, white space tidied; paragraphs end at blank lines, or at line ends if there are none."""
    boundary = r"\n\s*\n" if re.search(r"\n\s*\n", text.strip()) else r"\n"
    paragraphs = (" ".join(paragraph.split()) for paragraph in re.split(boundary, text))
    return [sentence for paragraph in paragraphs if paragraph for sentence in SENTENCE_END.split(paragraph)]
