"""What a person can put right."""


class UnmaskedError(Exception):
    """Something a person can put right; its message is one sentence that says how."""
