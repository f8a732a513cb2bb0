"""Answer questions about tables and databases, with the cells that support each answer."""
