"""Recordings that are no bags: text, CSV, TrajNet++, NumPy arrays; ETH/UCY."""
