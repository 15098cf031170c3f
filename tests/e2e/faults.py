#!/usr/bin/env python3
"""Runs a push or a pull through tests/e2e/fault-proxy with every scenario at every request index.

    faults.py push|pull PROXY-PORT REGISTRY LOGS EXPECTED-DIGEST WORK COMMAND…

COMMAND is run by sh with $HOST, $REPO and $DIR (a new directory), so many at once. What it must end
in is in SCENARIOS. After each, the registry (push) or $DIR/blobs/sha256 (pull) is compared with
the digests: whatever was left there must be right, and a success must have left the whole image.
Prints a line for each failure, then "N passed, M failed" and a table.
"""
import concurrent.futures
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

# Seconds of one run: a server that stalls for ever is waited for once an attempt.
LIMIT = 15 + 5 * int(os.environ.get("SBUILD_STALL_SECONDS", "1"))
ACCEPT = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"

# What a run must end in when it met the fault: "success", "fails" (5 or 6), or "either"; and which
# requests can meet it: all, those whose answer has a body, that bring a body, that read one.
SCENARIOS = {
    "stall": ("success", "all"), "drop": ("success", "all"), "drop-early": ("success", "all"),
    "reset": ("success", "all"), "busy": ("success", "all"), "500": ("success", "all"),
    "502": ("success", "all"), "503": ("success", "all"), "expired": ("success", "all"),
    "lost": ("success", "all"), "lost-kept": ("success", "upload"),
    "upload-drop": ("success", "brings"), "upload-reset": ("success", "brings"),
    "upload-cut": ("success", "brings"), "truncate": ("success", "body"),
    "truncate-whole": ("success", "body"), "stall-body": ("success", "body"), "garbage": ("either", "all"),
    "redirect": ("either", "all"), "redirect-loop": ("fails", "all"),
    "redirect-file": ("fails", "all"), "redirect-metadata": ("fails", "all"),
    "corrupt": ("either", "body"), "reorder": ("either", "body"), "short": ("either", "body"),
    "long": ("either", "body"), "encoded": ("either", "body"), "wrong-digest": ("either", "all"),
    "wrong-length": ("either", "all"), "endless": ("either", "reads"), "huge": ("either", "reads"),
}
# From a request on, for ever: a clear error, and soon.
FOREVER = ["stall", "drop", "reset", "busy", "500", "garbage", "truncate", "corrupt", "lost"]


def get(url):
    request = urllib.request.Request(url, headers={"Accept": ACCEPT})
    with urllib.request.urlopen(request) as answer:
        return answer.read()


