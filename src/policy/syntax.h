/* syntax.h - what names, label keys and values, port names and paths may look like. Rules:
 * Kubernetes apimachinery's documentation of object names and labels, RFC 1123, RFC 6335 for
 * service names. */
#pragma once

#include <stdbool.h>

/* At most 63 characters of a-z, 0-9 and '-', alphanumeric at both ends. */
bool bh_is_dns_label(const char *s);
/* Dot-separated DNS labels of any length, at most 253 characters in all. */
bool bh_is_dns_subdomain(const char *s);
/* [prefix/]name: prefix a DNS subdomain, name up to 63 of A-Z a-z 0-9 '-' '_' '.', alphanumeric at
 * both ends. */
bool bh_is_label_key(const char *s);
/* Empty, or like the name of a label key. */
bool bh_is_label_value(const char *s);
/* 1-15 of a-z 0-9 '-', at least one letter, no '-' at an end or next to another. */
bool bh_is_port_name(const char *s);
/* Absolute, at most 255 bytes, no empty, "." or ".." component, no slash at the end, not "/". */
bool bh_is_exe_path(const char *s);
