"""Commands that fail in every way: one clear line, the right cause, the right exit code, and nothing is published."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from federation.task.command_line import Command
from federation.task.memory import MemoryWatch
from tests.federation.task.helpers import Task, errors

WRITE = 'import os; open(os.environ["FEDML_OUTPUT"] + "/model.bin", "w").write("x")\n'


@pytest.mark.parametrize(
    ("script", "code", "cause"),
    [
        ("if True print(1)", 1, "the command ended with exit code 1: SyntaxError: "),
        ("import no_such_module", 1, "exit code 1: ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit(7)", 7, "the command ended with exit code 7"),
        ("raise ValueError('loss is nan')\n", 1, "exit code 1: ValueError: loss is nan"),
        ("x = [0] * (1 << 60)", 1, "exit code 1: MemoryError"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", 139, "the command was killed by signal 11"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            137,
            "killed by signal 9, which neither it nor fedml",
        ),
    ],
)
def test_a_command_that_fails(tmp_path: Path, script: str, code: int, cause: str) -> None:
    task = Task(
        tmp_path, {"train.py": script if script.startswith("if") else WRITE + script}, Command(("python", "train.py"))
    )
    done = task.run()
    assert done.returncode == code
    first, *hints, last = errors(done)
    assert cause in first
    assert last == "  → nothing was published"
    assert [hint.partition(" its ")[0] for hint in hints] == ["  → declare"] * ("ModuleNotFoundError" in cause)
    assert task.objects() == []


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    task = Task(tmp_path, {"a.txt": "x"}, Command(("no-such-program",)))
    done = task.run()
    assert done.returncode == 1
    assert errors(done)[0] == "Error: can't start 'no-such-program': No such file or directory"


def test_nothing_written_is_said(tmp_path: Path) -> None:
    task = Task(tmp_path, {"train.py": "print('hello')"}, Command(("python", "train.py")))
    done = task.run()
    assert (done.returncode, done.stdout) == (1, "hello\n")
    assert errors(done)[0] == "Error in the code: the command ended well, but it wrote nothing into $FEDML_OUTPUT"
    assert task.objects() == []


@pytest.mark.parametrize(
    ("metrics", "problem"),
    [
        ("{broken", "metrics.json is not valid JSON"),
        ("", "metrics.json is not valid JSON"),
        ("loss: 3", "metrics.json is not valid JSON"),
        ("[1, 2]", "metrics.json is a list, not a JSON object of names and values"),
        ("[" * 5_000, "metrics.json is nested deeper"),
    ],
)
def test_metrics_that_are_not_a_json_object_are_an_error(tmp_path: Path, metrics: str, problem: str) -> None:
    text = f"{WRITE}open(os.environ['FEDML_OUTPUT'] + '/metrics.json', 'w').write({metrics!r})"
    task = Task(tmp_path, {"train.py": text}, Command(("python", "train.py")))
    done = task.run()
    assert done.returncode == 1
    assert errors(done)[0].startswith(f"Error in the code: {problem}")
    assert task.objects() == []


def test_metrics_that_cannot_be_kept_one_by_one_are_a_note_in_the_record(tmp_path: Path) -> None:
    metrics = '{"loss": NaN, "best": Infinity, "curve": [1]}'
    text = f"{WRITE}open(os.environ['FEDML_OUTPUT'] + '/metrics.json', 'w').write({metrics!r})"
    task = Task(tmp_path, {"train.py": text}, Command(("python", "train.py")))
    done = task.run()
    note = "metrics.json: curve is left out: a list is not a valid metric"
    assert (done.returncode, done.stderr) == (0, f"Note: {note}\n")
    record = task.record()
    assert (str(record.metrics["loss"]), record.metrics["best"]) == ("nan", float("inf"))
    assert record.environment["left_out"] == note


def test_an_output_folder_that_the_command_replaced(tmp_path: Path) -> None:
    text = "import os; os.rmdir(os.environ['FEDML_OUTPUT']); open(os.environ['FEDML_OUTPUT'], 'w').write('x')"
    done = Task(tmp_path, {"train.py": text}, Command(("python", "train.py"))).run()
    assert done.returncode == 1
    assert errors(done) == ["Error in the code: the command ended well, but $FEDML_OUTPUT is not a folder any more"]


def test_an_output_folder_that_cannot_be_made(tmp_path: Path) -> None:
    task = Task(tmp_path, {"train.py": WRITE}, Command(("python", "train.py")))
    task.act("fetch")
    task.output.write_text("a file is in the way")
    done = task.act("run")
    assert done.returncode == 1
    assert "output can't be made: File exists" in errors(done)[0]


def test_output_that_cannot_be_published(tmp_path: Path) -> None:
    text = "import os; os.symlink('/etc/hostname', os.environ['FEDML_OUTPUT'] + '/link')"
    task = Task(tmp_path, {"train.py": text}, Command(("python", "train.py")))
    done = task.run()
    assert done.returncode == 1
    assert errors(done)[0] == "Error in the code: link is a link that leaves the folder"
    assert task.objects() == []


def test_a_store_that_lacks_the_code_or_holds_other_code(tmp_path: Path) -> None:
    task = Task(tmp_path, {"train.py": WRITE}, Command(("python", "train.py")))
    packed = tmp_path / f"store/code/{task.sha256}.tar.gz"
    data = packed.read_bytes()
    packed.unlink()
    done = task.act("fetch")
    assert done.returncode == 1
    assert f"{task.sha256}.tar.gz is gone" in errors(done)[0]
    packed.write_bytes(data[:-1])
    done = task.act("fetch")
    assert done.returncode == 1
    assert len([line for line in errors(done) if line.startswith("Error: ")]) == 1
    assert not (tmp_path / "alloc/code").exists()


@pytest.mark.parametrize(
    ("number", "handles"), [(signal.SIGTERM, False), (signal.SIGTERM, True), (signal.SIGINT, True)]
)
def test_a_stopped_task_tells_its_command_and_publishes_nothing(tmp_path: Path, number: int, handles: bool) -> None:
    """Also where the command ends well after the signal: nobody knows whether it is done."""
    handler = (
        f"signal.signal({int(number)}, lambda *_: (print('saving', flush=True), sys.exit(0)))\n" if handles else ""
    )
    text = f"import signal, sys, time\n{WRITE}{handler}print('started', flush=True)\ntime.sleep(600)\n"
    task = Task(tmp_path, {"train.py": text}, Command(("python", "train.py")))
    task.act("fetch")
    process = task.start("run")
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 128 + number
    assert out == ("saving\n" if handles else "")
    assert "Stopped before the command was done" in err
    assert task.objects() == []
    assert not _group(process.pid)


def _group(leader: int) -> list[str]:
    """The processes of a group that still run."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except (OSError, ValueError):
            continue
        if folder.name.isdigit() and int(fields[2]) == leader and fields[0] not in "ZX":
            found.append(folder.name)
    return found


