"""Reference messages for the outputs of planners, built object by object: slow but simple."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from autoware_perception_msgs.msg import (
    ObjectClassification,
    PredictedObject,
    PredictedObjectKinematics,
    PredictedObjects,
    PredictedPath,
    Shape,
)
from costmap_converter_msgs.msg import ObstacleArrayMsg, ObstacleMsg
from geometry_msgs.msg import (
    Point,
    Point32,
    Polygon,
    Pose,
    PoseStamped,
    PoseWithCovariance,
    Quaternion,
    Twist,
    TwistWithCovariance,
    Vector3,
)
from mpc_planner_msgs.msg import Gaussian, ObstacleArray, ObstacleGMM
from nav_msgs.msg import Path
from people_msgs.msg import People, Person
from unique_identifier_msgs.msg import UUID
from vision_msgs.msg import (
    BoundingBox3D,
    Detection3D,
    Detection3DArray,
    ObjectHypothesis,
    ObjectHypothesisWithPose,
)

from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.prediction.modes import representative_paths
from social_implicit_ros.prediction.planar import headings_rad, mean_velocity_m_s, pose_covariance
from social_implicit_ros.prediction.resample import Steps, moments_at
from social_implicit_ros.ros.messages import duration_to_msg, header_to_msg, person_size_to_msg
from social_implicit_ros.ros.outputs.autoware import uuid_of
from social_implicit_ros.ros.outputs.mpc_planner import semiaxes
from social_implicit_ros.settings import NodeConfig
from social_implicit_ros.tracks.messages.agent_ids import AgentNumbers
from social_implicit_ros.types import FloatArray


def detections(forecast: Forecast, config: NodeConfig) -> Detection3DArray:
    prediction = forecast.prediction
    path_m = np.concatenate([forecast.present_m[:, None], prediction.mean], axis=1)
    yaw_rad = headings_rad(path_m, prediction.step_s)[:, 1:]
    covariances = pose_covariance(prediction.covariance)
    size = person_size_to_msg(config.person_radius_m)
    message = Detection3DArray(header=header_to_msg(forecast.stamp_ns, forecast.frame_id))
    for row, agent_id in enumerate(forecast.ids):
        for step, time_s in enumerate(forecast.times_s.tolist()):
            pose = _pose(prediction.mean[row, step], forecast.heights_m[row], yaw_rad[row, step])
            message.detections.append(
                Detection3D(
                    header=header_to_msg(
                        forecast.stamp_ns + round(time_s * 1_000_000_000), forecast.frame_id
                    ),
                    results=[
                        ObjectHypothesisWithPose(
                            hypothesis=ObjectHypothesis(
                                class_id=config.detections.class_id, score=1.0
                            ),
                            pose=PoseWithCovariance(pose=pose, covariance=covariances[row, step]),
                        )
                    ],
                    bbox=BoundingBox3D(center=pose, size=size),
                    id=agent_id,
                )
            )
    return message


def autoware(forecast: Forecast, config: NodeConfig) -> PredictedObjects:
    prediction, present_m = forecast.prediction, forecast.present_m
    paths_m, shares = representative_paths(prediction, config.autoware.max_paths)
    start_m = np.broadcast_to(present_m[:, None, None], (*paths_m.shape[:2], 1, 2))
    paths_m = np.concatenate([start_m, paths_m], axis=2)
    n_agents, n_paths, n_points, _ = paths_m.shape
    yaw_rad = headings_rad(paths_m.reshape(-1, n_points, 2), prediction.step_s)
    yaw_rad = yaw_rad.reshape(n_agents, n_paths, n_points)
    velocity_m_s = mean_velocity_m_s(present_m, prediction.mean, prediction.step_s)
    covariances = pose_covariance(prediction.covariance[:, 0])
    message = PredictedObjects(header=header_to_msg(forecast.stamp_ns, forecast.frame_id))
    for row, agent_id in enumerate(forecast.ids):
        height_m = forecast.heights_m[row]
        paths = [
            PredictedPath(
                path=[
                    _pose(*point)
                    for point in zip(
                        paths_m[row, place], [height_m] * n_points, yaw_rad[row, place], strict=True
                    )
                ],
                time_step=duration_to_msg(prediction.step_s),
                confidence=float(shares[row, place]),
            )
            for place in range(n_paths)
            if place == 0 or shares[row, place] > 0.0
        ]
        (vx, vy), yaw = velocity_m_s[row].tolist(), yaw_rad[row, 0, :1]
        cos, sin = float(np.cos(yaw)[0]), float(np.sin(yaw)[0])
        twist = Twist(linear=Vector3(x=cos * vx + sin * vy, y=cos * vy - sin * vx))
        message.objects.append(
            PredictedObject(
                object_id=UUID(uuid=np.frombuffer(uuid_of(agent_id), dtype=np.uint8)),
                existence_probability=1.0,
                classification=[
                    ObjectClassification(label=ObjectClassification.PEDESTRIAN, probability=1.0)
                ],
                kinematics=PredictedObjectKinematics(
                    initial_pose_with_covariance=PoseWithCovariance(
                        pose=paths[0].path[0], covariance=covariances[row]
                    ),
                    initial_twist_with_covariance=TwistWithCovariance(twist=twist),
                    predicted_paths=paths,
                ),
                shape=Shape(
                    type=Shape.CYLINDER, dimensions=person_size_to_msg(config.person_radius_m)
                ),
            )
        )
    return message


def mpc_planner(forecast: Forecast, config: NodeConfig) -> ObstacleArray:
    options = config.mpc_planner
    steps = Steps(options.integrator_step_s, options.horizon_steps)
    rows = forecast.nearest(options.max_obstacles)
    # For the same people as in the output: products of matrices of other sizes round differently.
    prediction, present_m = forecast.prediction.of_agents(rows), forecast.present_m[rows]
    mean_m, covariance_m2 = moments_at(prediction, present_m, steps.times_s)
    path_m = np.concatenate([present_m[:, None], mean_m], axis=1)
    headings = headings_rad(path_m, steps.step_s)
    first_m, second_m, yaw_rad = semiaxes(covariance_m2, options.sigma_convention)
    step_ns = round(steps.step_s * 1_000_000_000)
    numbers = AgentNumbers(2**31 - 1).assign(forecast.ids).tolist()
    header = header_to_msg(forecast.stamp_ns, forecast.frame_id)
    message = ObstacleArray(header=header)
    for at, row in enumerate(rows.tolist()):
        height_m = forecast.heights_m[row]
        poses = [
            PoseStamped(
                header=header_to_msg(forecast.stamp_ns + (step + 1) * step_ns, forecast.frame_id),
                pose=_pose(mean_m[at, step], height_m, yaw_rad[at, step]),
            )
            for step in range(steps.n_steps)
        ]
        gaussian = Gaussian(
            mean=Path(header=header, poses=poses),
            major_semiaxis=first_m[at].tolist(),
            minor_semiaxis=second_m[at].tolist(),
        )
        present = _pose(path_m[at, 0], height_m, headings[at, 0])
        message.obstacles.append(
            ObstacleGMM(id=numbers[row], pose=present, gaussians=[gaussian], probabilities=[1.0])
        )
    return message


def costmap_converter(forecast: Forecast, config: NodeConfig) -> ObstacleArrayMsg:
    header = header_to_msg(forecast.stamp_ns, forecast.frame_id)
    message = ObstacleArrayMsg(header=header)
    for row, (vx, vy) in enumerate(_velocities_m_s(forecast)):
        (x, y), z = forecast.present_m[row].tolist(), float(forecast.heights_m[row])
        message.obstacles.append(
            ObstacleMsg(
                header=header,
                polygon=Polygon(points=[Point32(x=x, y=y, z=z)]),
                radius=config.person_radius_m,
                id=int(forecast.numbers[row]),
                orientation=_turn(np.arctan2(vy, vx)),
                velocities=TwistWithCovariance(twist=Twist(linear=Vector3(x=vx, y=vy))),
            )
        )
    return message


def people(forecast: Forecast, config: NodeConfig) -> People:
    message = People(header=header_to_msg(forecast.stamp_ns, forecast.frame_id))
    for row, (vx, vy) in enumerate(_velocities_m_s(forecast)):
        (x, y), z = forecast.present_m[row].tolist(), float(forecast.heights_m[row])
        message.people.append(
            Person(
                name=forecast.ids[row],
                position=Point(x=x, y=y, z=z),
                velocity=Point(x=vx, y=vy),
                reliability=1.0,
            )
        )
    return message


#: Output -> the function that builds its message.
BUILDERS: dict[str, Callable[[Forecast, NodeConfig], Any]] = {
    "detections": detections,
    "autoware": autoware,
    "mpc_planner": mpc_planner,
    "costmap_converter": costmap_converter,
    "people": people,
}


def _pose(position_m: FloatArray, height_m: float, yaw_rad: float) -> Pose:
    x, y = position_m.tolist()
    return Pose(position=Point(x=x, y=y, z=float(height_m)), orientation=_turn(yaw_rad))


def _turn(yaw_rad: float) -> Quaternion:
    return Quaternion(z=float(np.sin(0.5 * yaw_rad)), w=float(np.cos(0.5 * yaw_rad)))


def _velocities_m_s(forecast: Forecast) -> list[list[float]]:
    prediction = forecast.prediction
    velocities: list[list[float]] = mean_velocity_m_s(
        forecast.present_m, prediction.mean, prediction.step_s
    ).tolist()
    return velocities
