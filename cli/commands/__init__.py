"""The verbs of `./lab`, one module each: its line of help, its arguments and what it does.

A module is read before anything is installed: it imports the standard library and what of
cli.lib needs no more; what it needs beyond is imported by its functions.
"""
