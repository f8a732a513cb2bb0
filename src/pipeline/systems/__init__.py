"""System 1 and System 2 from Python and from the command line."""
