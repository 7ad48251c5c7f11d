"""A TCP proxy that does to connections what networks do: delays, cuts, half-open connections, truncated messages, silence.
Who spoke last is told nothing; a seed decides what happens, and the same seed decides the same."""
import asyncio
import contextlib
import random
import socket
import threading

UP, DOWN = 0, 1  # to the aggregator, from it
HANDSHAKE = 900  # bytes of ZMTP's with CURVE, both ways


class Connection:
    """A client's connection, and ours to the aggregator."""

    def __init__(self, client, server):
        self.writers = (server, client)  # of UP, of DOWN
        self.delay_s = [0.0, 0.0]
        self.truncate = [None, None]  # so much of the next chunk still goes through, then it is cut
        self.young = None  # bytes, of both directions, that go through before something happens
        self.flows = [asyncio.Event(), asyncio.Event()]  # not set: silence
        for flow in self.flows:
            flow.set()

    def abort(self, *directions):
        for direction in directions or (UP, DOWN):
            self.writers[direction].transport.abort()
            self.flows[direction].set()


class Proxy(threading.Thread):
    """Listens on a free port of loopback, and connects to `target` (tcp:// or ipc://) for each that comes."""

    def __init__(self, target, seed=1):
        super().__init__(daemon=True)
        self.target, self.random = target, random.Random(seed)
        self.connections, self.tasks = [], set()
        self.counts, self.early, self.met_early = {}, 0.0, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self.listener.getsockname()[1]}"
        self.loop = asyncio.new_event_loop()
        self.chaos = None
        self.start()

    def run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(asyncio.start_server(self.accept, sock=self.listener, limit=1 << 16))
        self.loop.run_forever()

    def close(self):
        def end():
            for connection in list(self.connections):
                connection.abort()
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.call_later(0.05, self.loop.stop)
        self.loop.call_soon_threadsafe(end)
        self.join(10)
        self.loop.close()
        self.listener.close()

    async def reach(self):
        if self.target.startswith("ipc://"):
            return await asyncio.open_unix_connection(self.target.removeprefix("ipc://"))
        host, port = self.target.removeprefix("tcp://").split(":")
        return await asyncio.open_connection(host, int(port))

    async def accept(self, client_reader, client_writer):
        try:
            server_reader, server_writer = await self.reach()
        except OSError:  # the aggregator is away
            client_writer.transport.abort()
            return
        connection = Connection(client_writer, server_writer)
        if self.random.random() < self.early:
            connection.young = self.random.randrange(HANDSHAKE)
        self.connections.append(connection)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(self.pump(connection, UP, client_reader), self.pump(connection, DOWN, server_reader))
        connection.abort()
        self.connections.remove(connection)

    async def pump(self, connection, direction, reader):
        writer = connection.writers[direction]
        with contextlib.suppress(OSError):
            while chunk := await reader.read(1 << 16):
                if connection.young is not None:
                    self.grow(connection, direction, len(chunk))
                if connection.delay_s[direction]:
                    await asyncio.sleep(connection.delay_s[direction])
                await connection.flows[direction].wait()
                if connection.truncate[direction] is not None:
                    writer.write(chunk[:connection.truncate[direction] % len(chunk)])
                    await writer.drain()
                    break
                writer.write(chunk)
                await writer.drain()
        await connection.flows[direction].wait()  # of half a connection the other half hears no end
        connection.abort(direction)

    # ---- faults; in the loop's thread ----

    def fault(self, name, connection, direction):
        """`half_open` and `blackhole` last until heal, or until somebody gives up."""
        self.counts[name] = self.counts.get(name, 0) + 1
        if name == "delay":
            connection.delay_s[direction] = self.random.choice([0.0, 0.001, 0.02, 0.1])
        elif name == "cut":
            connection.abort()
        elif name == "half_open":  # one side sees the end, the other nothing at all
            connection.flows[direction].clear()
            connection.flows[1 - direction].clear()
            connection.writers[direction].transport.abort()
        elif name == "truncate":
            connection.truncate[direction] = self.random.randrange(1 << 16)
        elif name == "blackhole":
            connection.flows[direction].clear()
        elif name == "heal":
            for flow in connection.flows:
                flow.set()

    def inflict(self, name, direction=UP):
        """The fault on every connection, from any thread; returns when it is done."""
        done = threading.Event()

        def all_of_them():
            for connection in list(self.connections):
                self.fault(name, connection, direction)
            done.set()
        self.loop.call_soon_threadsafe(all_of_them)
        done.wait(10)

    # ---- chaos; in the loop's thread, but for begin and end ----

    def strike(self, connection, direction):
        """Whatever chance says."""
        name = self.random.choice(self.names)
        self.fault(name, connection, direction)
        if name in ("half_open", "blackhole"):  # nobody is patient for ever: here as in a NAT
            self.loop.call_later(self.random.uniform(0.1, 1.0), connection.abort)

    def grow(self, connection, direction, length):
        """So many bytes more are to go through."""
        connection.young -= length
        if connection.young < 0:
            connection.young = None
            if self.early:
                self.met_early += 1
                self.strike(connection, direction)

    def begin(self, pause_s=0.15, early=0.0, names=("delay", "cut", "half_open", "truncate", "blackhole")):
        """Something happens to somebody again and again, until end; and to so large a part of those that come, within
        the handshake."""
        async def chaos():
            while True:
                await asyncio.sleep(self.random.expovariate(1 / pause_s))
                if self.connections:
                    self.strike(self.random.choice(self.connections), self.random.choice([UP, DOWN]))
        self.early, self.names = early, names
        self.chaos = asyncio.run_coroutine_threadsafe(chaos(), self.loop)

    def end(self):
        """No more faults, and what was held back goes on."""
        self.early = 0.0
        self.chaos.cancel()
        self.inflict("heal")
