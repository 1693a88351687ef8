"""The training loop that segmentation networks and priors share: resumable to the same loss curve."""
