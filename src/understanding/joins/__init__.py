"""Tables of a database joined along their declared keys, so that plans over one table suffice."""
