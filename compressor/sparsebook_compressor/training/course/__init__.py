"""The course between the original and the artifact: prune, retrain, share, tune, or search for the plan that a budget allows."""
