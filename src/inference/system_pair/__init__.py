"""System 1 and System 2: teacher and student that answer instructions and problems."""
