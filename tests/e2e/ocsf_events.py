#!/usr/bin/python3
"""Every class of events that Bulkhead tells, against what OCSF 1.5.0 demands; and that the reader
finds what is wrong with an event. Real logs are read the same way at the end of every e2e test."""
import copy
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import ocsf
import testing
from testing import BUILD, check, equal, part, run

MAKERS = ("unit_test_event_ocsf", "unit_test_event_ocsf_trace")


def made():
    """Events as the unit tests of the builders make them."""
    path = os.path.join(testing.tempdir(), "events")
    for maker in MAKERS:
        run(os.path.join(BUILD, "tests", maker), env={**os.environ, "BH_OCSF_DUMP": path})
    with open(path, encoding="utf-8") as f:
        events = [json.loads(line) for line in f]
    return [e for e in events if e["time"] > 10 ** 12]  # others are about filters


def put(path, value):
    """An event with one thing changed; None: taken away."""
    def change(e):
        *way, last = path.split("/")
        for key in way:
            e = e[int(key) if key.isdigit() else key]
        if value is None:
            del e[last]
        else:
            e[last] = value
    return change


# For each: an event of the class, changed, must be refused with these words.
WRONG = (
    (1007, put("class_uid", 9999), "is not told by Bulkhead"),
    (1007, put("category_uid", 4), "category_uid: 4 of class 1007"),
    (1007, put("type_uid", 100702), "type_uid: 100702"),
    (1007, put("activity_id", 77), "is no activity"),
    (1007, put("activity_name", "Start"), "activity_name: 1 is 'Launch'"),
    (1007, put("class_name", "Process"), "class_name: 'Process'"),
    (1007, put("process", None), "process: is required"),
    (1007, put("process/pid", "42"), "process.pid: '42' cannot be"),
    (1007, put("process/file/hashes", [{"algorithm_id": 3, "value": "abc"}]), "'abc' cannot be"),
    (1007, put("process/file/hashes", [{"algorithm_id": 3, "algorithm": "SHA-1",
                                        "value": "0" * 64}]), "is 'SHA-256', not 'SHA-1'"),
    (1007, put("process/colour", "red"), "process.colour: is not in the schema"),
    (1007, put("colour", "red"), "colour: is not in the schema"),
    (1007, put("severity", "High"), "severity_id: 1 is 'Informational', not 'High'"),
    (1007, put("severity_id", True), "is no value"),
    (1007, put("time", 1700000000), "time: 1700000000 cannot be"),
    (1007, put("metadata/version", "1.0.0"), "metadata.version"),
    (1007, put("metadata/product", None), "metadata.product: is required"),
    (1007, put("metadata/profiles", ["host", "container"]), "action_id: is not in the schema"),
    (1007, put("metadata/profiles", ["security_control", "host"]), "container: is not in the"),
    (1007, put("disposition_id", 1234), "disposition_id: 1234"),
    (1007, put("message", "a\nb"), "message"),
    (1007, put("unmapped/bulkhead/pod", "other/web"), "unmapped.bulkhead: pod 'other/web'"),
    (1007, put("unmapped/bulkhead", None), "unmapped.bulkhead: is missing"),
    (1001, put("file/type_id", None), "file.type_id: is required"),
    (1001, put("actor", None), "actor: is required"),
    (1002, put("driver/file/name", ""), "driver.file.name: '' cannot be"),
    (1003, put("kernel/type_id", 9), "kernel.type_id: 9"),
    (1005, put("module/load_type", "Standard"), "load_type_id: 4 is 'Mapped'"),
    (1006, put("job/file", None), "job.file: is required"),
    (2003, put("compliance/standards", None), "compliance.standards: is required"),
    (2004, put("finding_info/uid", None), "finding_info.uid: is required"),
    (2004, put("finding_info/attacks", [{"version": "14.1"}]), "attacks.0.tactic: is required"),
    (2004, put("finding_info/attacks/0/technique/uid", "1204"), "technique.uid"),
    (2004, put("finding_info/attacks/0/technique/uid", "T1059.004"), "technique.uid"),
    (2004, put("finding_info/attacks/0/tactic/name", None), "tactic.name: is required"),
    (2004, put("finding_info/first_seen_time", 1700000000), "first_seen_time: 1700000000"),
    (2004, put("finding_info/analytic/type", "Behavioral"), "type_id: 1 is 'Rule'"),
    (2004, put("metadata/correlation_uid", None), "metadata.correlation_uid: is not told"),
    (2004, put("is_alert", 1), "is_alert: 1 cannot be"),
    (2004, put("policy", None), "policy: is not told beside a rule's file"),
    (2004, put("policy/desc", "narrow.yaml"), "policy.desc: is no file:line"),
    (2004, put("unmapped/bulkhead/response", "kill"), "answer: is not told"),
    (2004, put("evidences/0/process/user", None), "process.user: is not told"),
    (2004, put("evidences", {}), "evidences: is not a list"),
    (2004, put("status", "Success"), "status_id: 1 is 'New'"),
    (4001, put("connection_info/direction_id", None), "direction_id: is required"),
    (4001, put("dst_endpoint/ip", "10.0.0.256"), "dst_endpoint.ip"),
    (4001, put("dst_endpoint/port", 70000), "dst_endpoint.port"),
    (4003, put("query/hostname", None), "query.hostname: is required"),
    (5002, put("device", None), "device: is required"),
    (6002, put("app/vendor_name", None), "app.vendor_name: is required"),
    (7003, put("command_uid", None), "command_uid: is required"),
    (7004, put("connection_info", None), "connection_info: is required"),
    (7004, put("activity_id", 6), "is no activity"),
    (7004, put("disposition", "Blocked"), "disposition_id: 4 is 'Isolated'"),
    (7003, put("process/pid", None), "process.pid: is not told"),
    (4001, put("status", None), "status: is not told"),
    (1003, put("unmapped/bulkhead/processProvenance", None), "processProvenance: is not told"),
)


def main():
    events = made()
    with part("what the builders make"):
        seen = {}
        for e in events:
            seen.setdefault(e["class_uid"], []).extend(ocsf.problems(e))
        equal(sorted(seen), sorted(ocsf.CLASSES), f"{len(events)} events of every class")
        for uid, found in sorted(seen.items()):
            equal(list(dict.fromkeys(found)), [], f"{uid} {ocsf.CLASSES[uid].caption}")
    with part("what is wrong is found"):
        for uid, change, words in WRONG:
            e = next(e for e in events if e["class_uid"] == uid and
                     not (uid == 4001 and "port" not in e["dst_endpoint"]))
            e = copy.deepcopy(e)
            change(e)
            found = ocsf.problems(e)
            check(any(words in p for p in found), f"{uid}: {words}", found)


testing.start()
testing.main(main)
