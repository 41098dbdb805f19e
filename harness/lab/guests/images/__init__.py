"""Images of guests that are containers: recipes, the cache of what was built, and the container engine that runs them."""
