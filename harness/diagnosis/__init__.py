"""From evidence to findings to causes. Pure: nothing here reads anything or does anything."""
