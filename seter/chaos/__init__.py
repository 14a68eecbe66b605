"""Experiments: what a system is promised to bear is done to it, under load, and taken back."""
