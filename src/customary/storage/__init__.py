"""What is kept: SQL text and the mapping of its rows. Nothing here decides."""
