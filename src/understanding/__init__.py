"""Understanding: what a question asks of a table, as a plan that is run over the table.

The table keeps the facts. A plan is data in a closed language (look up, count, compare, add up), so
no column, row or value can be named that the table or the question does not have.
"""
