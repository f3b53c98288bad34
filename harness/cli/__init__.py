"""The command line. In come the words of a command, out go lines, JSON and an exit code.

One file per verb: it parses, calls one function of a package below, and prints. `app` puts the verbs together. It may
import every package of the harness, and none imports it.
"""
