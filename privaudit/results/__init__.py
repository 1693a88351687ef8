"""What is left when an audit is over: the record, and what reads finished records alone.

The gate, comparison of runs, formats for CI and the pytest plugin. Nothing here needs data, a cohort or torch.
"""
