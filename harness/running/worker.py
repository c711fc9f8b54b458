"""The child process that holds one library. It makes pictures and never judges them.

``python -m harness.running.worker BUILD_FOLDER BACKEND THREADS [--forks ROOM]`` replies to the lines of standard input
with lines of standard output, as ``harness.running.protocol`` describes. What the library itself prints goes to
standard error. The library is loaded before any module that brings another C++ runtime (numpy does): a library that is
linked with a static C++ runtime crashes if it is loaded second. Without forks a worker is started after every crash, so
this module imports little.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from harness.cases.shot_request import ShotRequest
from harness.child_process.replies import reply_channel
from harness.running.fork_server import ForkServer
from harness.running.protocol import FORKS, OPENED, OWN_FOLDER, READY, ShotReply, numbered, split
from harness.running.shot_runner import ShotRunner
from sdcpp.errors import Error


def main(argv: list[str]) -> int:
    """Run the worker."""
    folder, backend, threads, *options = argv
    with reply_channel() as send:

        def reply(number: int, content: ShotReply) -> None:
            send(numbered(number, content.line()))

        try:
            runner = ShotRunner(Path(folder), backend, int(threads))
        except Error as error:
            reply(0, ShotReply(outcome="failed", text=str(error)))
            return error.exit_code
        reply(0, ShotReply(outcome=READY))
        if FORKS in options:
            ForkServer(runner, send, int(options[1])).serve(sys.stdin.buffer)
        else:
            for line in sys.stdin.buffer:
                number, content = split(line)
                request = ShotRequest.from_line(content)
                answer = runner.open(request)
                if answer.outcome == OPENED:
                    reply(number, answer)
                    answer = runner.make(request, answer)
                reply(number, answer)
    if OWN_FOLDER in os.environ:
        shutil.rmtree(os.environ[OWN_FOLDER], ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
