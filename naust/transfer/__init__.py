"""Bytes on their way: into a store, out of it, between two; whole, in parts, or only what changed."""
