"""Checks: what every artefact and each role promise, looked at in what was started from the artefact.

`checks/test_*.py` of a role are pytest functions with testinfra's `host` and the fixtures of `smie.checks.fixtures`.
"""
