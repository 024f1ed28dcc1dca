"""The policy file has the layout of SROS 2 (test/ros/test_sros2.py compares it with the node)."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
#: Of the schema's version 0.2.0 (ros2/sros2, policy.xsd): element -> its possible children.
LAYOUT = {
    "policy": {"enclaves"},
    "enclaves": {"enclave"},
    "enclave": {"profiles"},
    "profiles": {"profile"},
    "profile": {"topics", "services", "actions"},
    "topics": {"topic"},
    "services": {"service"},
    "topic": set(),
    "service": set(),
}
ATTRIBUTES = {
    "policy": {"version"},
    "enclave": {"path"},
    "profile": {"ns", "node"},
    "topics": {"publish", "subscribe"},
    "services": {"reply", "request"},
}


def test_the_policy_file_has_the_layout_of_sros2() -> None:
    policy = ElementTree.parse(ROOT / "config" / "sros2_policy.xml").getroot()
    assert (policy.tag, policy.get("version")) == ("policy", "0.2.0")
    for element in policy.iter():
        assert {child.tag for child in element} <= LAYOUT[element.tag]
        assert set(element.attrib) <= ATTRIBUTES.get(element.tag, set())
        if element.tag in ("topics", "services"):
            assert list(element.attrib.values()) == ["ALLOW"]
        elif element.tag in ATTRIBUTES:
            assert set(element.attrib) == ATTRIBUTES[element.tag]
