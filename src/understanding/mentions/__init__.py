"""What a question speaks of: values, numbers, dates and columns of the table."""
