"""PostgreSQL as its clients meet it: a session by libpq, the table of durability tokens, and what a server uses up."""
