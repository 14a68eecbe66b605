"""Checks of artefacts: a role's own tests, run inside the started artefact before it counts."""
