"""What launch.sh and launch.bat do once they have found a Python: make the private environment, run in it.

Runs by its path on a bare Python, before anything is installed: the standard library only, nothing else of
ours. It must still be readable by a Python that is too old, because that one is told so. What the setting up
says goes to stderr, so that the last line of stdout stays the program's own.
"""
