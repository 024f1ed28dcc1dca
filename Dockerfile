# docker build -t social_implicit_ros . && docker run --rm social_implicit_ros
FROM ros:jazzy-ros-base
ENV PIP_BREAK_SYSTEM_PACKAGES=1
WORKDIR /ws
COPY . src/social_implicit_ros
RUN apt-get update && rosdep update && rosdep install --from-paths src --ignore-src -y \
    && rm -rf /var/lib/apt/lists/*
RUN . /opt/ros/jazzy/setup.sh && colcon build --packages-select social_implicit_ros
CMD ["bash", "-c", ". install/setup.bash && ros2 launch social_implicit_ros predictor.launch.py"]
