"""Runs in one file that another harness can verify: scores, settings, provenance, and what they were scored against.

A submission is a zip file whose entries are stored as they are, in sorted order, with fixed times:

manifest.json               format, harness version, and per run the ground truth's hash and the hash of each file
runs/ID/run.json            the result: metrics, settings (data set, card hash, features, protocol), provenance
runs/ID/predictions.npz     snippet scores of every test video
runs/ID/history.json        epochs, and looks of the selection rule

That it verifies proves that these scores give these metrics on this test set. How the scores came about, it cannot:
seeds, selection, times and code are the submitter's word, and whoever changes scores, metrics and hashes together has
made another submission.
"""
