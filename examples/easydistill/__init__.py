"""The old command line of EasyDistill: with this folder beside your files, old calls run here.

python -m easydistill.cli --config job.json
"""
