"""Filter packages: what an oracle is asked, and how its scores become a verdict."""
