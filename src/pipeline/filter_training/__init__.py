"""From the labels of a filter to trained students, all on one split and in one table."""
