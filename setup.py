"""Installs the package. Name, version and licence are read from package.xml."""

from pathlib import Path
from xml.etree import ElementTree

from setuptools import find_packages, setup

manifest = ElementTree.parse(Path(__file__).parent / "package.xml").getroot()
NAME = manifest.findtext("name")
maintainer = manifest.find("maintainer")

#: Commands: each is a function in commands/entry_points.py.
COMMANDS = (
    "predictor_node",
    "replay_tracks",
    "social_implicit_demo",
    "tracks_to_bag",
    "evaluate_bag",
    "evaluate_navigation",
    "evaluate_dataset",
    "evaluate_calibration",
    "metric_sensitivity",
    "metric_demo",
    "import_checkpoint",
    "make_card",
    "train_benchmark",
    "train_social_zone",
    "train_model",
)


def share(folder: str) -> list[tuple[str, list[str]]]:
    """The data_files entries that install `folder` with its subfolders in share/<package>."""
    files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
    return [
        (f"share/{NAME}/{parent}", [str(path) for path in files if path.parent == parent])
        for parent in sorted({path.parent for path in files})
        if parent.name != "__pycache__"
    ]


setup(
    name=NAME,
    version=manifest.findtext("version"),
    description=manifest.findtext("description"),
    license=manifest.findtext("license"),
    maintainer=maintainer.text,
    maintainer_email=maintainer.get("email"),
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={
        f"{NAME}.models.weights": ["*.onnx", "*.json"],
        f"{NAME}.evaluation": ["*/*.json", "*/*.html"],
        f"{NAME}.recordings": ["*/*"],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        *share("launch"),
        *share("config"),
    ],
    python_requires=">=3.10",
    install_requires=[
        "backports.zstd ; python_version < '3.14'",
        "lz4",
        "matplotlib",
        "numpy",
        "onnxruntime",
        "packaging",
        "pillow",
        "plotly",
        "pyarrow",
        "pyyaml",
        "rich",
        "rosbags",
        "scipy",
    ],
    extras_require={
        "fleet": ["distributed"],
        # colcon runs pytest if it is in the extra of this name.
        "test": ["hypothesis", "mcap", "pytest"],
        "training": ["onnx", "torch>=2.5"],
    },
    zip_safe=True,
    entry_points={
        "console_scripts": [f"{name} = {NAME}.commands.entry_points:{name}" for name in COMMANDS]
    },
)
