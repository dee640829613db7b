"""What works on this computer and what doesn't, in lines that people paste into bug reports."""

import platform
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

SET_UP = "run `make` again, in the folder of the course"
FREE_DISK_GB = 2  # checkpoints and a class's notebooks; the corpora are installed already
TOLERANCE = 1e-3  # GPUs add up in another order

SERVER_EXTENSIONS = ("nbgrader.server_extensions.formgrader", "nbgrader.server_extensions.validate_assignment")
LAB_EXTENSIONS = ("@jupyter/nbgrader", "@jupyter-widgets/jupyterlab-manager")


@dataclass(frozen=True)
class Finding:
    """One line of the report; `remedy` says what to do if it isn't ok. What is not `needed` is for some people only."""

    ok: bool
    sentence: str
    remedy: str
    needed: bool = True

    def __str__(self):
        if self.ok:
            return f"[OK]   {self.sentence}"
        return f"[FAIL] {self.sentence}: {self.remedy}" if self.needed else f"[NONE] {self.sentence}; {self.remedy}"


def examine():
    """Yields a Finding for everything that the course needs. A part that breaks is a finding too."""
    for part in (python_version, package_versions, jupyter_extensions, torch_devices, disk):
        try:
            yield from part()
        except Exception as error:  # whatever is broken here is what the reader wants to know
            yield Finding(False, f"{part.__name__}: {type(error).__name__}: {error}", SET_UP)


def python_version():
    required = metadata.metadata("unmasked")["Requires-Python"]
    version = platform.python_version()
    sentence = f"Python {version} on {platform.platform()} (needs {required}), {sys.executable}"
    yield Finding(version in SpecifierSet(required), sentence, "install one, delete .venv, then run `make`")


def package_versions(requirements=None):
    """Every package that pyproject.toml names, the corpora among them."""
    for requirement in map(Requirement, requirements or metadata.requires("unmasked")):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        needs = f" (needs {requirement.specifier})" if requirement.specifier else ""
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield Finding(False, f"{requirement.name} is not installed{needs}", SET_UP)
        else:
            fits = requirement.specifier.contains(version, prereleases=True)
            yield Finding(fits, f"{requirement.name} {version}{needs}", SET_UP)


def jupyter_extensions():
    from jupyter_core.paths import jupyter_config_path, jupyter_path
    from jupyter_server.extension.config import ExtensionConfigManager
    from jupyterlab_server.config import get_page_config

    server = ExtensionConfigManager(read_config_path=jupyter_config_path()).get_jpserver_extensions()
    for name in SERVER_EXTENSIONS:
        remedy = f"run `jupyter server extension enable {name.partition('.')[0]}`"
        yield Finding(server.get(name, False), f"Jupyter server extension {name}", remedy)

    page = get_page_config(jupyter_path("labextensions"))
    installed = {extension["name"] for extension in page["federated_extensions"]}
    for name in LAB_EXTENSIONS:
        enabled = name in installed and name not in page["disabledExtensions"]
        yield Finding(enabled, f"JupyterLab extension {name}", f"run `jupyter labextension enable {name}`, or `make`")


def torch_devices():
    """The device that lessons take, and whether it computes what the CPU does."""
    import torch

    from nanobert.device import best_device

    device = best_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    yield Finding(True, f"lessons run on {device.type} ({name}), {torch.get_num_threads()} CPU threads", "")
    if device.type != "cpu":
        difference = _difference_from_cpu(device)
        sentence = f"{device.type} differs from the CPU by {difference:.1e} (at most {TOLERANCE:.0e})"
        yield Finding(difference <= TOLERANCE, sentence, "update its driver and torch")


def _difference_from_cpu(device):
    """The largest difference of an attention and its gradient there from those on the CPU."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    query = torch.randn(2, 4, 64, 32, generator=torch.Generator().manual_seed(0))

    def attend(place):
        leaf = query.to(place, copy=True).requires_grad_()
        out = scaled_dot_product_attention(leaf, leaf, leaf)
        out.square().sum().backward()
        return torch.stack([out, leaf.grad]).detach().cpu()

    return (attend(device) - attend("cpu")).abs().max().item()


def disk():
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    yield Finding(free >= FREE_DISK_GB, f"{free:.0f} GB of free disk (needs {FREE_DISK_GB})", "free some")
