"""What OCSF 1.5.0 says about the classes that Bulkhead tells, as tables, and a strict reader of
events: what is required, what there may be, what each number means and what it is called.

Written from the public schema (schema.ocsf.io/1.5.0), for the attributes that we use: one that is
not in these tables is an error, so that nothing new goes out unlooked at. What the schema has no
place for belongs into `unmapped`; only `chain`, the log's own, stands beside it (event/chain.h).
"""
import ipaddress
import json
import os
import re

VERSION = "1.5.0"

# ---- types ----


def text(v):
    return isinstance(v, str) and v != "" and not re.search(r"[\x00-\x1f\x7f]", v)


def number(v):
    return isinstance(v, int) and not isinstance(v, bool)


def time(v):
    """Milliseconds since 1970: not seconds, not nanoseconds."""
    return number(v) and 10 ** 12 < v < 10 ** 13


def address(v):
    try:
        ipaddress.ip_address(v)
    except ValueError:
        return False
    return True


def port(v):
    return number(v) and 0 < v < 65536


def digest(v):
    return isinstance(v, str) and re.fullmatch("[0-9a-f]{64}", v) is not None


def truth(v):
    return isinstance(v, bool)


def anything(_v):
    return True


def one_of(*values):
    return lambda v: v in values


def pattern(regex):
    return lambda v: isinstance(v, str) and re.fullmatch(regex, v) is not None


class Enum:
    """A number, and the attribute beside it that has its caption."""

    def __init__(self, sibling, **captions):
        self.sibling = sibling
        self.captions = {int(k[1:]): v for k, v in captions.items()}


class Obj:
    """required: attributes that must be there; any: one of them must be."""

    def __init__(self, required="", any_of="", **attributes):
        self.required, self.any_of = required.split(), any_of.split()
        self.attributes = attributes


def many(kind):
    return [kind]


STATUS = Enum("status", _0="Unknown", _1="Success", _2="Failure", _99="Other")
REMEDIATION_STATUS = Enum("status", _0="Unknown", _1="Success", _2="Failure", _3="Does Not Exist",
                          _4="Partial", _5="Unsupported", _6="Error", _99="Other")
FINDING_STATUS = Enum("status", _0="Unknown", _1="New", _2="In Progress", _3="Suppressed",
                      _4="Resolved", _99="Other")
SEVERITY = Enum("severity", _0="Unknown", _1="Informational", _2="Low", _3="Medium", _4="High",
                _5="Critical", _6="Fatal", _99="Other")

FINGERPRINT = Obj("algorithm_id value", algorithm_id=Enum(
    "algorithm", _1="MD5", _2="SHA-1", _3="SHA-256", _4="SHA-512"), algorithm=text, value=digest)
FILE = Obj("name type_id", name=text, path=text, hashes=many(FINGERPRINT), uid=text,
           type_id=Enum("type", _0="Unknown", _1="Regular File", _2="Folder",
                        _3="Character Device", _4="Block Device", _5="Local Socket",
                        _6="Named Pipe", _7="Symbolic Link", _99="Other"), type=text)
USER = Obj("", "account name uid", uid=text, name=text)
IMAGE = Obj("uid", uid=text, name=text, tag=text)
CONTAINER = Obj("", "name uid", name=text, uid=text, pod_uuid=text, image=IMAGE,
                orchestrator=text, runtime=text, hash=FINGERPRINT)
PROCESS = Obj("", "pid uid", pid=number, uid=text, name=text, cmd_line=text, created_time=time,
              file=FILE, user=USER, container=CONTAINER, working_directory=text)
PROCESS.attributes["parent_process"] = PROCESS
ACTOR = Obj("", "process user invoked_by session app_name app_uid", process=PROCESS, user=USER,
            app_name=text, app_uid=text)
DEVICE = Obj("type_id", "hostname ip uid name instance_uid interface_uid interface_name",
             hostname=text, name=text, uid=text, ip=address,
             type_id=Enum("type", _0="Unknown", _1="Server", _2="Desktop", _6="Virtual", _99="Other"),
             type=text)
PRODUCT = Obj("vendor_name", "name uid", name=text, vendor_name=text, version=text)
METADATA = Obj("product version", version=one_of(VERSION), product=PRODUCT, uid=text,
               sequence=number, log_name=text, correlation_uid=text,
               profiles=many(one_of("host", "container", "security_control")))
ENDPOINT = Obj("", "ip uid name hostname svc_name instance_uid interface_uid interface_name",
               ip=address, port=port, name=text, uid=text, hostname=text)
