"""Translate a question about a table into a plan, and run the plan over the table.

Answers are read from the table, not from a model. A plan is data in a closed language (look up,
count, compare, add up), so it can only name columns of the table, and values that stand in the
table or in the question.
"""
