"""`flambeau run` is `python` with another `torch`; the other commands say what they know."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from flambeau import settings as declared

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("FLAMBEAU_")},
    "PYTHONPATH": str(ROOT),
}


def execute(folder, command, stdin="", **variables):
    """What a command printed, and how it ended."""
    done = subprocess.run(
        command, cwd=folder, input=stdin, capture_output=True, text=True, timeout=120,
        env={**ENVIRONMENT, **variables},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def python(folder, *arguments, **options):
    return execute(folder, [sys.executable, *arguments], **options)


def flambeau(folder, *arguments, **options):
    """The `flambeau` command, as its installed script starts it."""
    return python(folder, "-m", "flambeau_command", *arguments, **options)


def write(folder, files):
    """Write texts to paths in `folder`."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))


LOOK_AROUND = """
    import sys
    print(__name__, globals().get("__file__"), __package__, __spec__ and __spec__.name)
    print(sys.argv, sys.path, sys.flags.optimize, sys.warnoptions)
"""

# Programs that never say `torch`: `flambeau run` and `python` must not differ in anything.
PROGRAMS = {
    "file": (["look.py", "a", "--b", "-c"], {"look.py": LOOK_AROUND}),
    "in a folder": (["sub/look.py"], {"sub/look.py": LOOK_AROUND}),
    "code": (["-c", textwrap.dedent(LOOK_AROUND), "x"], {}),
    "module": (["-m", "look", "-m"], {"look.py": LOOK_AROUND}),
    "package": (
        ["-m", "pack.look"],
        {
            "pack/__init__.py": "",
            "pack/one.py": "x = 1",
            "pack/look.py": "from .one import x; print(x)",
        },
    ),
    "folder": (["pack"], {"pack/__main__.py": LOOK_AROUND}),
    "standard input": (["-", "a"], {}),
    "missing file": (["nothing.py"], {}),
    "missing module": (["-m", "nothing"], {}),
    "exit code": (["-c", "import sys; sys.exit(3)"], {}),
    "exit message": (["-c", "raise SystemExit('gone')"], {}),
    "exception": (["fail.py"], {"fail.py": "def f():\n    1 / 0\nf()\n"}),
    "syntax error": (["fail.py"], {"fail.py": "def f(:\n"}),
    "interrupt": (["-c", "raise KeyboardInterrupt"], {}),
    "killed": (["-c", "import os; os.kill(os.getpid(), 9)"], {}),
    "hook": (["-c", "import sys; sys.excepthook = lambda *e: print(len(e)); 1 / 0"], {}),
    "at exit": (["-c", "import atexit; atexit.register(print, 'bye'); 1 / 0"], {}),
    "globals at exit": (
        ["late.py"],
        {"late.py": "import atexit\nx = 1\natexit.register(lambda: print(x))\n"},
    ),
    "pickle of main": (
        ["own.py"],
        {"own.py": "import pickle\nclass A: pass\nprint(pickle.loads(pickle.dumps(A)) is A)"},
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_run_is_python(tmp_path, name):
    arguments, files = PROGRAMS[name]
    write(tmp_path, files)
    stdin = textwrap.dedent(LOOK_AROUND) + "print(input())\n"
    ours = flambeau(tmp_path, "run", *arguments, stdin=stdin)
    assert ours == python(tmp_path, *arguments, stdin=stdin)


def test_options_of_python_are_handed_on(tmp_path):
    write(tmp_path, {"look.py": LOOK_AROUND})
    options = ["-O", "-W", "error", "-X", "utf8"]
    ours = python(tmp_path, *options, "-m", "flambeau", "run", "look.py")
    assert ours == python(tmp_path, *options, "look.py")


def test_the_command_starts_a_program_before_flambeau_is_imported(tmp_path):
    code = """
        import sys, flambeau_command
        assert flambeau_command.import_run().USAGE and "flambeau" not in sys.modules
        sys.argv = ["flambeau", "run", "-c", "import sys; print(sys.argv)", "a"]
        flambeau_command.main()
    """
    assert python(tmp_path, "-c", textwrap.dedent(code)) == (0, "['-c', 'a']\n", "")


SAME_MODULES = """
    import sys
    import torch, torch.nn as nn, torch.nn.functional as F
    from torch.utils.data import DataLoader
    import flambeau, flambeau.nn.functional, flambeau.utils.data
    assert torch is flambeau is sys.modules["torch"] and torch.nn is flambeau.nn is nn
    assert F is flambeau.nn.functional is sys.modules["torch.nn.functional"]
    assert DataLoader is flambeau.utils.data.DataLoader
    assert flambeau.__spec__.name == flambeau.__name__ == "flambeau"
    import importlib.util
    assert importlib.util.find_spec("torch.missing") is None
    print("same")
"""


def test_torch_is_flambeau(tmp_path):
    write(tmp_path, {"same.py": SAME_MODULES})
    assert flambeau(tmp_path, "run", "same.py") == (0, "same\n", "")


def test_a_missing_module_is_named_and_no_line_of_ours_is_shown(tmp_path):
    write(tmp_path, {"fail.py": "import torch\nimport torch.missing\n"})
    code, _, error = flambeau(tmp_path, "run", "fail.py")
    assert code == 1
    assert error.splitlines() == [
        "Traceback (most recent call last):",
        f'  File "{tmp_path}/fail.py", line 2, in <module>',
        "    import torch.missing",
        "ModuleNotFoundError: No module named 'torch.missing'",
    ]


def test_a_missing_name_is_named(tmp_path):
    code, _, error = flambeau(tmp_path, "run", "-c", "import torch; torch.missing_name")
    assert code == 1
    assert "AttributeError" in error and "missing_name" in error.splitlines()[-1]


WORKERS = """
    import multiprocessing, sys

    def name(i):
        import torch
        return torch.__name__, i

    if __name__ == "__main__":
        context = multiprocessing.get_context(sys.argv[1])
        with context.Pool(2) as pool:
            print(pool.map(name, range(2)))
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_processes_that_the_program_starts_have_the_same_torch(tmp_path, method):
    if sys.platform == "win32" and method != "spawn":
        pytest.skip("Windows has spawn only")
    write(tmp_path, {"workers.py": WORKERS})
    code, output, error = flambeau(tmp_path, "run", "workers.py", method)
    assert (code, output) == (0, "[('flambeau', 0), ('flambeau', 1)]\n"), error


STARTER = """
    import subprocess, sys
    code = "import torch; print(torch.__name__)"
    subprocess.run([sys.executable, "-c", code], check=True)
"""


def test_python_started_by_the_program_has_the_same_torch(tmp_path):
    write(tmp_path, {"start.py": STARTER})
    assert flambeau(tmp_path, "run", "start.py") == (0, "flambeau\n", "")


def test_a_sitecustomize_of_the_user_still_runs(tmp_path):
    write(tmp_path, {"mine/sitecustomize.py": "print('mine')"})
    path = f"{tmp_path / 'mine'}{os.pathsep}{ROOT}"
    code, output, error = flambeau(
        tmp_path, "run", "-c", "import torch; print(torch.__name__)", PYTHONPATH=path
    )
    assert (code, output) == (0, "mine\nmine\nflambeau\n"), error


@pytest.mark.parametrize(
    ("options", "arguments", "says"),
    [
        ([], [], "which program?"),
        ([], ["-u", "train.py"], "python -u -m flambeau run"),
        (["-E"], ["train.py"], "-E"),
    ],
)
def test_run_refuses_what_it_cannot_do(capfd, monkeypatch, options, arguments, says):
    from flambeau.cli import run

    class Flags:
        ignore_environment = "-E" in options
        no_site = False

    monkeypatch.setattr(run.sys, "flags", Flags)
    assert run.run(arguments) == 2
    assert says in capfd.readouterr().err


def test_help_and_unknown_commands(tmp_path):
    code, output, _ = flambeau(tmp_path)
    assert code == 0 and "run " in output and "settings " in output
    code, _, error = flambeau(tmp_path, "walk")
    assert code == 2 and "no command 'walk'" in error
    code, output, _ = flambeau(tmp_path, "run", "--help")
    assert code == 0 and "flambeau run FILE" in output


def test_settings_are_listed_with_their_values(tmp_path):
    code, output, _ = flambeau(tmp_path, "settings", FLAMBEAU_EAGER="1", FLAMBEAU_SHOW="trace,fuse")
    assert code == 0
    assert "* FLAMBEAU_EAGER = 1 " in output and "  FLAMBEAU_CHECK = 0 " in output
    assert "* FLAMBEAU_SHOW = fuse,trace " in output


def test_cache_clear_deletes_kernels_only(tmp_path):
    from flambeau.cli.look import KERNELS

    kernel, thesis = tmp_path / KERNELS / "a", tmp_path / "thesis.txt"
    kernel.parent.mkdir()
    kernel.write_bytes(bytes(2**20))
    thesis.write_text("mine")
    variables = {"FLAMBEAU_CACHE": str(tmp_path)}
    code, output, _ = flambeau(tmp_path, "cache", **variables)
    assert code == 0 and "1 kernels, 1.0 MB" in output
    code, output, _ = flambeau(tmp_path, "cache", "clear", **variables)
    assert code == 0 and "1 kernels deleted" in output
    assert thesis.exists() and not kernel.exists()


def test_settings_are_read_by_type():
    chosen = declared.read(
        {"FLAMBEAU_CHECK": "on", "FLAMBEAU_COMPILE": "0", "FLAMBEAU_THREADS": "3",
         "FLAMBEAU_CACHE": "/x/y", "FLAMBEAU_SHOW": "fuse, llvm", "FLAMBEAU_EAGER": ""}
    )  # fmt: skip
    assert (chosen.check, chosen.compile, chosen.eager, chosen.threads) == (True, False, False, 3)
    assert chosen.cache == "/x/y" and chosen.show == {"fuse", "llvm"}


@pytest.mark.parametrize("name", ["CHECK", "THREADS"])
def test_a_setting_that_cannot_be_read_is_named(name):
    with pytest.raises(ValueError, match=f"FLAMBEAU_{name} should be .*, but is 'many'"):
        declared.read({f"FLAMBEAU_{name}": "many"})


def test_override_ends_with_its_block():
    before = declared.settings.eager
    with pytest.raises(KeyError), declared.settings.override(eager=not before):
        assert declared.settings.eager is not before
        raise KeyError
    assert declared.settings.eager is before


def test_a_misspelt_setting_is_refused():
    with pytest.raises(AttributeError):
        declared.settings.egaer = True
