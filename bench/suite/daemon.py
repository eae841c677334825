"""A private tmd in its own directory, and its control socket."""

import json
import os
import socket

from .world import Failed, wait_until


class Daemon:
    def __init__(self, world, folder, yaml):
        self.world = world
        self.folder = folder
        self.config = folder / "bench.yaml"
        self.config.write_text(yaml)
        self.socket = folder / "tmd.sock"
        log = open(folder / "tmd.log", "w")
        command = [world.tmd, "-c", self.config, "--socket", self.socket]
        self.child = world.start(*command, stderr=log)
        self.connection = socket.socket(socket.AF_UNIX)

        def reached():
            if self.child.poll() is not None:
                raise Failed((folder / "tmd.log").read_text())
            return self.connection.connect_ex(str(self.socket)) == 0

        wait_until(reached, "tmd", pause_s=0.001)
        self.stream = self.connection.makefile("rwb")
        # The daemon closes a connection without requests after 30 s.
        self.call("hello")

    @property
    def pid(self):
        return self.child.pid

    def call(self, method, **params):
        self.send(method, **params)
        return self.answer()

    def send(self, method, **params):
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        self.stream.write(json.dumps(request).encode() + b"\n")
        self.stream.flush()

    def answer(self):
        answer = json.loads(self.stream.readline())
        if "error" in answer:
            raise Failed(str(answer["error"]["message"]))
        return answer["result"]

    def status_value(self, key):
        with open(f"/proc/{self.child.pid}/status") as file:
            for line in file:
                if line.startswith(key + ":"):
                    return int(line.split()[1])
        raise Failed(key)

    def attach_command(self, process, *options):
        extra = " ".join(options)
        return f"exec {self.world.tm} attach --socket {self.socket} {extra} {process}"

    def reopen_logs(self):
        os.kill(self.child.pid, 10)

    def end(self):
        self.call("shutdown")
        self.child.wait()
