"""Placeholder until the gate lands."""
