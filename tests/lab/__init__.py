"""Real servers and clients of others, started for a test and stopped after it, also after Ctrl-C."""
