"""Pretraining: batches, masks, gradients, steps, and a checkpoint now and then.

B batch, T tokens, N chosen positions of a batch, V vocabulary.
"""

import time
from dataclasses import asdict

import torch
from tqdm.auto import tqdm

from nanobert.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from nanobert.device import best_device
from nanobert.distributed import averaging, is_first, processes, total
from nanobert.optimizer import build_optimizers
from nanobert.tokenizer import IGNORE


class Pretraining:
    """One run: the model, its optimizers, the rows, and all that a resumed run must find as it was.

    Rows (number of rows, T) are read in a new random order in every epoch, and masked afresh every time.
    `corrupt(tokens, rate, vocab_size, generator)` hides tokens, `loss(logits, labels)` measures, and
    `schedule(step, steps, peak, warmup)` is the learning rate.
    With `minutes`, the budget is used up by the clock or by the steps, whichever is first.
    Under `torchrun`, every process draws the whole batch and computes its share of the rows.
    Errors: ValueError if there are fewer rows than a batch takes, or several processes that can't share the work.
    """

    def __init__(self, model, rows, recipe, device, *, corrupt, loss, schedule, minutes=None):
        if len(rows) < recipe.batch:
            raise ValueError(f"{len(rows)} rows of text do not fill a batch of {recipe.batch}: use more text")
        self.processes, self.number = processes()
        if recipe.batch < self.processes:
            raise ValueError(f"{self.processes} processes can't share a batch of {recipe.batch}: start fewer")
        if minutes and self.processes > 1:
            raise ValueError("several processes have no common clock: give them steps instead of minutes")
        self.model = model.to(device).train()
        self.parallel = averaging(self.model)
        self.rows, self.recipe, self.device, self.minutes = rows, recipe, device, minutes
        self.corrupt, self.loss, self.schedule = corrupt, loss, schedule
        self.optimizers = build_optimizers(model, recipe)
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.epoch, self.order = None, None
        self.step, self.seconds, self.log = 0, 0.0, []

    @property
    def spent(self):
        """How much of the budget is used up, in steps."""
        by_clock = self.recipe.steps * self.seconds / (60 * self.minutes) if self.minutes else 0
        return max(self.step, by_clock)

    def take_step(self):
        """Mask a batch, improve the model a little, and return what this process adds to the batch's loss, a tensor."""
        start = time.perf_counter()
        inputs, labels, positions, share = self.next_batch()
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
            loss = self.loss(self.parallel(inputs, positions=positions), labels) * share
        (loss * self.processes).backward()  # the gradients' mean over the processes is then that of the whole batch
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.schedule(self.spent, self.recipe.steps, group["peak"], self.recipe.warmup)
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        self.seconds += time.perf_counter() - start
        return loss.detach()

    def next_batch(self):
        """Inputs (B, T), and the labels (N,) and positions (N,) of the chosen tokens, on the device, and their share.

        Of several processes, each has some of the batch's rows, and its share is that of all chosen tokens.
        """
        batch = self.recipe.batch
        epoch, number = divmod(self.step, len(self.rows) // batch)
        if epoch != self.epoch:
            # The order follows from seed and epoch alone, so that a resumed run finds it again.
            own = torch.Generator().manual_seed(self.recipe.seed + epoch)
            self.epoch, self.order = epoch, torch.randperm(len(self.rows), generator=own)
        tokens = self.rows[self.order[number * batch : (number + 1) * batch]]  # B, T
        inputs, labels = self.corrupt(tokens, self.recipe.mask_rate, self.recipe.vocab_size, self.generator)
        count = (labels != IGNORE).sum().clamp(min=1).item()
        inputs, labels = (x[self.number :: self.processes] for x in (inputs, labels))
        positions = (labels.flatten() != IGNORE).nonzero().squeeze(1)  # N
        batch = [self.to_device(x) for x in (inputs, labels.flatten()[positions], positions)]
        return *batch, len(positions) / count

    def to_device(self, x):
        """Send a tensor to the device without waiting for it to arrive."""
        return x.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else x.to(self.device)

    def write_log(self, loss):
        """One more entry: the mean loss since the last one, and the speed of the run so far."""
        speed = self.step * self.recipe.batch * self.rows.shape[1] / self.seconds
        self.log.append({"step": self.step, "loss": loss, "seconds": self.seconds, "tokens_per_second": round(speed)})

    def state_dict(self):
        """All that changes in a run, and the recipe that it follows."""
        return {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "generator": self.generator.get_state(),
            "progress": (self.step, self.seconds, self.log),
            "recipe": asdict(self.recipe),
        }

    def load_state_dict(self, state):
        """Go on where another run was.  Errors: CheckpointError if it followed another recipe."""
        if state["recipe"] != asdict(self.recipe):
            raise CheckpointError("the checkpoint was made by another recipe: delete it, or choose another file")
        self.model.load_state_dict(state["model"])
        for optimizer, its_state in zip(self.optimizers, state["optimizers"]):
            optimizer.load_state_dict(its_state)
        self.generator.set_state(state["generator"])
        self.step, self.seconds, self.log = state["progress"]


def pretrain(model, rows, recipe, device=None, checkpoint=None, on_log=None, log_every=50, save_every=500, **options):
    """Train a model on rows of tokens by a recipe; return its log, a list of dictionaries.

    With `checkpoint`, a path, the run is saved there every `save_every` steps, and goes on from there. `on_log`, if
    given, is called with the log every `log_every` steps. `options` are those of `Pretraining`: at least
    `corrupt`, `loss` and `schedule`.
    Errors: ValueError if there is too little text; CheckpointError if a checkpoint can't be written or read.
    """
    run = Pretraining(model, rows, recipe, device or best_device(), **options)
    if checkpoint and (state := load_checkpoint(checkpoint)):
        run.load_state_dict(state)
    losses = []
    with tqdm(total=recipe.steps, initial=run.step, unit="step", disable=not is_first()) as bar:
        while run.spent < recipe.steps:
            losses.append(run.take_step())  # a tensor: asking for its value here would wait for the GPU in every step
            bar.update()
            last = run.spent >= recipe.steps
            if run.step % log_every == 0 or last:
                run.write_log(total(torch.stack(losses).mean()).item())
                losses = []
                bar.set_postfix(loss=f"{run.log[-1]['loss']:.2f}", tokens_per_second=run.log[-1]["tokens_per_second"])
                if on_log and is_first():
                    on_log(run.log)
            if checkpoint and is_first() and (run.step % save_every == 0 or last):
                save_checkpoint(run.state_dict(), checkpoint)
    return run.log
