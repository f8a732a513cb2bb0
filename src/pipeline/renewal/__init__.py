"""From use back to training: feedback, the next version of the data, a gate, and the way back."""
