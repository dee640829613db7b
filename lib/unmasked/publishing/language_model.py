"""Make the language model that ships with lesson 08 from a checkpoint of lesson 07.

    python -m unmasked.publishing.language_model solutions/checkpoints/07_510853.pt

Keeps the weights only, in half precision, with what is known of them: sizes, a checksum of the vocabulary, and the
loss that was measured with just these weights on the whole held-out part.
"""

import json
import sys
from pathlib import Path

from safetensors.torch import save_file

from nanobert.checkpoint import CheckpointError, load_checkpoint
from nanobert.recipe import Recipe
from unmasked import data
from unmasked.data.language_model import RECIPE, SHIPPED, TIED, checksum_of, measure, sizes_of, tokenizer_of
from unmasked.errors import UnmaskedError

PROVENANCE = (
    "The course's own model from lesson 07: the cpu recipe, {steps:,} steps on the World English Bible without its "
    "held-out part; held-out loss {loss:.2f} nats, weights in half precision."
)


def ship(checkpoint, path):
    """Write the weights of a checkpoint to `path`, and return the sentence that says where they come from.

    Errors: UnmaskedError if there is no such checkpoint, or it is of another recipe.
    """
    try:
        saved = load_checkpoint(checkpoint)
    except CheckpointError as error:
        raise UnmaskedError(f"{error}.") from None
    if saved is None:
        raise UnmaskedError(f"There is no checkpoint {checkpoint}: run lesson 07.")
    recipe = Recipe(**saved["recipe"])
    if sizes_of(recipe) != sizes_of(RECIPE):
        raise UnmaskedError(f"{checkpoint} is not of the cpu recipe: run lesson 07 without a GPU.")
    state = {name: tensor.half() for name, tensor in saved["model"].items()}
    loss = measure({name: tensor.float() for name, tensor in state.items()})
    provenance = PROVENANCE.format(steps=saved["progress"][0], loss=loss)
    facts = {
        "sizes": sizes_of(RECIPE),
        "vocabulary": checksum_of(tokenizer_of(RECIPE.vocab_size)),
        "loss": round(loss, 4),
        "provenance": provenance,
    }
    kept = {name: tensor for name, tensor in state.items() if name != TIED}
    save_file(kept, path, {"facts": json.dumps(facts)})  # several entries would be written in a random order
    return provenance


if __name__ == "__main__":
    try:
        print(ship(sys.argv[1], Path(data.__file__).with_name(SHIPPED)))
    except (UnmaskedError, IndexError) as error:
        sys.exit(str(error) if isinstance(error, UnmaskedError) else __doc__)
