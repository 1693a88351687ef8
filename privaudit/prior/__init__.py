"""A score prior of raw patches, trained on the attacker's population sample: what a mixture is separated with."""
