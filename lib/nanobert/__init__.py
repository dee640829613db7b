"""nanobert: a masked language model (BERT) in a few hundred lines of PyTorch.

Read it in this order: `attention`, `multi_head`, `encoder`, `embeddings`, `masked_lm`, `masking`, `schedule`,
`training`.
Nothing in here knows that a course exists.

Shapes, in every module: B batch, T tokens (Q queries, S keys where they differ), D model width, H heads,
K width of a head, V vocabulary.
"""