# A resolver that is known by its port only has no name; src_endpoint then satisfies the class.
SERVER = Obj("", "ip uid name hostname svc_name instance_uid port", ip=address, port=port, name=text)
CONNECTION = Obj("direction_id", direction_id=Enum(
    "direction", _0="Unknown", _1="Inbound", _2="Outbound", _3="Lateral", _99=None),
    direction=text, protocol_num=number, protocol_name=text, protocol_ver_id=Enum(
        "protocol_ver", _0="Unknown", _4="Internet Protocol version 4 (IPv4)",
        _6="Internet Protocol version 6 (IPv6)", _99="Other"), protocol_ver=text,
    boundary_id=Enum("boundary", _0="Unknown", _1="Localhost", _2="Internal", _3="External"),
    boundary=text, uid=text)
TRAFFIC = Obj("", "bytes packets", bytes=number, packets=number, bytes_in=number, bytes_out=number,
              packets_in=number, packets_out=number)
RULE = Obj("", "name uid", name=text, uid=text, desc=text, category=text, type=text)
POLICY = Obj("", "name uid", name=text, uid=text, desc=text, version=text, group=text)
# What the matrix calls them is required here, though the schema would do without.
TACTIC = Obj("name uid", uid=pattern(r"TA\d{4}"), name=text)
TECHNIQUE = Obj("name uid", uid=pattern(r"T\d{4}"), name=text)
SUB_TECHNIQUE = Obj("name uid", uid=pattern(r"T\d{4}\.\d{3}"), name=text)
ATTACK = Obj("tactic technique", version=pattern(r"\d+(\.\d+)?"), tactic=TACTIC,
             technique=TECHNIQUE, sub_technique=SUB_TECHNIQUE)
ANALYTIC = Obj("type_id name", name=text, uid=text, category=text, type_id=Enum(
    "type", _0="Unknown", _1="Rule", _2="Behavioral", _3="Statistical", _4="Learning (ML/DL)"),
    type=text)
FINDING_INFO = Obj("uid title", uid=text, title=text, desc=text, attacks=many(ATTACK),
                   first_seen_time=time, last_seen_time=time, created_time=time,
                   analytic=ANALYTIC, types=many(text))
QUERY = Obj("hostname", hostname=text, type=text, opcode_id=number, **{"class": text})
EVIDENCE = Obj("", "actor api connection_info data database databucket device dst_endpoint email "
               "file process query src_endpoint url user", process=PROCESS, file=FILE,
               query=QUERY, actor=ACTOR, connection_info=CONNECTION, src_endpoint=ENDPOINT,
               dst_endpoint=ENDPOINT, data=anything)
COUNTERMEASURE = Obj("", "d3f_tactic d3f_technique", version=text, d3f_technique=Obj(
    "", "name uid", uid=pattern("D3-[A-Z]+"), name=text))
COMPLIANCE = Obj("standards", standards=many(text), control=text, requirements=many(text),
                 status_id=Enum("status", _0="Unknown", _1="Pass", _2="Warning", _3="Fail",
                                _99="Other"), status=text, status_detail=text)
OBSERVATION = Obj("", "count value", count=number, value=text)
OBSERVED = Obj("observation_parameter observations", observation_parameter=text,
               observation_type=text, observed_pattern=text, observations=many(OBSERVATION))
ANOMALY = Obj("anomalies analysis_targets", anomalies=many(OBSERVED), baselines=many(OBSERVED),
              analysis_targets=many(Obj("name", name=text, type=text)))

# ---- classes ----

CATEGORIES = {1: "System Activity", 2: "Findings", 3: "Identity & Access Management",
              4: "Network Activity", 5: "Discovery", 6: "Application Activity", 7: "Remediation"}
BASE = Obj("activity_id category_uid class_uid metadata severity_id time type_uid",
           activity_id=anything, activity_name=text, category_uid=number, category_name=text,
           class_uid=number, class_name=text, metadata=METADATA, severity_id=SEVERITY,
           severity=text, time=time, type_uid=number, message=text, status_id=STATUS, status=text,
           status_detail=text, status_code=text, count=number, start_time=time, end_time=time,
           unmapped=anything, chain=anything)
PROFILES = {
    "host": {"actor": ACTOR, "device": DEVICE},
    "container": {"container": CONTAINER},
    "security_control": {
        "action_id": Enum("action", _0="Unknown", _1="Allowed", _2="Denied", _3="Observed",
                          _4="Modified", _99="Other"), "action": text,
        "disposition_id": Enum("disposition", _0="Unknown", _1="Allowed", _2="Blocked",
                               _3="Quarantined", _4="Isolated", _6="Dropped", _9="Restored",
                               _15="Detected", _16="No Action", _19="Alert", _99="Other"),
        "disposition": text, "firewall_rule": RULE, "policy": POLICY, "attacks": many(ATTACK),
        "is_alert": truth},
}


