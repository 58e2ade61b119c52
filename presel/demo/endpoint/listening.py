"""A server of ours on 127.0.0.1 for the length of a block: a thread with an event loop, ended with all that runs in it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from presel.errors import ConfigError

Connection = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextmanager
def listening(connection: Connection, port: int = 0) -> Iterator[str]:
    """Serve each connection; gives the API's address. `port` 0: any free one. Raises ConfigError when the port is taken."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="presel-endpoint", daemon=True)
    thread.start()
    try:
        server = asyncio.run_coroutine_threadsafe(_start(connection, port), loop).result()
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        finally:
            asyncio.run_coroutine_threadsafe(_stop(server), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _start(connection: Connection, port: int) -> asyncio.Server:
    try:
        return await asyncio.start_server(connection, "127.0.0.1", port, limit=2**20, backlog=1024)
    except OSError as error:
        raise ConfigError(
            f"port {port} cannot be used: {error.strerror}", fix="another --port; 0 takes a free one"
        ) from error


async def _stop(server: asyncio.Server) -> None:
    server.close()
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
