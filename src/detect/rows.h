/* rows.h - the functions behind the table's rows. Each returns true when it has filled in a
 * finding's key and sentence; the severity is the row's unless it changes it. Inside detect/ only.
 */
#pragma once

#include "detect/names.h"
#include "detect/state.h"

/* rows_exec.c: what is executed or mapped */
bool bh_row_foreign_code(struct bh_judge *j);
bool bh_row_fileless(struct bh_judge *j);
bool bh_row_tmpfs_exec(struct bh_judge *j);
bool bh_row_masquerade(struct bh_judge *j);

/* rows_shell.c: who commands a shell */
bool bh_row_server_shell(struct bh_judge *j);
bool bh_row_socket_shell(struct bh_judge *j);
bool bh_row_interactive(struct bh_judge *j);

/* rows_tool.c: which tool is executed, and how */
bool bh_row_package_manager(struct bh_judge *j);
bool bh_row_preload_env(struct bh_judge *j);
bool bh_row_firewall(struct bh_judge *j);
bool bh_row_nsenter(struct bh_judge *j);

/* rows_file.c: files touched */
bool bh_row_system_write(struct bh_judge *j);
bool bh_row_preload_file(struct bh_judge *j);
bool bh_row_cron(struct bh_judge *j);
bool bh_row_setuid_bit(struct bh_judge *j);
bool bh_row_kernel_file(struct bh_judge *j);
bool bh_row_host_root(struct bh_judge *j);
bool bh_row_runtime_socket(struct bh_judge *j);
bool bh_row_own_pins(struct bh_judge *j);
bool bh_row_history(struct bh_judge *j);
bool bh_row_logs(struct bh_judge *j);

/* rows_secret.c: secrets read */
bool bh_row_token(struct bh_judge *j);
bool bh_row_ssh_key(struct bh_judge *j);
bool bh_row_shadow(struct bh_judge *j);
bool bh_row_environ(struct bh_judge *j);
bool bh_row_metadata(struct bh_judge *j);

/* rows_priv.c: privileges, namespaces, other processes, the kernel */
bool bh_row_root_gained(struct bh_judge *j);
bool bh_row_namespace(struct bh_judge *j);
bool bh_row_mount(struct bh_judge *j);
bool bh_row_netns(struct bh_judge *j);
bool bh_row_ptrace(struct bh_judge *j);
bool bh_row_memory(struct bh_judge *j);
bool bh_row_module(struct bh_judge *j);
bool bh_row_bpf(struct bh_judge *j);
bool bh_row_userfaultfd(struct bh_judge *j);
bool bh_row_abi(struct bh_judge *j);
bool bh_row_io_uring(struct bh_judge *j);
bool bh_row_signal(struct bh_judge *j);

/* rows_net.c: network and resources */
bool bh_row_raw_socket(struct bh_judge *j);
bool bh_row_scan(struct bh_judge *j);
bool bh_row_dns_tunnel(struct bh_judge *j);
bool bh_row_cpu(struct bh_judge *j);
bool bh_row_privileged(struct bh_judge *j);
bool bh_row_root_user(struct bh_judge *j);
bool bh_row_overflow(struct bh_judge *j);

/* rows_chain.c: several activities together */
bool bh_row_drop_chain(struct bh_judge *j);
bool bh_row_dropper(struct bh_judge *j);
bool bh_row_scan_edge(struct bh_judge *j);

/* rows_base.c: what the workload never did while it was learnt */
bool bh_row_new_exec(struct bh_judge *j);
bool bh_row_new_chain(struct bh_judge *j);
bool bh_row_new_edge(struct bh_judge *j);
bool bh_row_new_port(struct bh_judge *j);
bool bh_row_new_path(struct bh_judge *j);
bool bh_row_new_syscall(struct bh_judge *j);
bool bh_row_anomaly(struct bh_judge *j);

/* rows_policy.c: what RuntimePolicies forbid */
bool bh_row_policy_exec(struct bh_judge *j);
bool bh_row_policy_file(struct bh_judge *j);
bool bh_row_policy_syscall(struct bh_judge *j);
bool bh_row_policy_user(struct bh_judge *j);
bool bh_row_policy_age(struct bh_judge *j);