class Class(Obj):
    def __init__(self, caption, activities, required="", any_of="", **attributes):
        super().__init__(required, any_of, **attributes)
        self.caption = caption
        self.activities = {0: "Unknown", **activities}


REMEDIATIONS = {1: "Isolate", 2: "Evict", 3: "Restore", 4: "Harden", 5: "Detect"}
SYSTEM = "actor device"
FINDINGS = {1: "Create", 2: "Update", 3: "Close"}
CLASSES = {
    1001: Class("File System Activity", {
        1: "Create", 2: "Read", 3: "Update", 4: "Delete", 5: "Rename", 6: "Set Attributes",
        7: "Set Security", 8: "Get Attributes", 9: "Get Security", 10: "Encrypt", 11: "Decrypt",
        12: "Mount", 13: "Unmount", 14: "Open"}, SYSTEM + " file", file=FILE, file_result=FILE),
    1002: Class("Kernel Extension Activity", {1: "Load", 2: "Unload"}, SYSTEM + " driver",
                driver=Obj("file", file=FILE)),
    1003: Class("Kernel Activity", {1: "Create", 2: "Read", 3: "Delete", 4: "Invoke"},
                SYSTEM + " kernel", kernel=Obj("name type_id", name=text, path=text, type_id=Enum(
                    "type", _0="Unknown", _1="Shared Mutex", _2="System Call", _99="Other"),
                    type=text)),
    1005: Class("Module Activity", {1: "Load", 2: "Unload", 3: "Invoke"}, SYSTEM + " module",
                module=Obj("load_type_id", file=FILE, type=text, load_type=text, load_type_id=Enum(
                    "load_type", _0="Unknown", _1="Standard", _2="Non Standard", _3="ShellCode",
                    _4="Mapped", _5="NonStandard Backed", _99="Other"))),
    1006: Class("Scheduled Job Activity", {1: "Create", 2: "Update", 3: "Delete", 4: "Enable",
                                           5: "Disable", 6: "Start"}, "device job",
                job=Obj("file name", name=text, file=FILE, cmd_line=text, user=USER)),
    1007: Class("Process Activity", {1: "Launch", 2: "Terminate", 3: "Open", 4: "Inject",
                                     5: "Set User ID"}, SYSTEM + " process", process=PROCESS,
                exit_code=number),
    2003: Class("Compliance Finding", FINDINGS, "finding_info compliance",
                finding_info=FINDING_INFO, compliance=COMPLIANCE, status_id=FINDING_STATUS,
                evidences=many(EVIDENCE), is_alert=truth),
    2004: Class("Detection Finding", FINDINGS, "finding_info", finding_info=FINDING_INFO,
                evidences=many(EVIDENCE), status_id=FINDING_STATUS, is_alert=truth,
                anomaly_analyses=many(ANOMALY), confidence_score=number),
    4001: Class("Network Activity", {1: "Open", 2: "Close", 3: "Reset", 4: "Fail", 5: "Refuse",
                                     6: "Traffic", 7: "Listen"}, "", "src_endpoint dst_endpoint",
                src_endpoint=ENDPOINT, dst_endpoint=ENDPOINT, connection_info=CONNECTION,
                traffic=TRAFFIC, app_name=text),
    4003: Class("DNS Activity", {1: "Query", 2: "Response", 6: "Traffic"}, "",
                "src_endpoint dst_endpoint", src_endpoint=ENDPOINT, dst_endpoint=SERVER,
                connection_info=CONNECTION, query=QUERY, query_time=time, response_time=time,
                rcode=text, rcode_id=Enum(
                    "rcode", _0="NoError", _1="FormError", _2="ServError", _3="NXDomain",
                    _4="NotImp", _5="Refused", _6="YXDomain", _7="YXRRSet", _8="NXRRSet",
                    _9="NotAuth", _10="NotZone", _99=None)),
    5002: Class("Device Config State", {1: "Log", 2: "Collect"}, "device"),
    6002: Class("Application Lifecycle", {1: "Install", 2: "Remove", 3: "Start", 4: "Stop",
                                          5: "Restart", 6: "Enable", 7: "Disable", 8: "Update"},
                "app", app=PRODUCT),
    7003: Class("Process Remediation Activity", REMEDIATIONS, "command_uid process",
                command_uid=text, countermeasures=many(COUNTERMEASURE), process=PROCESS,
                status_id=REMEDIATION_STATUS),
    7004: Class("Network Remediation Activity", REMEDIATIONS, "command_uid connection_info",
                command_uid=text, countermeasures=many(COUNTERMEASURE),
                connection_info=CONNECTION, status_id=REMEDIATION_STATUS),
}

