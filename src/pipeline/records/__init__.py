"""The record pipeline: steps over records, stage by stage, resumable, each row accounted for."""