class Sweep:
    def __init__(self, kind, port, registry, logs, digest, work, command):
        self.kind, self.host, self.registry = kind, f"127.0.0.1:{port}", registry
        self.logs, self.digest, self.work, self.command = logs, digest, work, command
        self.reference = None  # manifest of a run without faults
        self.blobs = []

    # ---- one run

    def run(self, scenario, index):
        repository = f"fault/{self.kind}/{scenario}/{index}"
        directory = os.path.join(self.work, f"{self.kind}.{scenario}.{index}")
        os.makedirs(directory)
        env = dict(os.environ, HOST=self.host, REPO=repository, DIR=directory)
        began = time.time()
        try:
            done = subprocess.run(["sh", "-c", self.command], env=env, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT, check=False)
            status, said = done.returncode, done.stdout.decode(errors="replace")
        except subprocess.TimeoutExpired as e:
            status, said = "time out", (e.stdout or b"").decode(errors="replace")
        took = time.time() - began
        why = self.judge(scenario, index, status, said, repository, directory)
        shutil.rmtree(directory, ignore_errors=True)
        return scenario, index, status, took, why, said

    def judge(self, scenario, index, status, said, repository, directory):
        if status not in (0, 5, 6):
            return f"status {status}"
        if status != 0 and self.host not in said:
            return "the message does not name the registry"
        wanted = SCENARIOS.get(scenario, ("success",))[0]
        if str(index).endswith("x"):
            wanted = "either"
        met = self.met(scenario, index)
        if wanted == "fails" and self.only_head(scenario, index):
            wanted = "success"  # GET says the same, and was not redirected
        if met and wanted == "success" and status != 0:
            return f"status {status} instead of success"
        if met and wanted == "fails" and status == 0:
            return "success, where it had to fail"
        if not met and status != 0:
            return f"status {status} without a fault"
        wrong = self.pushed(repository, status) if self.kind == "push" else self.pulled(directory, status)
        return wrong or self.sent_twice(scenario, index)

    def lines(self, scenario, index):
        path = os.path.join(self.logs, f"{self.kind}.{scenario}.{index}")
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as log:
            return [line.split() for line in log]

    def met(self, scenario, index):
        return any(line[1] == "fault" for line in self.lines(scenario, index))

    def only_head(self, scenario, index):
        for _ in range(20):  # a request is written down once it is answered
            lines = self.lines(scenario, index)
            hit = {line[0] for line in lines if line[1] == "fault"}
            if hit <= {line[0] for line in lines if line[1] != "fault"}:
                break
            time.sleep(0.1)
        return {line[1] for line in lines if line[0] in hit} == {"fault", "HEAD"}

    def sent_twice(self, scenario, index):
        """A resumed upload sends one chunk again at most. (A redirect is answered after the body.)"""
        if self.kind != "push" or str(index).endswith("x") or scenario.startswith("redirect"):
            return None
        lines = self.lines(scenario, index)
        sent = sum(int(line[4]) for line in lines if line[1] in ("PATCH", "PUT"))
        lost = any(line[1] == "GET" and "/uploads/" in line[2] and line[3] == "404" for line in lines)
        if lost and scenario not in ("upload-cut", "lost-kept"):
            return None  # the registry has forgotten the session: see fault-proxy
        limit = sum(b["size"] for b in self.blobs) + len(self.reference) + int(os.environ["SBUILD_UPLOAD_CHUNK"])
        return f"{sent} bytes were sent for {limit} with one chunk twice" if sent > limit else None

    # ---- what it left

    def pushed(self, repository, status):
        base = f"http://{self.registry}/v2/{repository}"
        try:
            manifest = get(f"{base}/manifests/v1")
        except urllib.error.HTTPError as e:
            return None if e.code == 404 and status != 0 else f"the registry answers {e.code} for the tag"
        if "sha256:" + hashlib.sha256(manifest).hexdigest() != self.digest:
            return "another image is tagged"
        for blob in self.blobs:
            bytes_ = get(f"{base}/blobs/{blob['digest']}")
            if "sha256:" + hashlib.sha256(bytes_).hexdigest() != blob["digest"]:
                return f"the blob {blob['digest']} is wrong"
        return None

    def pulled(self, directory, status):
        store = os.path.join(directory, "blobs/sha256")
        names = os.listdir(store) if os.path.isdir(store) else []
        for name in names:
            with open(os.path.join(store, name), "rb") as blob:
                if hashlib.sha256(blob.read()).hexdigest() != name:
                    return f"the blob {name} is wrong"
        wanted = [self.digest] + [b["digest"] for b in self.blobs]
        missing = [d for d in wanted if d[7:] not in names]
        return f"{missing} missing after success" if status == 0 and missing else None

    # ---- all of them

    def prepare(self):
        self.reference = get(f"http://{self.registry}/v2/image/manifests/v1")
        manifest = json.loads(self.reference)
        self.blobs = [manifest["config"], *manifest["layers"]]
        outcome = self.run("none", 0)
        if outcome[4] or outcome[2] != 0:
            print(f"{self.kind} without a fault: {outcome[4]}: {outcome[5]}")
            sys.exit(1)
        return sorted(self.lines("none", 0), key=lambda line: int(line[0]))

    def all(self, only):
        requests = self.prepare()
        can = {
            "all": lambda line: True,
            "body": lambda line: line[5] != "0",
            "brings": lambda line: line[4] not in "01",
            "reads": lambda line: line[1] == "GET",
            "upload": lambda line: line[1] in ("PATCH", "PUT"),
        }
        count = len(requests)
        jobs = [(s, i) for s, (_, which) in SCENARIOS.items() for i in range(count) if can[which](requests[i])]
        jobs += [(s, f"{i}x") for s in FOREVER for i in (0, count // 2, count - 1)]
        if only:
            jobs = [(s, i) for s, i in jobs if s == only[0] and (len(only) < 2 or str(i) == only[1])]
        # Those that wait go first, beside those that work.
        slow = ("stall", "stall-body", "busy")
        jobs.sort(key=lambda job: (job[0] not in slow, "x" not in str(job[1])))
        with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("FAULT_JOBS", "12"))) as pool:
            results = list(pool.map(lambda job: self.run(*job), jobs))
        return count, results


def main():
    kind, port, registry, logs, digest, work, command, *only = sys.argv[1:]
    sweep = Sweep(kind, port, registry, logs, digest, work, command)
    count, results = sweep.all(only)
    failed = [r for r in results if r[4]]
    for scenario, index, status, took, why, said in failed:
        print(f"{kind} {scenario} at {index}: {why} ({took:.1f} s)\n    " + said.strip().replace("\n", "\n    "))
    table = {}
    for scenario, index, status, took, why, said in results:
        name = scenario + (" for ever" if str(index).endswith("x") else "")
        row = table.setdefault(name, {0: 0, 5: 0, 6: 0, "slowest": 0, "missed": 0})
        row[status] = row.get(status, 0) + 1
        row["slowest"] = max(row["slowest"], took)
        row["missed"] += not sweep.met(scenario, index)
    for scenario, row in table.items():
        print(f"  {kind} {scenario}: success {row[0]}, status 5 {row[5]}, status 6 {row[6]}, slowest {row['slowest']:.1f} s"
              + (f", not met by {row['missed']}" if row["missed"] else ""))
    print(f"{kind}: {count} requests without a fault")
    print(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
