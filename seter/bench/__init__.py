"""`seter bench`: strategies of a system compared on a real deployment, under the same requests."""
