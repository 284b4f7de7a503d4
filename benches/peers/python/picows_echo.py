"""An echo server on Python's picows for `compare`: any path echoes; /broadcast sends each message to all clients.

Without a port it prints the version of picows.
"""

import sys
from importlib.metadata import version

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

try:
    from uvloop import run  # recommended by its authors
except ImportError:
    from asyncio import run

room = set()
DATA = (WSMsgType.TEXT, WSMsgType.BINARY)


class Echo(WSListener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame):
        if frame.msg_type in DATA:
            transport.send(frame.msg_type, frame.get_payload_as_memoryview())
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()


class Broadcast(WSListener):
    def on_ws_connected(self, transport: WSTransport):
        room.add(transport)

    def on_ws_disconnected(self, transport: WSTransport):
        room.discard(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame):
        if frame.msg_type in DATA:
            payload = frame.get_payload_as_bytes()
            for member in room:
                member.send(frame.msg_type, payload)
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()


def listener(request):
    return Broadcast() if request.path == b"/broadcast" else Echo()


async def main(port):
    server = await ws_create_server(listener, "127.0.0.1", port, max_frame_size=64 << 20, backlog=4096)
    await server.serve_forever()


if len(sys.argv) < 2:
    print(version("picows"))
else:
    run(main(int(sys.argv[1])))
