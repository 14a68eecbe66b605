"""The bench: our figures beside those of named peers, measured in one run."""
