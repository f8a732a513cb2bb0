"""Join the tables of a database along their foreign keys, so that plans over one table suffice."""
