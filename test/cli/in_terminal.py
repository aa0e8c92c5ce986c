"""Runs a command in a pseudo-terminal of its own: in_terminal.py '[["expected", "typed"], ...]' command...

Waits for each expected text, then types; prints what the terminal showed, and ends as the command does.
"""
import json
import os
import pty
import select
import sys
import time

steps = json.loads(sys.argv[1])
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
seen = b""
at = 0
deadline = time.time() + 60
while time.time() < deadline:
    if steps and steps[0][0].encode() in seen[at:]:
        at = len(seen)
        # The question is written just before the echo is switched off.
        time.sleep(0.3)
        os.write(fd, steps.pop(0)[1].encode())
    if select.select([fd], [], [], 0.05)[0]:
        try:
            chunk = os.read(fd, 65536)
        except OSError:
            break
        if not chunk:
            break
        seen += chunk
else:
    os.kill(pid, 9)
_, status = os.waitpid(pid, 0)
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(status) & 0xFF)
