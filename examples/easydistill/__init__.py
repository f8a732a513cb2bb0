"""EasyDistill's command line: with this folder beside your files, existing calls run stillroom.

python -m easydistill.cli --config job.json
"""
