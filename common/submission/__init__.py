"""Submissions to the challenges: written, and checked."""
