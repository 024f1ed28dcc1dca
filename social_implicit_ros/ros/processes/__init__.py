"""The life of a process: start, signals, domains, and those of the demo."""
