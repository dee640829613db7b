"""What the benchmarks share: results that a rerun goes on with, the machine in words, and tables in the docs.

Results stand in a file of lines, each the JSON of what was asked and what came out, so whatever is finished stays.
"""

import json
import os
import platform
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]


class Results:
    """Finished measurements in a file; a last line that a kill has left half-written is dropped."""

    def __init__(self, path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True) if self.path.exists() else []
        if lines and not lines[-1].endswith("\n"):
            self.path.write_text("".join(lines[:-1]), encoding="utf-8")
            lines.pop()
        self.finished = {_key(asked): result for asked, result in map(json.loads, lines)}

    def __contains__(self, asked):
        return _key(asked) in self.finished

    def __getitem__(self, asked):
        return self.finished[_key(asked)]

    def once(self, asked, measure):
        """The result of what is asked, a dictionary: the one in the file, or else what `measure()` returns."""
        if asked not in self:
            self.finished[_key(asked)] = result = measure()
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([asked, result]) + "\n")
        return self[asked]


def _key(asked):
    return json.dumps(asked, sort_keys=True)


def write_between_marks(path, name, text):
    """Replace what stands in a file between <!-- name --> and <!-- end of name -->.  Errors: ValueError."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, found, rest = path.read_text(encoding="utf-8").partition(begin)
    _, found_too, after = rest.partition(end)
    if not (found and found_too):
        raise ValueError(f"{path} has no place for the table: give it the lines {begin} and {end}")
    path.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}", encoding="utf-8")


def machine(device, threads):
    """The hardware and the versions that a measurement was made with."""
    if device == "cuda":
        hardware = torch.cuda.get_device_name()
    else:
        hardware = f"{_processor()}, {os.cpu_count()} virtual cores, {threads} threads"
    return f"{hardware}, Python {platform.python_version()}, PyTorch {torch.__version__}"


def _processor():
    """What the processor calls itself; on Linux, `platform` does not know."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def table(header, rows):
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in [header, ["---"] * len(header), *rows])
