"""Files: atomic writes, locks, heartbeats, hashes, seals of large files, archives of arrays.

In come bytes and arrays, out go files that are whole or absent. Knows nothing of runs or data sets; imports only
errors and the places where files lie.
"""
