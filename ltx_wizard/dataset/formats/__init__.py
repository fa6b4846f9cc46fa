"""Datasets of other trainers: reading what lies in a folder or a file, and writing what each of them reads.

Reading: `tables`, `lists`, `folders` and `configs` know one shape each, `reading` tells which lies there.
Writing: `writing` holds the table of formats. The jobs are `bring_in` and `hand_out`.
"""
