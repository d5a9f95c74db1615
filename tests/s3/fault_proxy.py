"""A TCP proxy between an S3 client and a server that spoils chosen requests. It reads whole HTTP/1.1 requests, so that it can count
them; each connection carries one request. A repetition of the request just spoiled is let through and not counted."""
import socket
import struct
import threading
import time

FAULTS = ("reset_before_forwarding", "reset_after_forwarding", "status_500", "status_503", "slow_reply", "request_cut_in_mid_body",
          "reply_truncated")
LIMIT_S = 60


def read_head(stream):
    lines = []
    while True:
        line = stream.readline(65536)
        if not line:
            return None
        lines.append(line)
        if line in (b"\r\n", b"\n"):
            return lines


def header(lines, name):
    for line in lines[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip()
    return None


class FaultProxy:
    def __init__(self, server_port):
        self.server_port = server_port
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.plan(None)
        threading.Thread(target=self.accept, daemon=True).start()

    def plan(self, fault, stride=1, phase=0, since=None):
        """Spoils each request whose number, from 0, is `phase` modulo `stride`; with `since` every one from that number on,
        repetitions included."""
        with self.lock:
            self.fault, self.stride, self.phase, self.since = fault, stride, phase, since
            self.count = self.spoiled = 0
            self.just_spoiled = None

    def close(self):
        self.listener.close()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def next_fault(self, request_line):
        with self.lock:
            if self.since is None and request_line == self.just_spoiled:
                self.just_spoiled = None
                return None
            number = self.count
            self.count += 1
            hit = number >= self.since if self.since is not None else number % self.stride == self.phase
            hit = hit and self.fault is not None
            self.spoiled += hit
            self.just_spoiled = request_line if hit else None
            return self.fault if hit else None

    @staticmethod
    def reset(client):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def serve(self, client):
        client.settimeout(LIMIT_S)
        try:
            with client, client.makefile("rb") as stream:
                self.exchange(client, stream)
        except OSError:
            pass

    def exchange(self, client, stream):
        head = read_head(stream)
        if head is None:
            return
        fault = self.next_fault(head[0])
        body = stream.read(int(header(head, b"content-length") or 0))
        if fault == "reset_before_forwarding":
            return self.reset(client)
        if fault in ("status_500", "status_503"):
            code = fault[-3:].encode()
            return client.sendall(b"HTTP/1.1 " + code + b" Fault\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        # One request a connection, so that the reply ends with it.
        head = [line for line in head[:-1] if not line.lower().startswith(b"connection:")] + [b"Connection: close\r\n", b"\r\n"]
        with socket.create_connection(("127.0.0.1", self.server_port), timeout=LIMIT_S) as server:
            if fault == "request_cut_in_mid_body":
                server.sendall(b"".join(head) + body[:len(body) // 2])
                self.reset(server)
                return self.reset(client)
            server.sendall(b"".join(head) + body)
            with server.makefile("rb") as answer:
                reply_head = read_head(answer) or []
                reply_head = [line for line in reply_head[:-1] if not line.lower().startswith(b"connection:")]
                reply = b"".join(reply_head) + b"Connection: close\r\n\r\n"
                rest = b"" if head[0].startswith(b"HEAD") else answer.read()
        if fault == "reset_after_forwarding":
            return self.reset(client)
        if fault == "reply_truncated":
            # Without a body the head itself breaks off.
            return client.sendall(reply + rest[:len(rest) // 2] if rest else reply[:len(reply) // 2])
        if fault == "slow_reply":
            whole = reply + rest
            step = max(1, len(whole) // 8)
            for at in range(0, len(whole), step):
                client.sendall(whole[at:at + step])
                time.sleep(0.02)
            return
        client.sendall(reply + rest)
