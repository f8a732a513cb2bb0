"""Find candidates in a large corpus by the meaning of a few articles, and drop near copies."""
