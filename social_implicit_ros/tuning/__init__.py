"""Where `evaluation` (bags, figures) and `training` meet.

The one folder that may import both; it imports neither `ros` nor torch itself.
"""
