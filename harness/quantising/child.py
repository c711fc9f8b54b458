"""The child process that quantises: it holds one library and replies to requests.

``python -m harness.quantising.child BUILD_FOLDER THREADS`` writes a ``StartReply`` to standard output and then reads
a ``QuantiseRequest`` from each line of standard input. Large data does not pass through a pipe: the child reads tensors
from their file and writes blocks into the new one, or works in shared memory. It may die, because ggml asserts instead
of returning errors. It starts in a tenth of a second, because it imports little and binds nothing but ggml.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from harness.child_process.replies import reply_channel
from harness.quantising.protocol import QuantiseRequest, StartReply
from harness.quantising.server import QuantiserServer
from harness.quantising.type_list import GgmlLibrary, list_types
from sdcpp.binding import build_folder
from sdcpp.errors import Error


def main(argv: list[str]) -> int:
    """Run the child."""
    folder, threads = argv
    with reply_channel() as send:
        try:
            build = build_folder.read(Path(folder))
            library = GgmlLibrary(handle=build.open_library(), name=os.fspath(build.library))
            types = list_types(build, library)
        except Error as error:
            send(StartReply(error=(error.what, error.subject, error.remedy)).line())
            return error.exit_code
        send(StartReply(types=types).line())
        server = QuantiserServer(library, int(threads))
        for line in sys.stdin.buffer:
            reply = server.handle(QuantiseRequest.from_line(line))
            if reply is not None:
                send(reply.line())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
