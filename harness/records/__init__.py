"""What is written on disk about a run: request and result, history, predictions, ground truth, the directory of it all.

In come values, out go validated records and files of them; nothing here computes. Imports `harness.io` alone.
"""
