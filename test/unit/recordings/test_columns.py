"""Trajectory files that are not bags: the content decides how they are read, or why not."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from support.bags import people_messages, walkers, write_bag

from social_implicit_ros.commands import evaluate_bag
from social_implicit_ros.recordings.arrivals import recorded_tracks
from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.recordings.text_formats.text import TextFormat, load_recording
from social_implicit_ros.recordings.track_source import SourceChoices, open_source
from social_implicit_ros.types import Tracks

#: Frame, id, x, y of two people, 0.4 s apart.
ROWS = [(10 * i, who, round(0.4 * i, 3), float(who)) for i in range(4) for who in (1, 2)]
SECONDS = [(frame / 25, who, x, y) for frame, who, x, y in ROWS]
TEXT = TextFormat()
HUGE = f'{{"track": {{"f": {"9" * 400}, "p": 1, "x": 0, "y": 0}}}}'


def lines(rows: list[tuple[float, ...]], separator: str = " ", end: str = "\n") -> str:
    return "".join(separator.join(map(str, row)) + end for row in rows)


def zipped() -> bytes:
    """An archive of a text file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("walk.txt"), "0 1 0 0\n")
    return buffer.getvalue()


def array_header(shape: tuple[int, ...]) -> bytes:
    """The header of an array file without its content."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}"
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode()


def read(path: Path, content: str | bytes, text: TextFormat = TEXT) -> list[Tracks]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(recorded_tracks(open_source(path, choices=SourceChoices(text=text))))


def assert_walk(tracks: list[Tracks], ids: tuple[str, ...] = ("1", "2")) -> None:
    stamps = np.array([entry.stamp_ns for entry in tracks])
    assert (np.diff(stamps) == 400_000_000).all()
    assert [entry.ids for entry in tracks] == [ids] * 4
    np.testing.assert_allclose(tracks[3].positions_m, [[1.2, 1.0], [1.2, 2.0]])


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (lines(ROWS), TEXT),
        (lines(ROWS, "\t", "\r\n"), TEXT),
        (lines(ROWS, ","), TEXT),
        ("\ufeff" + lines(ROWS, "; "), TEXT),
        ("# a comment\n\n" + lines(ROWS[::-1]), TEXT),
        (lines([(float(f), float(i), x, y) for f, i, x, y in ROWS]), TEXT),
        (lines(SECONDS), TextFormat(is_in_seconds=True)),
        ("frame,ped_id,x,y\n" + lines(ROWS, ","), TEXT),
        ('"Frame","Track_ID","X_m","Y_m"\r\n' + lines(ROWS, ",", "\r\n"), TEXT),
        ("time,id,x,y\n" + lines(SECONDS, ","), TEXT),
        ("y;x;id;t\n" + lines([(y, x, i, t) for t, i, x, y in SECONDS], ";"), TEXT),
        (
            "frame,time,id,x,y\n" + lines([(99 * n, *row) for n, row in enumerate(SECONDS)], ","),
            TEXT,
        ),
        ("t_ms,id,x,y\n" + lines([(t * 1e3, i, x, y) for t, i, x, y in SECONDS], ","), TEXT),
        (
            "id,kind,stamp_ns,x,y\n"
            + lines([(i, "walker", 1_700_000_000_000_000_000 + int(t * 1e9), x, y)
                     for t, i, x, y in SECONDS], ","),
            TEXT,
        ),
        ("a,b,c,d\n" + lines(ROWS, ","), TextFormat(columns=("a", "b", "c", "d"))),
        ("Time [s],ID,X (m),Y[m]\n" + lines(SECONDS, ","), TEXT),
        (
            "t_ms,id,x_mm,y_cm\n"
            + lines([(t * 1e3, i, x * 1e3, y * 1e2) for t, i, x, y in SECONDS], ","),
            TEXT,
        ),
        (
            "when_ms,who,x_mm,y\n"
            + lines([(t * 1e3, i, x * 1e3, y) for t, i, x, y in SECONDS], ","),
            TextFormat(columns=("when_ms", "who", "x_mm", "y")),
        ),
        (
            "velocity.x,velocity.y,time,id,x_m,y_m\n"
            + lines([(9, 9, *row) for row in SECONDS], ","),
            TEXT,
        ),
        (
            "velocity.x,velocity.y,time,camera.time,id,camera.id,pos_x,pos_y\n"
            + lines([(9, 9, t, 9, i, 9, x, y) for t, i, x, y in SECONDS], ","),
            TEXT,
        ),
        (
            "x_mm,y_mm,time,id,x,y\n" + lines([(9, 9, *row) for row in SECONDS], ","),
            TEXT,
        ),
        (
            "orientation.x,orientation.y,time,id,pose.position.x,pose.position.y\n"
            + lines([(9, 9, *row) for row in SECONDS], ","),
            TEXT,
        ),
        ("sep=;\ntime;id;x;y\n" + lines(SECONDS, ";"), TEXT),
        (
            "header.stamp.sec,header.stamp.nanosec,id,pose.position.x,pose.position.y,age.nanosec\n"
            + lines([(int(t), round(t % 1 * 1e9), i, x, y, 7) for t, i, x, y in SECONDS], ","),
            TEXT,
        ),
        (
            "timestamp,id,x,y\n"
            + lines([(f"2026-01-31 10:00:{t:06.3f}", i, x, y) for t, i, x, y in SECONDS], ","),
            TEXT,
        ),
        (
            lines([(f, i, x, 9.9, y) for f, i, x, y in ROWS]),
            TextFormat(columns=("1", "2", "3", "5")),
        ),
        ("frame|id|x|y\n" + lines(ROWS, "|"), TEXT),
        ("% a comment\n// another\n" + lines(ROWS), TEXT),
        (
            "# framerate: 50 fps\n# id frame x/cm y/cm z/cm\n"
            + lines([(i, 2 * f, x * 100, y * 100, 170) for f, i, x, y in ROWS]),
            TEXT,
        ),
        (
            "#framerate: 12.50\n#X: metres\n\n#ID\tFR\tX\tY\tCOLOR\t\n"
            + lines([(i, f // 2, x, y, 0, "") for f, i, x, y in ROWS], "\t"),
            TEXT,
        ),
        (
            "# who;when;east;north\n" + lines([(i, f, x, y) for f, i, x, y in ROWS], ";"),
            TextFormat(columns=("when", "who", "east", "north")),
        ),
        ("# four words of prose\n" + lines(ROWS), TEXT),
        ("Frame Number,Person-ID,Pos X,Pos Y\n" + lines(ROWS, ","), TEXT),
        (
            "recordingId,trackId,frame,xCenter,yCenter,heading\n"
            + lines([(0, i, f, x, y, 90) for f, i, x, y in ROWS], ","),
            TEXT,
        ),
        (
            "time (milliseconds),id,x_ft,y\n"
            + lines([(t * 1e3, i, x / 0.3048, y) for t, i, x, y in SECONDS], ","),
            TEXT,
        ),
        (
            "agent_type,frame,id,x,y\n"
            + lines([("Pedestrian", *row) for row in ROWS], ",")
            + lines([("car", f, 9, x, y) for f, _, x, y in ROWS], ","),
            TEXT,
        ),
        ("type,frame,id,x,y\n" + lines([("AGENT", *row) for row in ROWS], ","), TEXT),
        ("scene,frame,id,x,y\n" + lines([(row[0] // 20, *row) for row in ROWS], ","), TEXT),
        (
            "".join(
                json.dumps(entry) + "\n"
                for entry in [
                    {"scene": {"id": 0, "p": 1, "s": 0, "e": 30, "fps": 2.5}},
                    *({"track": {"f": f, "p": i, "x": x, "y": y}} for f, i, x, y in ROWS),
                    *({"track": {"f": f, "p": i, "x": x, "y": y}} for f, i, x, y in ROWS),
                    {"track": {"f": 30, "p": 1, "x": 7, "y": 7, "prediction_number": 0}},
                ]
            ),
            TEXT,
        ),
    ],
    ids=[
        *("spaces", "crlf", "commas", "bom", "unsorted", "floats", "seconds", "csv", "quoted"),
        *("times", "order", "both", "milliseconds", "nanoseconds", "named", "brackets"),
        *("lengths", "chosen-units", "velocities", "nested", "metres", "orientations", "excel"),
        *("ros-stamp", "dates", "numbered", "bars", "comments", "petrack", "jupedsim"),
        *("chosen-comment", "prose", "spelled", "level-x", "units-in-words", "classes"),
        *("other-classes", "scenes", "trajnet"),
    ],
)  # fmt: skip
def test_every_text_gives_the_same_walk(tmp_path: Path, content: str, text: TextFormat) -> None:
    assert_walk(read(tmp_path / "walk.txt", content, text))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("t_ns,id,x,y\n1700000000000000000,1,0,0\n", TEXT),
        ("time,id,x,y\n2023-11-14 22:13:20,1,0,0\n", TEXT),
        ("time,id,x,y\n2023-11-14T22:13:20.000+00:00,1,0,0\n", TEXT),
        ("timestamp,id,x,y\n1700000000.0,1,0,0\n", TEXT),
        ("1700000000000 1 0 0\n", TextFormat(frames_per_second=1000.0)),
    ],
)
def test_times_since_1970_are_the_stamps_as_of_a_bag(
    tmp_path: Path, content: str, text: TextFormat
) -> None:
    (tracks,) = read(tmp_path / "walk.csv", content, text)
    assert tracks.stamp_ns == 1_700_000_000_000_000_000


def test_ids_may_be_names(tmp_path: Path) -> None:
    named = [(frame, f"p{who}", x, y) for frame, who, x, y in ROWS]
    assert_walk(read(tmp_path / "a.csv", "frame,id,x,y\n" + lines(named, ",")), ("p1", "p2"))
    quoted = [(frame, f'"Doe, {who}"', x, y) for frame, who, x, y in ROWS]
    for separator in (",", ", "):
        text = "frame,id,x,y\n" + lines(quoted, separator)
        assert_walk(read(tmp_path / "a.csv", text), ("Doe, 1", "Doe, 2"))


def test_a_number_is_the_same_id_however_it_is_written(tmp_path: Path) -> None:
    """As in rows that were merged from several files."""
    merged = "frame,id,x,y\n0,1,0,0\n10, 01,1,0\n20,1.0,2,0\n30,anna,0,9\n40,1e0,0,9\n"
    tracks = read(tmp_path / "a.csv", merged)
    assert [entry.ids for entry in tracks] == [("1",), ("1",), ("1",), ("anna",), ("1e0",)]


@pytest.mark.parametrize(
    ("content", "text", "says"),
    [
        ("time,id,x,y\n0,1,0,0\n", TextFormat(15.0), "leave --frames-per-second out"),
        ("t_ms,id,x,y\n0,1,0,0\n", TextFormat(is_in_seconds=True), "1000 in a second.*--seconds"),
        (
            '{"track": {"f": 0, "p": 1, "x": 0, "y": 0}}',
            TextFormat(columns=("f", "p", "x", "y")),
            "--columns",
        ),
        (
            array_header((1, 2, 2)) + bytes(32),
            TextFormat(columns=("f", "p", "x", "y")),
            "--columns",
        ),
    ],
)
def test_an_option_that_a_file_does_not_need_is_refused(
    tmp_path: Path, content: str | bytes, text: TextFormat, says: str
) -> None:
    with pytest.raises(RecordingError, match=says):
        read(tmp_path / "walk", content, text)


def test_seconds_have_no_rate() -> None:
    with pytest.raises(RecordingError, match="--seconds or --frames-per-second"):
        TextFormat(15.0, is_in_seconds=True)


@pytest.mark.parametrize("kind", ["npy", "npz", "rows"])
def test_arrays_are_people_by_steps(tmp_path: Path, kind: str) -> None:
    array = np.array([[(0.4 * step, float(who)) for step in range(4)] for who in (0, 1)])
    buffer = io.BytesIO()
    if kind == "npz":
        np.savez(buffer, positions=array)
    else:
        np.save(buffer, np.array(ROWS) if kind == "rows" else array)

    tracks = read(tmp_path / "walk.npy", buffer.getvalue())

    assert tracks[0].ids == (("1", "2") if kind == "rows" else ("0", "1"))
    assert np.diff([entry.stamp_ns for entry in tracks]).tolist() == [400_000_000] * 3


def test_a_person_is_absent_at_steps_that_are_nan(tmp_path: Path) -> None:
    array = np.zeros((2, 3, 2))
    array[1, 1] = np.nan
    buffer = io.BytesIO()
    np.save(buffer, array)

    assert [entry.ids for entry in read(tmp_path / "a.npy", buffer.getvalue())] == [
        *(("0", "1"), ("0",), ("0", "1")),
    ]


@pytest.mark.parametrize("kind", ["complex128", "datetime64[s]", "bool", "S8"])
def test_an_array_of_anything_but_real_numbers_is_refused(tmp_path: Path, kind: str) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 3, 2), kind))
    with pytest.raises(RecordingError, match="expected an array of real numbers"):
        read(tmp_path / "walk.npy", buffer.getvalue())


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("seconds.txt", lines(SECONDS), "not an integer.*--seconds"),
        ("ids.txt", "0 1.5 0 0\n10 1.5 0 0\n", "id that is not an integer"),
        ("words.txt", "0 anna 0 0\n10 anna 0 0\n", "four numbers"),
        ("empty.txt", "", "is empty; expected lines of four numbers"),
        ("minus.txt", "-5 2 1 3\n", "line 1 has a negative frame, expected frames from 0 on"),
        ("columns.csv", "who,when\n1,2\n", "who, when.*--columns"),
        (
            "twice.csv",
            "frame,id,x,y,x_m\n0,1,0,0,0\n",
            "several columns 'x': choose four by number",
        ),
        (
            "long.csv",
            f'frame,id,x,"{"y" * 200_000}"\n0,1,0,0\n',
            "a line that is not CSV: field larger",
        ),
        (
            "quote.csv",
            'frame,id,x,y\n0,1,0,0\n0,"a,0,0\n10,"a,1,0\n',
            "quote that is not closed in line 3",
        ),
        ("header.csv", "frame,id,x,y\n", "header only"),
        ("ros1.bag", b"#ROSBAG V2.0\n", "ROS 1 bag.*rosbags-convert"),
        ("metadata.yaml", "rosbag2_bagfile_information:\n", "give its folder"),
        ("walk.pkl", pickle.dumps(np.zeros((2, 3, 2))), r"pickle.*numpy\.save"),
        ("walk.bin", b"\0\1\2\3", "neither text nor a bag"),
        ("walk.utf16", lines(ROWS).encode("utf-16"), "neither text nor a bag.*iconv"),
        ("walk.npy", b"\x93NUMPY\1\0", "cannot be read as an array"),
        ("walk.ndjson", '{"track": {"f": 0}}\n', "line 1 is not TrajNet"),
        ("scene.ndjson", '{"scene": {"id": 0}}\n', "no TrajNet.. tracks; expected lines of"),
        (
            "late.txt",
            "# c\n0 1 0 0\n1700000000000000 1 0 0\n",
            "line 3 is later than the year 2200",
        ),
        ("comma.csv", "frame;id;x;y\n0;1;0;0\n10;1;0,5;0\n", "'0,5' for a number in line 3.*comma"),
        ("plain.csv", "0;1;0;0,5\n", "'0,5' for a number in line 1.*comma"),
        ("plain.txt", "0 1 0,5 0,5\n", "3 columns in line 1.*decimal commas"),
        ("marks.csv", "frame,id,x,y\n0,1,1_5,0\n", "'1_5' for a number in line 2, column 3"),
        ("minus.csv", "frame,id,x,y\n0,1,\u22125,0\n", "line 2, column 3: write it in ASCII"),
        (
            "zone.csv",
            "time,id,x,y\n2026-01-31 12:00:00,1,0,0\n2026-01-31 12:00:01+01:00,1,0,0\n",
            r"01\+01:00' for a time in line 3; expected dates in UTC",
        ),
        ("two.csv", "time,id,a.x,a.y,b.x,b.y\n0,1,0,0,0,0\n", "several columns 'x': choose"),
        ("date.csv", "time,id,x,y\n2026-02-31 12:00:00,1,0,0\n", "an invalid date"),
        ("late.csv", "time,id,x,y\n2300-02-01 12:00:00,1,0,0\n", "2300-02-01.* in line 2"),
        (
            "list.json",
            '[{"f": 0, "p": 1, "x": 0, "y": 0}]',
            r"line 1 is not TrajNet\+\+: .*not an object",
        ),
        ("hole.csv", "frame,id,x,y\n\n0,1,,0\n", "has '' for a number in line 3, column 3"),
        ("short.csv", "frame,id,x,y\n0,1,2\n", "has 3 columns in line 2"),
        (
            "latin.csv",
            "frame,id,x,y,é\n0,1,0,0,0\n".encode("latin-1"),
            "neither text nor a bag.*iconv",
        ),
        (
            "scenes.csv",
            "scene,frame,id,x,y\n0,0,1,0,0\n0,10,1,1,0\n1,0,1,5,5\n",
            "2 recordings by its column 'scene'.*a file of its own",
        ),
        ("est.csv", "id,when,x_est,y_est\n0,1,0,0\n", "--columns 'TIME,id,x_est,y_est'"),
        (
            "rate.txt",
            "# framerate: 0\n0 1 0 0\n",
            "says 0 frames per second: give --frames-per-second",
        ),
        (
            "rate.ndjson",
            '{"scene": {"fps": -2.5}}\n'
            + "".join(f'{{"track": {{"f": {f}, "p": 1, "x": 0, "y": 0}}}}\n' for f in (0, 10)),
            "says -25 frames per second: give --frames-per-second",
        ),
        ("wide.mot", "1,2,300,200,30,80,1,-1,-1,-1\n", "10 columns.*--columns 1,2,3,5"),
        ("lfs.csv", "version https://git-lfs.github.com/spec/v1\n", "run `git lfs pull`"),
        ("walk.parquet", b"PAR1\0", "Parquet: save it as CSV"),
        ("walk.gz", gzip.compress(b"0 1 0 0\n", mtime=0), "is compressed: unpack it"),
        ("walk.zip", zipped(), "archive without arrays: unpack it, or save a spreadsheet as CSV"),
        ("cut.txt", "0 1 0 0\n10 1 0", "3 columns in line 2, '10 1 0'"),
        (
            "huge.ndjson",
            HUGE,
            "line 1 is no",
        ),
        ("huge.npy", array_header((10**13, 2, 2)), "cannot be read as an array"),
        ("objects.zip", b"PK\3\4 no archive", "cannot be read as an array"),
        ("nan.txt", "0 1 nan 0\n", "line 1 is not finite"),
        ("wide.txt", "0 1 0 0 5 6\n", "columns.*--columns"),
        ("late.csv", "time,id,x,y\n1700000000000000000,1,0,0\n", r"later than the year 2200.*t_ns"),
    ],
)
def test_an_unreadable_file_is_refused_with_the_fix(
    tmp_path: Path, name: str, content: str | bytes, says: str
) -> None:
    with pytest.raises(RecordingError, match=says) as error:
        read(tmp_path / name, content)
    assert name in str(error.value)


def test_objects_in_an_array_are_never_unpickled(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(RecordingError, match=r"Python objects.*numpy\.save"):
        read(tmp_path / "walk.npy", buffer.getvalue())


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(RecordingError, match="not a regular file"):
        load_recording(tmp_path / "pipe.txt")


def test_a_bag_is_recognised_by_its_content(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", people_messages(walkers(duration_s=1.0)))
    other = (bag / "bag.mcap").rename(tmp_path / "recording.dat")

    assert open_source(other).topic == "/people"


def test_commands_take_the_columns(tmp_path: Path) -> None:
    walk = [(0.4 * i, who, 0.4 * i, float(who), 0) for i in range(30) for who in (1, 2)]
    (tmp_path / "walk.csv").write_text("sec,who,east,north,zero\n" + lines(walk, ","))
    out = tmp_path / "out"

    code = evaluate_bag.main(
        [
            *(str(tmp_path / "walk.csv"), "--out", str(out), "--jobs", "1", "--moments", "0"),
            *("--model", "constant_velocity", "--columns", "sec,who,east,north"),
        ]
    )

    assert code == 0
    (bag,) = json.loads((out / "results.json").read_text())["bags"]
    assert bag["duration_s"] == pytest.approx(11.6)


def test_people_are_chosen_by_class_with_a_note(tmp_path: Path) -> None:
    walk = tmp_path / "walk.csv"
    walk.write_text("frame,id,class,x,y\n0,1,person,0,0\n0,2,bus,5,5\n10,1,person,1,0\n")

    (note,) = open_source(walk).notes

    assert "1 of 3 observations are left out: they are no people by the column 'class'" in note
    assert "bus" in note


def test_swapped_frames_and_ids_are_suspected(tmp_path: Path) -> None:
    by_person = [(who, frame, x, y) for frame, who, x, y in sorted(ROWS, key=lambda row: row[1])]
    (tmp_path / "walk.txt").write_text(lines(by_person))

    assert any("--columns 2,1,3,4" in note for note in open_source(tmp_path / "walk.txt").notes)


@pytest.mark.parametrize(
    ("scale", "unit", "is_suspect"),
    [(1.0, "", False), (1 / 111_000, "", True), (1.0, "_ms", False)],
)
def test_people_who_hardly_move_are_suspected(
    tmp_path: Path, scale: float, unit: str, is_suspect: bool
) -> None:
    """As positions in degrees do, and times in milliseconds that are taken for seconds."""
    rows = [(400 * i, who, 0.4 * i * scale, who * scale) for i in range(9) for who in range(3)]
    seconds = rows if unit else [(time / 1000, *row) for time, *row in rows]
    (tmp_path / "walk.csv").write_text(f"time{unit},id,x,y\n" + lines(seconds, ","))
    (tmp_path / "late.csv").write_text("time,id,x,y\n" + lines(rows, ","))

    assert any("nobody moves" in note for note in open_source(tmp_path / "walk.csv").notes) == (
        is_suspect
    )
    assert any("nobody moves" in note for note in open_source(tmp_path / "late.csv").notes)


def test_ids_that_occur_once_have_no_speed(tmp_path: Path) -> None:
    (tmp_path / "walk.txt").write_text(lines([(10 * i, i, 0, 0) for i in range(9)]))

    assert open_source(tmp_path / "walk.txt").notes == ()
