"""Adversarial training: the step, the loop around it, and the folder that a run leaves."""
