"""A public results repository: submissions of many teams under git, verified, ranked and shown as a site.

In come submissions and the directory of a repository, out go records, verdicts on pull requests, pages and reruns.
Imports report, runs and submissions.
"""
