"""What is wrong with roles, bases and systems, found without building anything."""
