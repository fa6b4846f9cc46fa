"""What each word of the command line does. Everything is printed through a Console."""
