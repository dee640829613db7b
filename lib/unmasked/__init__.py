"""Unmasked: how the course is taught, checked, published and graded. What it builds is `nanobert`."""
