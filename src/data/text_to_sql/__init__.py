"""Questions about small databases, with the SQL that answers them."""
