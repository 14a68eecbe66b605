"""Artefacts over HTTPS: the distribution API, and pages for people."""
