#!/usr/bin/python3
"""Ways around the judging of images, none of which works: manifests of earlier pods, of the same pod
twice, without images or with ones that only a runtime understands; many images at once; tags that
move and registries that go away in the middle of an ADD; a clock that is wrong."""
import os
import sys
import threading

import image_lib
from image_lib import r, t

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "lib"))
import cni  # noqa: E402
from node import Node, enter, namespace  # noqa: E402
from testing import check, equal, part  # noqa: E402

LONG_AGO = "1704067200"  # 2024
CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *t)
{
	int (*real)(clockid_t, struct timespec *);
	*(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
	int r = real(id, t);
	if (!r && id == CLOCK_REALTIME)
		t->tv_sec = atoll(getenv("BH_TEST_CLOCK"));
	return r;
}
time_t time(time_t *p)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	if (p)
		*p = t.tv_sec;
	return t.tv_sec;
}
"""


class World(image_lib.World):
    def __init__(self):
        super().__init__()
        self.node = Node(config={"images": {"mode": "enforce"}}, portmap=False)
        # sixty images of one pod are many questions to a slow machine's registry
        self.node.chain.conf["plugins"][-1]["timeoutSeconds"] = 60
        self.on_request = lambda seen: None
        with image_lib.inside(self.node.netns):
            self.registry = self.start(lambda seen: self.on_request(seen), r.serve(self.content))
        self.signed = f"{self.registry.host}/team/app:v1"
        self.bare = f"{self.registry.host}/team/bare:v1"
        for name in ("prod", "free"):
            self.node.write(f"ns-{name}.yaml", namespace(name))
        self.rule("prod", {"match": {"namespaces": ["prod"]}})
        self.node.start()
        self.n = 0

    def rule(self, name, more):
        text = self.policy_of(more, name=name).replace('"k.pub"', f'"{self.key.public}"')
        with open(os.path.join(self.node.manifests, f"images-{name}.yaml"), "w") as f:
            f.write(text)

    def pod(self, ns, *manifests):
        """A pod that is not added yet; manifests are functions of its name and uid."""
        self.n += 1
        pod = self.node.new_pod(ns, f"p{self.n}")
        for i, manifest in enumerate(manifests):
            self.node.write(f"p{self.n}-{i}.yaml", manifest(pod.conf))
        return pod

    def add(self, ns, *manifests):
        return error_of(self.pod(ns, *manifests))


def error_of(pod):
    try:
        pod.add()
    except cni.CniError as e:
        return e
    return None


def of(*images, uid=None, spec=None, note=None):
    """A manifest of these images; uid True: the pod's own."""
    def manifest(conf):
        meta = {"name": conf["name"], "namespace": conf["namespace"]}
        if uid:
            meta["uid"] = conf["uid"] if uid is True else uid
        if note:
            meta["annotations"] = {"kubernetes.io/config.hash": conf["uid"]}
        listed = [{"name": f"c{i}", "image": image} for i, image in enumerate(images)]
        return {"apiVersion": "v1", "kind": "Pod", "metadata": meta,
                "spec": {"containers": listed} if spec is None else spec}
    return manifest


def earlier_pods(w):
    """A manifest with another uid is about another pod."""
    other = "00000000-0000-4000-8000-000000000000"
    equal(w.add("prod", of(w.signed, uid=True)), None, "the pod's own uid")
    error = w.add("prod", of(w.signed, uid=other))
    check(error and error.code == 11 and "no Pod manifest" in str(error),
          "the manifest of an earlier pod of that name says nothing of this one", error)
    equal(w.add("prod", of(w.signed, uid=other, note=True)), None,
          "a static pod: its mirror has another uid, and names this one")
    error = w.add("prod", of(w.signed, uid=other), of(w.bare, uid=True))
    check(error and error.code >= 100 and w.bare in str(error),
          "beside one that is about this pod: that one counts", error)


def twice(w):
    """Of two manifests of one pod neither hides the other."""
    for first, second in ((w.signed, w.bare), (w.bare, w.signed)):
        pod = w.pod("prod", of(first), of(second))
        error = error_of(pod)
        check(error and error.code >= 100 and w.bare in str(error),
              f"{first[-8:]} and {second[-8:]}: both are judged", error)
    w.node.remove(f"p{w.n}-0.yaml")
    pod.delete()
    equal(error_of(pod), None, "the bad one is gone: the other one still describes the pod")


def without_images(w):
    for what, spec in (("no containers", {}), ("containers of null", {"containers": None}),
                       ("containers that are no list", {"containers": {"image": w.signed}})):
        error = w.add("prod", of(spec=spec))
        check(error and error.code == 11, f"{what}: nobody knows what would run", error)
    for what, container in (("no image", {"name": "c"}), ("image: null", {"image": None}),
                            ("an image that is a number", {"image": 5}),
                            ("an empty image", {"image": ""})):
        error = w.add("prod", of(spec={"containers": [container]}))
        check(error and error.code >= 11, f"{what}: refused", error)
    for key in ("initContainers", "ephemeralContainers"):
        error = w.add("prod", of(spec={"containers": [{"image": w.signed}],
                                       key: [{"image": w.bare}]}))
        check(error and error.code >= 100, f"{key} are judged", error)
    error = w.add("prod", of(spec={"containers": [{"image": w.signed}], "volumes": [
        {"name": "v", "image": {"reference": w.bare}}]}))
    check(error and error.code >= 100, "image volumes are judged", error)


