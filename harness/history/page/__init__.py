"""index.html: the history as one page that needs no network."""
