"""A small bot that looks after itself, as bots did before they had a supervisor.

It keeps its own bot.pid at the top of the home: whoever is named there when it
starts is killed, the file is replaced by rename, and removed at the end. It
polls for restart-requested and exits with 42, and greets with the restart
sentinel. It knows nothing of the tools that run it.
"""

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path

HOME = Path(os.environ.get("DUCTOR_HOME") or Path.home() / ".ductor")
PID_FILE = HOME / "bot.pid"
MARKER = HOME / "restart-requested"
SENTINEL = HOME / "restart-sentinel.json"
POLL = float(os.environ.get("PYBOT_POLL", "2"))
EXIT_RESTART = 42


def log(text):
    with open("pybot.log", "a", encoding="utf-8") as f:
        f.write(text + "\n")


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def kill_and_wait(pid, timeout=5.0):
    log(f"kill {pid}")
    try:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if not alive(pid):
                return
            time.sleep(0.02)
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def acquire():
    HOME.mkdir(parents=True, exist_ok=True)
    try:
        old = int(PID_FILE.read_text(encoding="utf-8").strip())
    except (FileNotFoundError, ValueError):
        old = None
    if old is not None and alive(old):
        kill_and_wait(old)
    tmp = PID_FILE.with_suffix(".tmp")
    tmp.write_text(str(os.getpid()), encoding="utf-8")
    os.replace(tmp, PID_FILE)


def release():
    try:
        if int(PID_FILE.read_text(encoding="utf-8").strip()) == os.getpid():
            PID_FILE.unlink()
    except (FileNotFoundError, ValueError):
        pass


def alone():
    """Fail loudly if another copy lives; the lock is of a kind that nothing else uses."""
    f = open("pybot.alone", "a", encoding="utf-8")
    try:
        fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        with open("pybot.alone.twins", "a", encoding="utf-8") as t:
            t.write(f"{os.getpid()} met another\n")
        os._exit(99)
    return f


def consume(path):
    try:
        text = path.read_text(encoding="utf-8")
        path.unlink()
    except FileNotFoundError:
        return None
    return text


def main():
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    acquire()
    lock = alone()
    try:
        text = consume(SENTINEL)
        if text is not None:
            log(f"says {json.loads(text)['message']}")
        restarts = os.environ.get("DUCTOR_RESTARTS", "-")
        log(f"start {os.getpid()} {restarts} {os.environ.get('DUCTOR_RESTART_REASON', '-')}")
        while not stop:
            if consume(MARKER) is not None:
                return EXIT_RESTART
            time.sleep(POLL)
        return 0
    finally:
        release()
        lock.close()


if __name__ == "__main__":
    sys.exit(main())
