"""Real S3 servers on loopback, each in a temporary folder: Ceph's radosgw over one monitor and one memory-backed OSD, and OpenStack
Swift with its s3api over one directory. `scripts/bootstrap --s3` installs them; nothing of the system's configuration is used."""
import datetime
import hashlib
import hmac
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

START_LIMIT_S = 120
REGION = "us-east-1"


def free_ports(count):
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()


class Server:
    """Owns a folder and the processes started in it."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        self.processes = []

    def spawn(self, name, command):
        log = open(self.folder / f"{name}.out", "ab")
        self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                               start_new_session=True, cwd=self.folder))
        log.close()

    def stop(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in reversed(self.processes):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.processes.clear()

    def await_bucket(self, bucket):
        """Makes the bucket as soon as the server answers."""
        last = "no answer"
        for _ in range(4 * START_LIMIT_S):
            for process in self.processes:
                if process.poll() is not None:
                    raise RuntimeError(f"{self.name}: a daemon ended with {process.returncode}\n{self.logs()}")
            try:
                status, body = self.request("PUT", "/" + bucket)
                if status == 200:
                    return
                last = f"{status} {body[:300]}"
            except OSError as error:
                last = str(error)
            time.sleep(0.25)
        raise RuntimeError(f"{self.name}: no bucket after {START_LIMIT_S} s: {last}\n{self.logs()}")

    def logs(self):
        out = []
        for path in sorted(self.folder.glob("*.out")):
            out.append(f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-15:]))
        return "\n".join(out)

    def environment(self, endpoint=None):
        """For a client: these settings and no others that could change where it goes."""
        values = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "RK_S3_", "RK_STORAGE_"))}
        values.update(AWS_ENDPOINT_URL_S3=endpoint or self.endpoint, AWS_ACCESS_KEY_ID=self.access_key,
                      AWS_SECRET_ACCESS_KEY=self.secret_key, AWS_REGION=REGION, HOME=str(self.folder))
        return values

    def request(self, method, path, query="", body=b""):
        """One signed request, apart from the code under test. `query` is sorted and encoded."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        headers = {"host": self.endpoint.split("//")[1], "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
                   "x-amz-date": now}
        names = ";".join(sorted(headers))
        canonical = "\n".join([method, path, query] + [f"{k}:{headers[k]}" for k in sorted(headers)]
                              + ["", names, headers["x-amz-content-sha256"]])
        scope = f"{now[:8]}/{REGION}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + self.secret_key).encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), "sha256").digest()
        signature = hmac.new(key, text.encode(), "sha256").hexdigest()
        headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope},SignedHeaders={names},"
                                    f"Signature={signature}")
        call = urllib.request.Request(self.endpoint + path + ("?" + query if query else ""), headers=headers, method=method,
                                      data=body if method in ("PUT", "POST") else None)
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(call, timeout=30) as reply:
                return reply.status, reply.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def unfinished_uploads(self, bucket):
        status, body = self.request("GET", "/" + bucket, "uploads=")
        if status != 200:
            raise RuntimeError(f"{self.name}: cannot list uploads: {status} {body[:300]}")
        return body.count(b"<UploadId>")


class Ceph(Server):
    name = "ceph_radosgw"

    def __init__(self, folder):
        super().__init__(folder)
        v2, v1, port = free_ports(3)
        self.endpoint = f"http://127.0.0.1:{port}"
        self.virtual_host_endpoint = f"http://localhost:{port}"
        self.access_key, self.secret_key = "RKTESTKEY", "rk-test-secret-of-ceph"
        monitor = f"[v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]"
        cluster = str(uuid.uuid4())
        for name in ("mon", "osd", "run", "log", "rgw"):
            (self.folder / name).mkdir()
        (self.folder / "ceph.conf").write_text(f"""[global]
fsid = {cluster}
mon host = {monitor}
mon initial members = a
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
public addr = 127.0.0.1
cluster addr = 127.0.0.1
run dir = {self.folder}/run
admin socket = {self.folder}/run/$name.$pid.asok
pid file = {self.folder}/run/$name.pid
log file = {self.folder}/log/$name.log
crash dir = {self.folder}/crash
mon data = {self.folder}/mon
osd data = {self.folder}/osd
rgw data = {self.folder}/rgw
osd objectstore = memstore
memstore device bytes = 4294967296
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw dns name = localhost
rgw thread pool size = 16
rgw enable gc threads = false
rgw enable lc threads = false
""")
        self.base = ["-c", str(self.folder / "ceph.conf")]
        self.cluster, self.monitor = cluster, monitor

    def tool(self, *command):
        done = subprocess.run(command, capture_output=True, text=True, timeout=START_LIMIT_S, cwd=self.folder)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}\n{self.logs()}")

    def start(self, bucket):
        osd = str(uuid.uuid4())
        self.tool("monmaptool", "--create", "--fsid", self.cluster, "--addv", "a", self.monitor, "monmap")
        self.tool("ceph-mon", *self.base, "--mkfs", "-i", "a", "--monmap", "monmap")
        self.spawn("mon", ["ceph-mon", *self.base, "-i", "a", "-f"])
        self.tool("ceph", *self.base, "osd", "new", osd)
        self.tool("ceph-osd", *self.base, "-i", "0", "--mkfs", "--osd-uuid", osd)
        self.spawn("osd", ["ceph-osd", *self.base, "-i", "0", "-f"])
        self.tool("radosgw-admin", *self.base, "user", "create", "--uid=rk", "--display-name=rk",
                  f"--access-key={self.access_key}", f"--secret-key={self.secret_key}")
        self.spawn("rgw", ["radosgw", *self.base, "-n", "client.rgw", "-f"])
        self.await_bucket(bucket)


