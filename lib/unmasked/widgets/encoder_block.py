"""The widget of lesson 05: gradients by depth, for a depth and weights that the learner chooses."""

from unmasked.figures.encoder_block import gradients_picture
from unmasked.widgets import explore, slider


def gradient_explorer(gradient_sizes, paths):
    """Choose a depth and how large the weights are, and see which paths carry the gradient.

    `gradient_sizes(path, blocks, scale)` measures; `paths` maps names to residual paths.
    """

    def draw(blocks, scale):
        sizes = {name: gradient_sizes(path, blocks, scale) for name, path in paths.items()}
        return gradients_picture(sizes, f"{blocks} blocks, weights as PyTorch draws them, times {scale:g}")

    explore(
        draw,
        blocks=slider("blocks", (2, 4, 8, 16, 32), 16),
        scale=slider("weights times", (0.25, 0.5, 1.0, 1.5, 2.0, 3.0), 0.5),
    )
