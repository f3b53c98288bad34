"""From video files to features: protocols, decoding, pictures, image towers, and the directory that an extraction is.

In come videos and a protocol, out goes a directory of features with the facts of every video. It may import data,
records, the text tower's reading of files, parity cases and what lies below; the command line and `harness.detect`
import it.
"""
