"""HTTP as a client, and the OCI distribution protocol on it."""
