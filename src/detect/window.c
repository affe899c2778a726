#include <string.h>

#include "detect/state.h"

size_t bh_distinct_add(struct bh_distinct *d, uint32_t value, uint32_t now_s, uint32_t window_s)
{
	size_t i, at = 0, n = 0;
	bool is_there = false;

	for (i = 0; i < BH_DISTINCT_MAX; i++) {
		if (d->at_s[i] && d->value[i] == value) {
			d->at_s[i] = now_s;
			is_there = true;
		}
		if (d->at_s[i] < d->at_s[at])
			at = i;
	}
	if (!is_there) {
		d->value[at] = value;
		d->at_s[at] = now_s;
	}
	/* what came a little out of order is of the same window */
	for (i = 0; i < BH_DISTINCT_MAX; i++)
		n += d->at_s[i] && (d->at_s[i] > now_s || now_s - d->at_s[i] < window_s);
	return n;
}

uint64_t bh_made_id(uint64_t inode, uint64_t dev, const char *path)
{
	const uint64_t both[] = {inode, dev};
	uint64_t id = inode ? bh_hash(both, sizeof(both), 1) : bh_hash(path, strlen(path), 2);

	return id ? id : 1;
}

static struct bh_made *made_find(struct bh_pod_state *pod, uint64_t file)
{
	size_t i;

	for (i = 0; i < BH_MADE_MAX; i++) {
		if (pod->made[i].file == file)
			return &pod->made[i];
	}
	return NULL;
}

static void made_add(struct bh_pod_state *pod, uint64_t file, uint32_t stage,
		     const struct bh_activity *a)
{
	uint64_t now_ns = a->ts_ns;
	struct bh_made *m = made_find(pod, file);

	if (!m) {
		m = &pod->made[pod->next_made++ % BH_MADE_MAX];
		*m = (struct bh_made){.file = file};
	}
	m->at_ns = now_ns;
	if (stage & BH_MADE_WRITTEN)
		m->by = a->process.exec_id;
	if (stage != BH_MADE_EXECUTED)
		m->made_ns = now_ns;
	m->stage |= stage;
}

static uint32_t stage_of(struct bh_pod_state *pod, const struct bh_act_file *f)
{
	bool is_runnable = (f->mode & 0111) && (f->mode & 0170000) != 0040000;
	const struct bh_made *before;

	switch (f->op) {
	case BH_FILE_WRITE:
		return BH_MADE_WRITTEN;
	case BH_FILE_CREATE:
		return BH_MADE_WRITTEN | (is_runnable ? BH_MADE_EXECUTABLE : 0);
	case BH_FILE_CHMOD:
		return is_runnable ? BH_MADE_EXECUTABLE : 0;
	case BH_FILE_RENAME:
	case BH_FILE_LINK:
		before = made_find(pod, bh_made_id(0, 0, f->path));
		return before ? before->stage : 0;
	default:
		return 0;
	}
}

/* The file an activity is about, by both: not every report knows the inode, and names can be
 * changed in ways not seen. ids[1] is 0 when the inode is not known. */
static void ids_of(const struct bh_activity *a, uint64_t ids[2])
{
	const struct bh_act_process *p = &a->process;
	const struct bh_act_file *f = &a->u.file;
	bool is_moved = f->op == BH_FILE_RENAME || f->op == BH_FILE_LINK;

	if (a->kind == BH_ACT_EXEC) {
		ids[0] = bh_made_id(0, 0, p->path);
		ids[1] = p->inode ? bh_made_id(p->inode, p->dev, "") : 0;
	} else {
		ids[0] = bh_made_id(0, 0, is_moved ? f->target : f->path);
		ids[1] = f->inode ? bh_made_id(f->inode, f->dev, "") : 0;
	}
}

void bh_made_note(struct bh_pod_state *pod, const struct bh_activity *a)
{
	uint32_t stage = a->kind == BH_ACT_EXEC ? BH_MADE_EXECUTED : stage_of(pod, &a->u.file);
	uint64_t ids[2];
	int i;

	ids_of(a, ids);
	for (i = 0; i < 2 && stage; i++) {
		if (ids[i])
			made_add(pod, ids[i], stage, a);
	}
}

static uint64_t apart(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

uint32_t bh_made_stage(struct bh_pod_state *pod, const struct bh_activity *a, uint64_t window_ns)
{
	uint32_t stage = a->kind == BH_ACT_EXEC ? BH_MADE_EXECUTED : stage_of(pod, &a->u.file);
	uint64_t ids[2];
	int i;

	if (!stage)
		return 0;
	ids_of(a, ids);
	for (i = 0; i < 2; i++) {
		const struct bh_made *m = ids[i] ? made_find(pod, ids[i]) : NULL;

		if (m && apart(a->ts_ns, m->at_ns) <= window_ns)
			stage |= m->stage;
	}
	return stage;
}

uint64_t bh_made_last(struct bh_pod_state *pod, const struct bh_activity *a, const char *path)
{
	uint64_t ids[2] = {bh_made_id(0, 0, path), 0}, last = 0;
	int i;

	/* a script's inode is not told */
	if (a->kind == BH_ACT_MAP_EXEC && a->u.map.inode)
		ids[1] = bh_made_id(a->u.map.inode, a->u.map.dev, "");
	else if (a->kind == BH_ACT_EXEC && a->process.inode && !strcmp(path, a->process.path))
		ids[1] = bh_made_id(a->process.inode, a->process.dev, "");
	for (i = 0; i < 2; i++) {
		const struct bh_made *m = ids[i] ? made_find(pod, ids[i]) : NULL;

		if (m && m->made_ns > last)
			last = m->made_ns;
	}
	return last;
}

uint64_t bh_made_by(struct bh_pod_state *pod, const struct bh_activity *a)
{
	uint64_t id = a->u.map.inode ? bh_made_id(a->u.map.inode, a->u.map.dev, "")
				     : bh_made_id(0, 0, a->u.map.path);
	const struct bh_made *m = made_find(pod, id);

	return m ? m->by : 0;
}

bool bh_unpacked_has(struct bh_pod_state *pod, uint64_t dir, bool is_new)
{
	size_t i;

	for (i = 0; i < BH_UNPACKED_MAX && pod->unpacked[i]; i++) {
		if (pod->unpacked[i] == dir)
			return true;
	}
	if (!is_new || i == BH_UNPACKED_MAX)
		return false;
	pod->unpacked[i] = dir;
	return true;
}
