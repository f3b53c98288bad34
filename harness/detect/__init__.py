"""From a checkpoint and videos, or features without labels, to scores, events and a page.

In come weights and videos, out go scores by snippet, events above a threshold, and what shows them. It may import the
loading of checkpoints, extraction and metrics; the command line imports it.
"""
