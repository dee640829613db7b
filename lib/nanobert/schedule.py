"""The learning rate: up first, then down."""


def learning_rate(step, steps, peak, warmup):
    """Up in a straight line to `peak` in `warmup` steps, then down in a straight line to 0 after `steps` steps.

    Source: Devlin et al. 2019, "BERT", appendix A.2.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (steps - step) / (steps - warmup)
