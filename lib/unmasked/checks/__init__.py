"""The checks, a module for each lesson: `from unmasked.checks import self_attention as checks`.

Each check stands beside a table of known mistakes: a sentence -> a wrong implementation that makes it. A learner whose
replies equal a wrong implementation's reads that sentence; a test feeds each one to its check and expects it.
"""
