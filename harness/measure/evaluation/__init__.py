"""The pure judgement on a recording: who answered, what was out, in which phases, and whether that was allowed."""
