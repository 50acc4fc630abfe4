"""Scaling laws: loss as a function of model size and training tokens, and what a budget buys."""
