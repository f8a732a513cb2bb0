"""Find which cells of the student's table, or which computation over it, a request asks for."""
