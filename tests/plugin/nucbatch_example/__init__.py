"""One of each extension of nucbatch, as another package adds it: by entry points alone."""
