"""Loads outputs by name."""

from __future__ import annotations

from importlib import import_module

from social_implicit_ros.ros.outputs.base import Output
from social_implicit_ros.settings import NodeConfig

#: Name -> module in this folder and class. Add a new output here and to the choices of the
#: parameter `outputs`.
OUTPUTS = {
    "pointcloud": ("prediction_cloud", "PredictionCloud"),
    "samples": ("samples_cloud", "SamplesCloud"),
    "markers": ("markers", "Markers"),
    "mpc_planner": ("mpc_planner", "MpcPlanner"),
    "costmap": ("costmap", "Costmap"),
    "detections": ("detections", "Detections"),
    "autoware": ("autoware", "Autoware"),
    "people": ("people", "People"),
    "costmap_converter": ("costmap_converter", "CostmapConverter"),
}


def load_output(name: str, config: NodeConfig) -> Output:
    """Imports one of `OUTPUTS` and its message package, and creates it.

    Raises:
        ValueError: the message package is not installed.
    """
    module_name, class_name = OUTPUTS[name]
    try:
        module = import_module(f"social_implicit_ros.ros.outputs.{module_name}")
    except ImportError as error:
        package = (error.name or "the package").partition(".")[0]
        raise ValueError(
            f"output {name!r} needs {package}, which cannot be imported ({error}): install it "
            f"(sudo apt install ros-$ROS_DISTRO-{package.replace('_', '-')}, or from source), or "
            f"remove {name} from the parameter outputs"
        ) from error
    output: Output = getattr(module, class_name)(config)
    return output
