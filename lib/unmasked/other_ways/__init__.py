"""For every exercise one other good way to write it, which learners see once their own way passes.

`unmasked.other_ways.<topic>` has a function or class of each exercise's name. The comment above it is the sentence that
they read: what is different, and why one would write so. It runs in the lesson's notebook as it stands.
"""
