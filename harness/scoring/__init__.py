"""Metrics of any prediction file. In come files of any program, out go the metrics of a data set's protocol.

Imports data, metrics and records; nothing here trains.
"""
