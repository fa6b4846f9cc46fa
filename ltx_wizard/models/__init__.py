"""The base models: what they are, where they are, how they are loaded."""
