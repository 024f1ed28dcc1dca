"""Nothing in the package runs what it reads; the policy file has the layout of SROS 2."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("social_implicit_ros", "launch", "scripts")
MODULES = sorted(
    module
    for folder in FOLDERS
    for module in (ROOT / folder).rglob("*.py")
    if module != Path(__file__)
)
#: Makes objects of a file's bytes, and runs code that these name.
FORBIDDEN_IMPORTS = {"marshal", "shelve", "dill", "cloudpickle"}
#: `released` names what torch raises; it loads with `weights_only`.
MAY_IMPORT_PICKLE = {"released.py"}
FORBIDDEN_CALLS = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "tempfile.mktemp"),
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "joblib.load"),
    *("yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "yaml.unsafe_load_all"),
}
#: Call -> an argument, and the value that makes it safe; None where leaving it out is safe, too.
SAFE_ARGUMENTS = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", None)}


def problems(source: str, name: str = "module.py") -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from forbidden_imports(node, name)
        elif isinstance(node, ast.Call):
            yield from forbidden_calls(node)


def forbidden_imports(node: ast.Import | ast.ImportFrom, name: str) -> Iterator[str]:
    names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
    names += [alias.name for alias in node.names]
    for imported in names:
        first = imported.split(".")[0]
        if first in FORBIDDEN_IMPORTS or (first == "pickle" and name not in MAY_IMPORT_PICKLE):
            yield f"line {node.lineno}: imports {first}"


def forbidden_calls(node: ast.Call) -> Iterator[str]:
    called = ast.unparse(node.func).replace("numpy.", "np.")
    arguments = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    if called in FORBIDDEN_CALLS:
        yield f"line {node.lineno}: calls {called}"
    if arguments.get("shell", "False") != "False":
        yield f"line {node.lineno}: {called} goes through a shell"
    if called in SAFE_ARGUMENTS:
        argument, needed = SAFE_ARGUMENTS[called]
        if arguments.get(argument, "False" if needed is None else "") != str(bool(needed)):
            yield f"line {node.lineno}: {called} may run what it reads"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_executed_from_a_file(module: Path) -> None:
    assert list(problems(module.read_text(), module.name)) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from marshal import loads",
        "eval('1')",
        "exec(text)",
        "yaml.load(text, Loader=yaml.SafeLoader)",
        "yaml.unsafe_load(text)",
        "subprocess.run(text, shell=True)",
        "os.system(text)",
        "np.load(path, allow_pickle=True)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
    ],
)
def test_what_would_execute_is_found(source: str) -> None:
    assert list(problems(source))


#: Of the schema's version 0.2.0 (ros2/sros2, policy.xsd): element -> what may stand in it.
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