def odd_references(w):
    """What a runtime may be able to pull and we do not understand is not outside of policies."""
    host, port = w.registry.host.split(":")
    odd = [f"{host}:000{port}/team/bare:v1", f"{w.registry.host}/team/bare@sha384:" + "0" * 96,
           f"{w.registry.host}//team/bare:v1", "x" * 2000, f"{w.registry.host}/team/bare:v1\n",
           f"http://{w.registry.host}/team/bare:v1", f"{w.registry.host}/team/../team/bare:v1"]
    w.rule("all", {"match": {"images": ["127.0.0.1*/**"]}})
    for image in odd:
        for ns in ("prod", "free"):
            error = w.add(ns, of(image))
            check(error, f"{ns}: {image[:60]!r} is refused", error)
    error = w.add("free", of(w.bare.replace("127.0.0.1", "127.0.0.1.")))
    check(error, "a dot behind the host", error)
    w.node.remove("images-all.yaml")
    w.rule("all", {"match": {"images": ["**"]}})
    error = w.add("free")
    check(error and error.code == 11 and "every image" in str(error),
          "a policy about every image, a pod that nobody describes: refused", error)
    w.node.remove("images-all.yaml")
    equal(w.add("free"), None, "without that policy it starts")


def many(w):
    """One bad image among many; all good ones."""
    good = []
    for i in range(60):
        image = w.content.image("team/many", f"v{i}", f"many {i}".encode())
        w.content.sign("team/many", image, w.key.sign)
        good.append(f"{w.registry.host}/team/many:v{i}")
    equal(w.add("prod", of(*good)), None, "sixty images: all are judged, the pod starts")
    error = w.add("prod", of(*good[:30], w.bare, *good[30:]))
    check(error and error.code >= 100 and w.bare in str(error), "one bad one among them", error)


def moving(w):
    """The tag moves while the ADD goes on: to one that is not signed, and back."""
    image = w.content.image("team/moving", "v1", b"good")
    w.content.sign("team/moving", image, w.key.sign)
    good = w.content.manifests["team/moving", "v1"]
    w.content.image("team/moving", "v1", b"evil")
    evil = w.content.manifests["team/moving", "v1"]
    ref = f"{w.registry.host}/team/moving:v1"
    seen = []

    def flip(request):
        """Every time the tag is asked for it leads elsewhere, first to the good one."""
        if request["path"].endswith("/manifests/v1"):
            w.content.manifests["team/moving", "v1"] = evil if len(seen) % 2 else good
            seen.append(request)
    w.on_request = flip
    error = w.add("prod", of(ref))
    equal(len(seen), 1, "the tag is asked for once, so that one digest is judged")
    check(error is None, "which is the good one", error)
    pinned = f"{w.registry.host}/team/moving@{r.digest(evil)}"
    error = w.add("prod", of(pinned))
    check(error and error.code >= 100, "the other digest was not accepted with it", error)
    w.on_request = lambda seen: None


def registry_goes(w):
    """It answers for the image and is gone before the signature."""
    image = w.content.image("team/going", "v1", b"going")
    w.content.sign("team/going", image, w.key.sign)
    ref = f"{w.registry.host}/team/going@{image}"
    w.on_request = lambda seen: (503, b"", {}) if ".sig" in seen["path"] else None
    error = w.add("prod", of(ref))
    check(error and error.code == 11, "the signature cannot be fetched: try again", error)
    w.on_request = lambda seen: (404, b"{}", {}) if ".sig" in seen["path"] else None
    error = w.add("prod", of(ref.replace("going@", "going:v1@")))
    check(error, "nor is 404 afterwards taken for an accept", error)
    w.on_request = lambda seen: None
    gone = threading.Event()

    def vanish(seen):
        if "/blobs/" in seen["path"]:
            gone.set()
            return 200, b"x" * 10, {}
        return None
    w.on_request = vanish
    other = w.content.image("team/gone", "v1", b"gone")
    w.content.sign("team/gone", other, w.key.sign)
    error = w.add("prod", of(f"{w.registry.host}/team/gone@{other}"))
    check(gone.is_set() and error, "bytes that are not what was asked for", error)
    w.on_request = lambda seen: None


def clock(w):
    """A clock from before this program was built judges no windows."""
    source, library = os.path.join(w.folder, "clock.c"), os.path.join(w.folder, "clock.so")
    with open(source, "w") as f:
        f.write(CLOCK)
    t.run("gcc", "-shared", "-fPIC", "-o", library, source, "-ldl")
    env = {**os.environ, "LD_PRELOAD": library, "BH_TEST_CLOCK": LONG_AGO}
    ask = [*enter(w.node.netns), os.path.join(t.BIN, "bulkhead"), "image", "verify", w.signed,
           "--policy", w.policy]
    p = t.run(*ask, check=False)
    equal(p.returncode, 0, "the right time: accepted")
    p = t.run(*ask, check=False, env=env)
    check(p.returncode == 4 and "clock" in p.stdout, "a clock years behind: undecided, because of the clock", p)
    p = t.run(*ask, "--now", "2024-01-01T00:00:00Z", check=False)
    equal(p.returncode, 0, "the same as somebody's word: judged as of then")
    w.node.stop()
    os.environ.update(LD_PRELOAD=library, BH_TEST_CLOCK=LONG_AGO)
    try:
        w.node.start()
        error = w.add("prod", of(w.signed))
    finally:
        del os.environ["LD_PRELOAD"]
    check(error and error.code == 11 and "clock" in str(error), "at ADD: try again", error)
    w.node.restart()
    equal(w.add("prod", of(w.signed)), None, "the clock is right again: it starts")


def run():
    w = World()
    for fn in (earlier_pods, twice, without_images, odd_references, many, moving, registry_goes,
               clock):
        with part(fn.__name__):
            fn(w)


if __name__ == "__main__":
    t.start(needs=("/usr/lib/cni/bridge",))
    t.main(run)
