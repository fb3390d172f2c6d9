"""Tests of the simulated lab."""
