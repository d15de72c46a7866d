"""Parameter sweeps: `grid` what is asked, `points` one point on a worker, `cluster` the workers, `driver` all points,
`results` what came out; `execution` executes a notebook.
"""
