"""An echo server on Python's websockets for `compare`: any path echoes; /broadcast sends each message to all clients.

Without a port it prints the version of websockets.
"""

import sys

import websockets
from websockets.asyncio.server import broadcast, serve

try:
    from uvloop import run  # recommended by its authors
except ImportError:
    from asyncio import run

room = set()


async def connection(socket):
    try:
        if socket.request.path == "/broadcast":
            room.add(socket)
            async for message in socket:
                broadcast(room, message)
        else:
            async for message in socket:
                await socket.send(message)
    except websockets.ConnectionClosed:
        pass
    finally:
        room.discard(socket)


async def main(port):
    settings = {"compression": None, "max_size": 64 << 20, "ping_interval": None, "backlog": 4096}
    async with serve(connection, "127.0.0.1", port, **settings) as server:
        await server.serve_forever()


if len(sys.argv) < 2:
    print(websockets.__version__)
else:
    run(main(int(sys.argv[1])))
