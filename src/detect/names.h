/* names.h - what a path or a program's name says. Names only ever lower or word a finding, or
 * choose among benign kinds; whoever renames a tool is caught by provenance and by what the tool
 * does. */
#pragma once

#include "detect/activity.h"

const char *bh_path_base(const char *path);
/* true when one of the fnmatch(3) patterns (NULL-terminated list; '*' matches '/' too) fits. */
bool bh_path_fits(const char *path, const char *const *patterns);
/* true when name is in the NULL-terminated list. */
bool bh_name_in(const char *name, const char *const *list);
/* The applet of a multi-call binary, else the base name of the path. */
const char *bh_act_tool(const struct bh_act_process *p);
/* n-th argument, NULL when there are not so many. */
const char *bh_act_arg(const struct bh_act_process *p, size_t n);

bool bh_tool_is_shell(const char *tool);
/* Shells and the small tools that shell scripts read files and fetch pages with. */
bool bh_tool_is_generic(const char *tool);
bool bh_tool_is_interpreter(const char *tool);

/* A package manager that is asked to change what is installed. */
bool bh_act_changes_packages(const struct bh_act_process *p);
/* One of the image's that makes programs of sources. */
bool bh_act_compiles(const struct bh_act_process *p);
/* true when a shell or interpreter was given neither a text nor a file to run, and somebody is at
 * the other end of its input: it does what comes from there. */
bool bh_act_reads_input(const struct bh_act_process *p);
/* A process that came from outside of the pod to a terminal, or one that does what it reads. */
bool bh_act_is_interactive(const struct bh_activity *a);
/* A shell or interpreter whose input or output is a network socket. */
bool bh_act_is_net_shell(const struct bh_activity *a);

/* Cuts a path to a directory of at most `depth` names, digits as '#': what varies from run to run
 * (temporary names, pids, versions) falls together. out has room for `size` bytes. */
const char *bh_path_collapse(const char *path, int depth, char *out, size_t size);
