"""The nouns and the documents on disk. Standard library and pydantic only."""
