"""One training: seeds, sampling, the loop, the choice of its result, averaging, and predictions afterwards.

In come a method, a feature bank and video-level labels, out go weights and snippet scores. Imports data and the
contract of methods; knows neither runs nor MLflow nor test labels.
"""
