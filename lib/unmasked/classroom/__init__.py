"""A class: handing a lesson out, collecting, grading, feedback and marks, on nbgrader's own course directory.

A class directory lies outside of the repository, because it is private. All it needs to be one is an
`nbgrader_config.py`, so every nbgrader command and the formgrader work in it too.
"""
