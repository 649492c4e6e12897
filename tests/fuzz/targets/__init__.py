"""What reads a stranger's bytes, each with what has to hold whatever they are. `python -m tests.fuzz.targets` runs it.

Nothing of the service is imported here: atheris has to see each module come in (`instrumented.py`).
"""

NAMES = (
    "addresses",
    "bodies",
    "chunks",
    "conditions",
    "credentials",
    "cursors",
    "forwarding",
    "keys",
    "merge_patches",
    "paths",
    "queries",
    "retry_after",
    "translations",
)
