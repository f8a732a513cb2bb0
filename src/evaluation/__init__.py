"""Score models on held-out records: tables, plots, calibration, report and model card."""
