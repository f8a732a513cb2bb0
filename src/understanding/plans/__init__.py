"""Plans: the queries that a question can stand for, as data, and the code that runs them."""
