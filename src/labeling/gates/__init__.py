"""Gates: checks of a labelled record, each with a verdict and a reason, the cheap ones first."""
