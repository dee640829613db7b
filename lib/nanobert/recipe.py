"""Recipes: every number that a training run needs, in one place. They were chosen by measuring: `docs/recipe.md`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """The sizes of a model and how it is trained."""

    vocab_size: int = 2000
    d_model: int = 128
    heads: int = 4
    d_hidden: int = 256
    layers: int = 1
    max_tokens: int = 32
    std: float = 0.05
    batch: int = 64
    steps: int = 3400
    warmup: int = 60
    mask_rate: float = 0.3
    muon_peak: float = 0.01
    peak: float = 0.01
    weight_decay: float = 0.01
    seed: int = 0

    @property
    def sizes(self):
        """What `build_masked_lm` takes."""
        names = "vocab_size", "d_model", "heads", "layers", "max_tokens", "std", "d_hidden"
        return {name: getattr(self, name) for name in names}


RECIPES = {
    "cpu": Recipe(),
    "gpu": Recipe(d_model=384, heads=6, d_hidden=1536, layers=6, max_tokens=128, batch=256, peak=1e-3),
    "test": Recipe(d_model=32, heads=2, d_hidden=64, batch=8, steps=20, warmup=4),
}
