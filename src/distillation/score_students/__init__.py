"""Training of students that score the dimensions of a filter; one package of data for all kinds."""
