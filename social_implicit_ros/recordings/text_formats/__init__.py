"""Recordings that are not bags: text, CSV, TrajNet++, NumPy arrays; ETH/UCY."""
