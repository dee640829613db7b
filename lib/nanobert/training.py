"""Pretraining: batches, masks, gradients, steps; and where the time went, a checkpoint now and then.

B batch, T tokens, N chosen positions of a batch, V vocabulary.
"""

import time
from contextlib import nullcontext

import torch
from tqdm.auto import tqdm

from nanobert.checkpoint import load_checkpoint, save_checkpoint
from nanobert.masked_lm import masked_lm_loss
from nanobert.masking import IGNORE, corrupt


def learning_rate(step, steps, peak, warmup):
    """Up in a straight line to `peak` in `warmup` steps, then down in a straight line to 0 after `steps` steps.

    Source: Devlin et al. 2019, "BERT", appendix A.2.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (steps - step) / (steps - warmup)


def best_device():
    """An NVIDIA GPU, else an Apple GPU, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


class Pretraining:
    """One run: the model, its optimizer, the rows, and all that a resumed run must find as it was.

    Rows (number of rows, T) are read in a new random order in every epoch, and masked afresh every time.
    `corrupt`, `loss` and `schedule` are `nanobert.masking.corrupt`, `masked_lm_loss` and `learning_rate`, or one's own.
    """

    def __init__(self, model, rows, recipe, device, corrupt=corrupt, loss=masked_lm_loss, schedule=learning_rate):
        self.model = model.to(device).train()
        self.rows = rows
        self.recipe = recipe
        self.device = device
        self.corrupt, self.loss, self.schedule = corrupt, loss, schedule
        self.optimizer = torch.optim.AdamW(
            model.parameters(), betas=(0.9, 0.98), weight_decay=recipe.weight_decay, fused=True
        )
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.step = 0
        self.seconds = 0.0
        self.log = []

    def take_step(self):
        """Mask a batch, improve the model a little, and return the batch's loss as a tensor."""
        inputs, labels = self.next_batch()
        positions = (labels.flatten() != IGNORE).nonzero().squeeze(1)  # N
        labels = labels.flatten()[positions].to(self.device, non_blocking=True)  # N
        autocast = torch.autocast("cuda", torch.bfloat16) if self.device.type == "cuda" else nullcontext()
        with autocast:
            logits = self.model(inputs.to(self.device), positions=positions.to(self.device))  # N, V
            loss = self.loss(logits, labels)
        loss.backward()
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule(self.step, self.recipe.steps, self.recipe.peak, self.recipe.warmup)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        return loss.detach()

    def next_batch(self):
        """Inputs (B, T) and labels (B, T) of this step."""
        recipe = self.recipe
        epoch, batch = divmod(self.step, len(self.rows) // recipe.batch)
        if batch == 0 or not hasattr(self, "order"):
            order = torch.Generator().manual_seed(recipe.seed + epoch)  # of its own: a resumed run finds it again
            self.order = torch.randperm(len(self.rows), generator=order)
        tokens = self.rows[self.order[batch * recipe.batch : (batch + 1) * recipe.batch]]  # B, T
        return self.corrupt(tokens, recipe.mask_rate, recipe.vocab_size, self.generator)

    def state_dict(self):
        """All that changes in a run."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "step": self.step,
            "seconds": self.seconds,
            "log": self.log,
        }

    def load_state_dict(self, state):
        """Go on where another run was."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.step, self.seconds, self.log = state["step"], state["seconds"], state["log"]


def pretrain(model, rows, recipe, device=None, checkpoint=None, on_log=None, log_every=50, save_every=500, **parts):
    """Train a model on rows of tokens by a recipe; return its log, a list of dictionaries.

    With `checkpoint`, a path, the run is saved there and goes on from there. `on_log`, if given, is called with the log
    every `log_every` steps. `parts` are those of `Pretraining`: `corrupt`, `loss`, `schedule`.
    """
    run = Pretraining(model, rows, recipe, device or best_device(), **parts)
    state = load_checkpoint(checkpoint) if checkpoint else None
    if state:
        run.load_state_dict(state)
    before = time.perf_counter() - run.seconds
    with tqdm(total=recipe.steps, initial=run.step, unit="step") as bar:
        while run.step < recipe.steps:
            loss = run.take_step()
            bar.update()
            if run.step % log_every == 0 or run.step == recipe.steps:
                run.seconds = time.perf_counter() - before
                speed = run.step * recipe.batch * rows.shape[1] / run.seconds
                run.log.append({"step": run.step, "loss": loss.item(), "tokens_per_second": speed})
                bar.set_postfix(loss=f"{run.log[-1]['loss']:.2f}", tokens_per_second=f"{speed:,.0f}")
                if on_log:
                    on_log(run.log)
            if checkpoint and (run.step % save_every == 0 or run.step == recipe.steps):
                save_checkpoint(run.state_dict(), checkpoint)
    return run.log
