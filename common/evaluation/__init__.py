"""Accuracy under attack: one attack, a cascade of them, and whether to believe the result."""
