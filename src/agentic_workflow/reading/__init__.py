"""Read requests over the student's table: which cells, or which computation, is asked for."""
