"""From executed notebooks and prose pages to an edition: what Jupyter Book reads, and what is published."""
