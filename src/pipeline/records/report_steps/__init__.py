"""Steps that write reports and exports about the records that pass them."""
