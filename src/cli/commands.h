/* commands.h - every command, each defined in cmd_<name>.c. */
#pragma once

#include "cli/cli.h"

extern const struct bh_command bh_cmd_status;
extern const struct bh_command bh_cmd_doctor;
extern const struct bh_command bh_cmd_sync;
extern const struct bh_command bh_cmd_pods;
extern const struct bh_command bh_cmd_policy_check;
extern const struct bh_command bh_cmd_policy_matrix;
extern const struct bh_command bh_cmd_policy_explain;
extern const struct bh_command bh_cmd_policy_diff;
extern const struct bh_command bh_cmd_policy_test;
extern const struct bh_command bh_cmd_policy_verify;
extern const struct bh_command bh_cmd_policy_suggest;
extern const struct bh_command bh_cmd_policy_exceptions;
extern const struct bh_command bh_cmd_policy_export;
extern const struct bh_command bh_cmd_quarantine;
extern const struct bh_command bh_cmd_release;
extern const struct bh_command bh_cmd_flows;
extern const struct bh_command bh_cmd_events;
extern const struct bh_command bh_cmd_events_verify;
extern const struct bh_command bh_cmd_runtime;
extern const struct bh_command bh_cmd_detectors;
extern const struct bh_command bh_cmd_baseline_list;
extern const struct bh_command bh_cmd_baseline_show;
extern const struct bh_command bh_cmd_baseline_export;
extern const struct bh_command bh_cmd_baseline_import;
extern const struct bh_command bh_cmd_baseline_diff;
extern const struct bh_command bh_cmd_baseline_reset;
extern const struct bh_command bh_cmd_profile_seccomp;
extern const struct bh_command bh_cmd_profile_runtime;
extern const struct bh_command bh_cmd_image_verify;
extern const struct bh_command bh_cmd_image_exception;
extern const struct bh_command bh_cmd_verify_bundle;
extern const struct bh_command bh_cmd_top;
