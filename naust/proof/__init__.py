"""Signatures, attestations, policies, revocations: as data, and out of a store."""
