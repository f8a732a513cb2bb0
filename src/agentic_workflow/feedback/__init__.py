"""What people say about answers, kept in a local SQLite file as material for the next student."""