# What the schema recommends or leaves open, and we can always tell. An answerer asks of each event:
# which pod, who did it, what was it made of, which rule, what became of it. A dot goes deeper;
# "a|b" is either.
ALWAYS = ("message severity activity_name class_name category_name status_id status "
          "metadata.uid metadata.sequence metadata.log_name metadata.profiles device.hostname "
          "actor|process|finding_info|src_endpoint|dst_endpoint|app").split()
SECURITY = "action_id action disposition_id disposition"
POD = "container.name container.orchestrator unmapped.bulkhead.pod unmapped.bulkhead.namespace"
PROVENANCE = ("unmapped.bulkhead.provenance unmapped.bulkhead.processProvenance "
              "actor.process.pid actor.process.user.uid")
ALSO = {
    1001: f"{SECURITY} {PROVENANCE} {POD}",
    1002: f"{SECURITY} {PROVENANCE} {POD}",
    1003: f"{SECURITY} {PROVENANCE} {POD}",
    1005: f"{SECURITY} {PROVENANCE} {POD}",
    1006: f"{SECURITY} {PROVENANCE} {POD}",
    1007: f"{POD} process.pid process.user.uid unmapped.bulkhead.provenance",
    2003: "finding_info.desc compliance.status_id compliance.status compliance.control",
    2004: f"{SECURITY} {POD} finding_info.desc finding_info.analytic.type_id is_alert count "
          "finding_info.first_seen_time finding_info.last_seen_time evidences "
          "metadata.correlation_uid unmapped.bulkhead.detector unmapped.bulkhead.response",
    4001: f"{SECURITY} connection_info traffic unmapped.bulkhead.verdict unmapped.bulkhead.reason",
    4003: "connection_info query.type query.class",
    5002: "unmapped.bulkhead.change unmapped.bulkhead.object",
    7003: f"{SECURITY} {POD} countermeasures metadata.correlation_uid process.pid "
          "unmapped.bulkhead.reason",
    7004: f"{SECURITY} countermeasures metadata.correlation_uid actor unmapped.bulkhead.reason "
          "unmapped.bulkhead.pod unmapped.bulkhead.namespace",
}

# ---- reading ----


def check_enum(kind, key, obj, where, out):
    value, caption = obj[key], obj.get(kind.sibling)
    if not number(value) or value not in kind.captions:
        out.append(f"{where}.{key}: {value!r} is no value of it")
    elif caption is not None and kind.captions[value] is not None and \
            kind.captions[value] != caption and value != 99:
        out.append(f"{where}.{key}: {value} is {kind.captions[value]!r}, not {caption!r}")
    elif value == 99 and not caption:
        out.append(f"{where}.{key}: Other without a word in {kind.sibling}")


def check_value(kind, key, obj, where, out):
    value = obj[key]
    if isinstance(kind, Enum):
        check_enum(kind, key, obj, where, out)
    elif isinstance(kind, Obj):
        check_object(kind, value, f"{where}.{key}", out)
    elif isinstance(kind, list):
        if not isinstance(value, list):
            out.append(f"{where}.{key}: is not a list")
            return
        for i, one in enumerate(value):
            check_value(kind[0], str(i), {str(i): one}, f"{where}.{key}", out)
    elif not kind(value):
        out.append(f"{where}.{key}: {value!r} cannot be")


def check_object(kind, obj, where, out, known=None):
    known = kind.attributes if known is None else known
    if not isinstance(obj, dict):
        out.append(f"{where}: is not an object")
        return
    for key in kind.required:
        if key not in obj:
            out.append(f"{where}.{key}: is required")
    if kind.any_of and not any(k in obj for k in kind.any_of):
        out.append(f"{where}: has none of {', '.join(kind.any_of)}")
    for key in obj:
        if key not in known:
            out.append(f"{where}.{key}: is not in the schema")
        else:
            check_value(known[key], key, obj, where, out)


