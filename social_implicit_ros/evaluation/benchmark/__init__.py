"""The ETH/UCY benchmark and the evaluation of calibrations."""
