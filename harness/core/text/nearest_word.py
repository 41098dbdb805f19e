"""What was probably meant by a mistyped word, for "did you mean"."""

from __future__ import annotations

from collections.abc import Iterable


def nearest_word(typed_word: str, known_words: Iterable[str]) -> str | None:
    """The known word that a mistyped or abbreviated one is nearest to, or None where none is near."""
    candidates = list(known_words)
    completions = [candidate for candidate in candidates if len(typed_word.strip("-")) > 1 and candidate.startswith(typed_word)]
    if completions:  # of several, who knows
        return completions[0] if len(completions) == 1 else None
    import difflib

    return next(iter(difflib.get_close_matches(typed_word, candidates, n=1, cutoff=0.7)), None)