class Swift(Server):
    name = "swift_s3api"
    PYTHON = "/usr/bin/python3"  # the one Debian's packages are for

    def __init__(self, folder):
        super().__init__(folder)
        self.access_key, self.secret_key = "test:tester", "rk-test-secret-of-swift"
        kinds = ("object", "container", "account", "proxy")
        self.ports = dict(zip(kinds, free_ports(4)))
        self.endpoint = f"http://127.0.0.1:{self.ports['proxy']}"
        (self.folder / "devices/d1").mkdir(parents=True)
        (self.folder / "swift.conf").write_text(
            "[swift-hash]\nswift_hash_path_suffix = s\nswift_hash_path_prefix = p\n"
            "[storage-policy:0]\nname = default\ndefault = yes\n")
        common = f"bind_ip = 127.0.0.1\nuser = {self.user()}\nswift_dir = {self.folder}\nworkers = 0\n"
        for kind in kinds[:3]:
            (self.folder / f"{kind}.conf").write_text(
                f"[DEFAULT]\n{common}bind_port = {self.ports[kind]}\ndevices = {self.folder}/devices\n"
                f"mount_check = false\ndisable_fallocate = true\n[pipeline:main]\npipeline = {kind}-server\n"
                f"[app:{kind}-server]\nuse = egg:swift#{kind}\n")
        filters = ("catch_errors", "proxy_logging", "bulk", "slo", "dlo")
        (self.folder / "proxy.conf").write_text(
            f"[DEFAULT]\n{common}bind_port = {self.ports['proxy']}\n[pipeline:main]\n"
            "pipeline = catch_errors proxy_logging cache bulk s3api tempauth slo dlo proxy-server\n"
            "[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\n"
            # No memcached: every request asks the backends.
            "[filter:cache]\nuse = egg:swift#memcache\nmemcache_servers = 127.0.0.1:1\n"
            f"[filter:tempauth]\nuse = egg:swift#tempauth\nuser_test_tester = {self.secret_key} .admin\n"
            f"[filter:s3api]\nuse = egg:swift#s3api\nlocation = {REGION}\n"
            + "".join(f"[filter:{name}]\nuse = egg:swift#{name}\n" for name in filters))

    @staticmethod
    def user():
        import pwd
        return pwd.getpwuid(os.getuid()).pw_name

    def start(self, bucket):
        rings = "".join(
            f"b = RingBuilder(1, 1, 0)\n"
            f"b.add_dev(dict(id=0, region=1, zone=1, weight=1.0, ip='127.0.0.1', port={self.ports[kind]}, device='d1', "
            f"replication_ip='127.0.0.1', replication_port={self.ports[kind]}, meta=''))\n"
            f"b.rebalance()\nb.get_ring().save('{self.folder}/{kind}.ring.gz')\n"
            for kind in ("object", "container", "account"))
        subprocess.run([self.PYTHON, "-c", "from swift.common.ring import RingBuilder\n" + rings], check=True,
                       timeout=START_LIMIT_S)
        for kind in ("object", "container", "account", "proxy"):
            program = ("import sys\nfrom swift.common.wsgi import run_wsgi\nextra = {}\n"
                       + ("from swift.obj import server\nextra['global_conf_callback'] = server.global_conf_callback\n"
                          if kind == "object" else "")
                       + f"sys.exit(run_wsgi(sys.argv[1], '{kind}-server', **extra))\n")
            self.spawn(kind, [self.PYTHON, "-c", program, str(self.folder / f"{kind}.conf")])
        self.await_bucket(bucket)
