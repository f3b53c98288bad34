"""Every reader of foreign files, given files that somebody or something damaged."""
