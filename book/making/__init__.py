"""What is stale, by content, and how it is made anew: digests, tasks, outputs; a notebook executed."""
