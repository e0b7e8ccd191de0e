"""scripts/bootstrap.sh on a machine made of fakes: no package manager is ever asked."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from cli.place import ROOT

POLICY = Path("/usr/sbin/policy-rc.d")
SUDO_THAT_WORKS = """#!/bin/sh
[ "$1" = -n ] && shift
echo "$*" >>"$CALLS"
case "$*" in
    true) exit 0 ;;
    tee*) cat >/dev/null ;;
    *"apt-get -q install"*)
        if [ -e "$CALLS.updated" ] || [ -z "$NEEDS_UPDATE" ]; then
            mkdir -p "$RABBITMQ_HOME/sbin"
            touch "$RABBITMQ_HOME/sbin/rabbitmq-server"
            chmod +x "$RABBITMQ_HOME/sbin/rabbitmq-server"
        else
            exit 100
        fi ;;
    *"apt-get -q update"*) touch "$CALLS.updated" ;;
esac
"""


NO_SERVICE = '#!/bin/sh\n[ "$1" != cat ]\n'


class Machine:
    """A clone with everything installed but RabbitMQ; `sudo`, `id` and `apt-get` are fakes."""

    def __init__(self, at: Path) -> None:
        self.clone, self.bin, self.calls_file = at / "clone", at / "bin", at / "calls"
        self.bin.mkdir()
        self.command("id", "#!/bin/sh\necho 1000\n")
        self.command("apt-get", "#!/bin/sh\nexit 99\n")
        self.command("sudo", "#!/bin/sh\nexit 1\n")
        self.command("systemctl", NO_SERVICE)
        (self.clone / "scripts").mkdir(parents=True)
        shutil.copy(ROOT / "scripts" / "bootstrap.sh", self.clone / "scripts")
        for name in ("uv.lock", "pyproject.toml"):
            (self.clone / name).write_text(name)
        venv = self.clone / ".venv" / "bin"
        venv.mkdir(parents=True)
        for name in ("fleet", "python"):
            (venv / name).write_text("#!/bin/sh\nexit 0\n")
            (venv / name).chmod(0o755)
        stamps = self.clone / ".fleet" / "bootstrap"
        stamps.mkdir(parents=True)
        text = f"{self.clone}\nuv.lockpyproject.toml".encode()
        sum_ = subprocess.run(["cksum"], input=text, capture_output=True, check=True).stdout
        (stamps / "dev").write_bytes(sum_)

    def command(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)

    def bootstrap(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["sh", "scripts/bootstrap.sh", *arguments],
            cwd=self.clone,
            env={
                "PATH": f"{self.bin}:{os.defpath}",
                "CALLS": str(self.calls_file),
                "RABBITMQ_HOME": str(self.clone / "rabbit"),
                "NEEDS_UPDATE": "",
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    @property
    def calls(self) -> list[str]:
        return self.calls_file.read_text().splitlines() if self.calls_file.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_nothing_is_done_where_nothing_is_to_do(machine: Machine) -> None:
    done = machine.bootstrap("--dev")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.calls == []


def test_without_the_right_to_use_apt_the_line_to_run_is_printed(machine: Machine) -> None:
    done = machine.bootstrap("--broker")
    assert done.returncode != 0
    assert "sudo apt-get install --no-install-recommends rabbitmq-server" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("needs_update", ["", "yes"])
def test_apt_installs_the_server_and_starts_no_service(machine: Machine, needs_update: str) -> None:
    machine.command("sudo", SUDO_THAT_WORKS)
    done = machine.bootstrap("--broker", NEEDS_UPDATE=needs_update)
    assert done.returncode == 0, done.stderr
    apt = [call for call in machine.calls if "apt-get" in call]
    assert len(apt) == (3 if needs_update else 1), "the package lists are updated only if needed"
    assert all("--no-install-recommends" in call for call in apt if "install" in call)
    assert any("disable --now rabbitmq-server" in call for call in machine.calls)
    if not POLICY.exists():
        first, last = machine.calls.index(f"tee {POLICY}"), machine.calls.index(f"rm -f {POLICY}")
        assert {call for call in machine.calls[first:last] if call in apt} == set(apt)


def test_a_redis_is_installed_where_there_is_none(machine: Machine) -> None:
    machine.command("sudo", SUDO_THAT_WORKS)
    assert machine.bootstrap("--redis", REDIS_SERVER="no-such-server").returncode == 0
    assert any("apt-get -q install" in c and c.endswith("redis-server") for c in machine.calls)
    assert any("disable --now redis-server" in call for call in machine.calls)
    machine.calls_file.unlink()
    assert machine.bootstrap("--redis", REDIS_SERVER="sh").returncode == 0
    assert machine.calls == []


def test_a_service_that_was_there_before_is_left_alone(machine: Machine) -> None:
    machine.command("sudo", SUDO_THAT_WORKS)
    machine.command("systemctl", "#!/bin/sh\nexit 0\n")
    assert machine.bootstrap("--broker", NEEDS_UPDATE="").returncode == 0
    assert not any("systemctl" in call for call in machine.calls)


def test_the_ban_on_services_is_lifted_when_apt_fails(machine: Machine) -> None:
    machine.command("sudo", SUDO_THAT_WORKS.replace("apt-get -q update", "no such call"))
    done = machine.bootstrap("--broker", NEEDS_UPDATE="yes")
    assert done.returncode != 0 and "apt could not install" in done.stderr
    if not POLICY.exists():
        assert machine.calls[-1] == f"rm -f {POLICY}"


def test_a_python_that_is_too_old_is_named_with_the_way_out(machine: Machine) -> None:
    for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14"):
        machine.command(name, "#!/bin/sh\nexit 1\n")
    (machine.clone / ".fleet" / "bootstrap" / "dev").unlink()
    done = machine.bootstrap()
    assert done.returncode != 0 and "needs Python 3.11" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_moved_clone_is_made_anew(machine: Machine, tmp_path: Path) -> None:
    machine.clone.rename(tmp_path / "moved")
    machine.clone = tmp_path / "moved"
    machine.command("python3", "#!/bin/sh\nexit 1\n")  # so that it stops at the first step
    for minor in (11, 12, 13, 14):
        machine.command(f"python3.{minor}", "#!/bin/sh\nexit 1\n")
    assert machine.bootstrap("--dev").returncode != 0


def test_an_unknown_option_is_refused(machine: Machine) -> None:
    assert machine.bootstrap("--fast").returncode == 2
