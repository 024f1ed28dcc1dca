"""From tracks to forecasts, and the evaluation of earlier forecasts; no ROS."""
