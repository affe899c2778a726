/* config_sinks.h - the `sinks` of the settings: where events go besides the log.
 *
 *   - {type: syslog, address: HOST:PORT, tls: true, ca, certificate, key: FILE, serverName: NAME,
 *      facility: 13}
 *   - {type: otlp, url: https://HOST:4318, ca: FILE, headers: {NAME: VALUE}, insecure: false}
 *   - {type: webhook, url: https://HOST/PATH, secretFile: FILE, ca, headers, insecure}
 *
 * and for each `name` (default: its type; two of one name are refused), `classes` (event classes;
 * default all), `minSeverity` (informational, low, medium, high, critical). An otlp url without a
 * path gets /v1/logs. `insecure: true` is asked for where the url is http:. */
#pragma once

#include <jansson.h>

#include "policy/yaml.h"

/* list: the value of `sinks`. The caller owns *ret: an array of objects with the keys above, the
 * files read in (ca, certificate, key, secret hold their text; secrets: wipe what you print), and
 * "classes" as numbers. Errors name the place. */
int bh_config_sinks(const struct bh_yaml *list, json_t **ret, struct bh_yaml_err *err);