def check_class(e, cls, out):
    uid, activity, name = e.get("class_uid"), e.get("activity_id"), e.get("activity_name")
    if e.get("category_uid") != uid // 1000:
        out.append(f"category_uid: {e.get('category_uid')} of class {uid}")
    if number(activity) and e.get("type_uid") != uid * 100 + activity:
        out.append(f"type_uid: {e.get('type_uid')} of class {uid}, activity {activity}")
    if activity == 99:
        if not text(name) or name in cls.activities.values():
            out.append(f"activity_name: {name!r} for an activity that has no number")
    elif cls.activities.get(activity) is None:
        out.append(f"activity_id: {activity!r} is no activity of {uid}")
    elif name is not None and name != cls.activities[activity]:
        out.append(f"activity_name: {activity} is {cls.activities[activity]!r}, not {name!r}")
    for key, want in (("class_name", cls.caption), ("category_name", CATEGORIES[uid // 1000])):
        if key in e and e[key] != want:
            out.append(f"{key}: {e[key]!r}, not {want!r}")


def check_ours(e, out):
    """What the schema leaves to us: each event about a pod says which, in the same two places."""
    ours = e.get("unmapped", {}).get("bulkhead")
    if not isinstance(ours, dict):
        out.append("unmapped.bulkhead: is missing")
        return
    if "container" in e:
        pod, ns = ours.get("pod"), ours.get("namespace")
        if not text(ns) or not text(pod) or not pod.startswith(ns + "/"):
            out.append(f"unmapped.bulkhead: pod {pod!r}, namespace {ns!r} beside a container")
        if e["container"].get("orchestrator") != "Kubernetes":
            out.append("container.orchestrator: is missing")


def has(e, path):
    for key in path.split("."):
        if not isinstance(e, dict) or key not in e:
            return False
        e = e[key]
    return True


def check_told(e, out):
    """What an answer to an incident needs, beyond what the schema requires."""
    for path in ALWAYS + ALSO.get(e.get("class_uid"), "").split():
        if not any(has(e, p) for p in path.split("|")):
            out.append(f"{path}: is not told")
    ours = e.get("unmapped", {}).get("bulkhead", {})
    # what was refused before it began is nobody's start
    if e.get("class_uid") == 1007 and not ours.get("blocked") and not has(e, "process.uid"):
        out.append("process.uid: is not told")
    # who breaks or follows a rule can look it up, and the other way round
    if "file" in ours and not has(e, "policy.desc"):
        out.append("policy: is not told beside a rule's file")
    if has(e, "policy.name") and e["policy"]["name"].split(" ")[0] in ("RuntimePolicy",) and \
            not re.fullmatch(r".+:\d+", e["policy"].get("desc", "")):
        out.append("policy.desc: is no file:line")
    for n, one in enumerate(e.get("evidences", [])):
        process = one.get("process", {})
        if process.get("pid") and "user" not in process:
            out.append(f"evidences.{n}.process.user: is not told")
    # a finding that was answered says how
    if e.get("class_uid") == 2004 and ours.get("response") not in (None, "alert") and \
            not ours.get("answer"):
        out.append("unmapped.bulkhead.answer: is not told")


def problems(e):
    """What is wrong with one event; an empty list: nothing."""
    out = []
    cls = CLASSES.get(e.get("class_uid"))
    if cls is None:
        return [f"class_uid: {e.get('class_uid')!r} is not told by Bulkhead"]
    profiles = e.get("metadata", {}).get("profiles", [])
    if len(set(profiles)) != len(profiles):
        out.append("metadata.profiles: one comes twice")
    known = {**BASE.attributes}
    for profile in profiles:
        known.update(PROFILES.get(profile, {}))
    known.update(cls.attributes)
    check_object(BASE, e, "", out, known)
    check_object(cls, e, "", out, known)
    check_class(e, cls, out)
    check_ours(e, out)
    check_told(e, out)
    return list(dict.fromkeys(p.lstrip(".") for p in out))


MOST = 60000  # events of one log; a longer one is looked at in steps


def lines_of(path):
    """(file, number, line) of a log with its rotated files."""
    for name in sorted(os.listdir(path)):
        if not re.fullmatch(r"events\.jsonl(\.\d+)?", name):
            continue
        with open(os.path.join(path, name), encoding="utf-8") as f:
            for i, line in enumerate(f, 1):
                if line.endswith("\n"):
                    yield name, i, line


def check_log(path):
    """Reads a log directory: (events looked at, the first problem of each kind)."""
    if not os.path.isdir(path):
        return 0, []
    size = sum(os.path.getsize(os.path.join(path, n)) for n in os.listdir(path))
    step = max(1, size // 1500 // MOST)
    n, found = 0, {}
    for i, (name, number_, line) in enumerate(lines_of(path)):
        if i % step:
            continue
        n += 1
        e = json.loads(line)
        for p in problems(e):
            key = (e.get("class_uid"), re.sub(r"\d+", "#", p))
            found.setdefault(key, f"{name}:{number_}: class {e.get('class_uid')}: {p}")
    return n, list(found.values())
