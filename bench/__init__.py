"""Measurements. Each compares two things in one run, because figures of different machines say nothing together."""
