"""Reports on records: manifest, quality, timing, agreement, cost; exports; the page of a run.

Each report is a fold: `add(records)` takes a batch, `report()` gives the JSON values. Memory does
not grow with the number of records; what must be sorted is sorted on disk.
"""