def test_all_of_a_command_is_in_the_group_that_nomad_kills(tmp_path: Path) -> None:
    text = (
        "import subprocess; subprocess.Popen(['sleep', '600'])\n"
        "print('started', flush=True); subprocess.run(['sleep', '600'])"
    )
    task = Task(tmp_path, {"train.py": text}, Command(("python", "train.py")))
    task.act("fetch")
    process = task.start("run")
    assert process.stdout is not None
    process.stdout.readline()
    assert len(_group(process.pid)) >= 3
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=300)
    assert not _group(process.pid)


def test_a_restarted_task_begins_anew_and_keeps_its_checkpoint(tmp_path: Path) -> None:
    text = (
        "from fedml_task import checkpoint, output\n"
        "first = not (checkpoint / 'step').exists()\n"
        "(checkpoint / 'step').write_text('1')\n"
        "(output / ('partial' if first else 'whole')).write_text('x')\n"
        "raise SystemExit(3 if first else 0)\n"
    )
    task = Task(tmp_path, {"train.py": text}, Command(("python", "train.py")))
    assert task.run().returncode == 3
    assert task.act("run").returncode == 0
    assert [file.path for file in task.record().files] == ["whole"]


@pytest.mark.parametrize(
    ("line", "counter"),
    [("0::/nomad/task", "memory.events"), ("4:memory:/nomad/task\n0::/", "memory/nomad/task/memory.oom_control")],
    ids=["cgroup 2", "cgroup 1"],
)
def test_memory_that_ran_out_is_said_where_the_kernel_tells_it(tmp_path: Path, line: str, counter: str) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(f"3:cpuset:/\n{line}\n")
    events = tmp_path / "sys/fs/cgroup" / ("nomad/task" if "/" not in counter else "") / counter
    events.parent.mkdir(parents=True)
    events.write_text("low 0\noom 0\noom_kill 0\n")
    watch = MemoryWatch({"NOMAD_MEMORY_LIMIT": "300"}, root=tmp_path)
    assert "signal 9, which neither it nor fedml sent" in watch.cause()
    events.write_text("low 0\noom 1\noom_kill 1\n")
    assert "ran out of memory: the kernel killed it at the task's limit, 300 MB" in watch.cause()


def test_an_unknown_action_and_a_task_outside_of_nomad(tmp_path: Path) -> None:
    for arguments, told in (((), "give one of: fetch, run"), (("run",), "fedml_command")):
        done = subprocess.run(
            [sys.executable, "-I", "-m", "federation.task", *arguments],
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert told in done.stderr.splitlines()[0]
        assert "Traceback" not in done.stderr


def test_many_files_and_a_large_sparse_one_are_published(tmp_path: Path) -> None:
    text = (
        "from fedml_task import output\n"
        "for number in range(2000):\n    (output / f'{number:05}.txt').write_text('x')\n"
        "with (output / 'sparse.bin').open('wb') as file:\n    file.truncate(64 << 20)\n"
    )
    task = Task(tmp_path, {"train.py": text}, Command(("python", "train.py")))
    done = task.run()
    assert (done.returncode, done.stderr) == (0, "")
    record = task.record()
    assert (len(record.files), record.size_bytes) == (2001, 2000 + (64 << 20))


def test_parameters_that_no_run_sends_are_refused(tmp_path: Path) -> None:
    task = Task(tmp_path, {"train.py": WRITE}, Command(("python", "train.py")), params={"lr": [1]})
    task.act("fetch")
    done = task.act("run")
    assert done.returncode == 1
    assert errors(done)[0] == "Error: fedml_params: 'lr' is a list, not a text, a number, true or false"
