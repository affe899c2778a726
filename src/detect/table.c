/* table.c - every detector, one row each. Rows of a kind are tried in this order. */
#include "detect/rows.h"
#include "policy/detectors.h"

#define NAME(id)  bh_detector_names.id
#define ON(kind)  (1u << BH_ACT_##kind)
#define CODE	  (ON(EXEC) | ON(MAP_EXEC))
#define HIGH	  BH_SEVERITY_HIGH
#define MEDIUM	  BH_SEVERITY_MEDIUM
#define LOW	  BH_SEVERITY_LOW
#define INFO	  BH_SEVERITY_INFO
#define ALERT	  BH_RESPOND_ALERT
#define SIG(s)	  BH_SIGNAL_##s
#define FAMILY(f) BH_DETECT_##f

/* clang-format off */
const struct bh_detector bh_detectors[] = {
	{NAME(foreign_code), "code that is not from the image was executed or mapped", CODE,
	 {"T1105", "T1204"}, HIGH, ALERT, SIG(PROVENANCE), FAMILY(ALWAYS), bh_row_foreign_code},
	{NAME(fileless), "a program or library was run from memory, without a file", CODE,
	 {"T1620"}, HIGH, ALERT, SIG(PROVENANCE), FAMILY(ALWAYS), bh_row_fileless},
	{NAME(tmpfs_exec), "a program was run from a file system in memory", ON(EXEC),
	 {"T1027.011"}, HIGH, ALERT, SIG(PROVENANCE), FAMILY(ALWAYS), bh_row_tmpfs_exec},
	{NAME(system_write), "a directory of programs or libraries was written", ON(FILE),
	 {"T1574", "T1554"}, MEDIUM, ALERT, SIG(FILE), FAMILY(ALWAYS), bh_row_system_write},
	{NAME(preload_file), "ld.so.preload was written", ON(FILE),
	 {"T1574.006"}, HIGH, ALERT, SIG(FILE), FAMILY(ALWAYS), bh_row_preload_file},
	{NAME(preload_env), "a library was forced into a program through its environment", ON(EXEC),
	 {"T1574.006"}, MEDIUM, ALERT, SIG(PROCESS), FAMILY(ALWAYS), bh_row_preload_env},
	{NAME(cron), "a scheduled job was written", ON(FILE),
	 {"T1053.003", "T1053.002"}, MEDIUM, ALERT, SIG(FILE), FAMILY(ALWAYS), bh_row_cron},
	{NAME(package_manager), "packages were changed in a running container", ON(EXEC),
	 {"T1072"}, MEDIUM, ALERT, SIG(PROCESS), FAMILY(ALWAYS), bh_row_package_manager},
	{NAME(server_shell), "a server started a shell", ON(EXEC),
	 {"T1059.004"}, MEDIUM, ALERT, SIG(PROCESS), FAMILY(ALWAYS), bh_row_server_shell},
	{NAME(socket_shell), "a shell talks to the network", ON(EXEC) | ON(CONNECT),
	 {"T1059.004"}, HIGH, ALERT, SIG(NETWORK), FAMILY(ALWAYS), bh_row_socket_shell},
	{NAME(interactive_exec), "somebody entered the pod from outside", ON(EXEC),
	 {"T1609"}, MEDIUM, ALERT, SIG(PROCESS), FAMILY(ALWAYS), bh_row_interactive},
	{NAME(masquerade), "a program pretends to be another one", ON(EXEC) | ON(NAME) | ON(FILE),
	 {"T1036", "T1036.003", "T1036.004"}, HIGH, ALERT, SIG(PROCESS), FAMILY(ALWAYS),
	 bh_row_masquerade},
	{NAME(setuid_bit), "a program got its owner's rights", ON(FILE),
	 {"T1548.001"}, HIGH, ALERT, SIG(PRIVILEGE), FAMILY(ALWAYS), bh_row_setuid_bit},
	{NAME(root_gained), "root without a set-user-id file", ON(SETID),
	 {"T1068"}, HIGH, ALERT, SIG(PRIVILEGE), FAMILY(ALWAYS), bh_row_root_gained},
	{NAME(namespace), "a namespace or root directory was changed", ON(NAMESPACE),
	 {"T1611"}, MEDIUM, ALERT, SIG(PRIVILEGE), FAMILY(ALWAYS), bh_row_namespace},
	{NAME(nsenter), "a tool for other namespaces was started", ON(EXEC),
	 {"T1611"}, MEDIUM, ALERT, SIG(PROCESS), FAMILY(ALWAYS), bh_row_nsenter},
	{NAME(mount), "a file system was mounted", ON(MOUNT),
	 {"T1611"}, MEDIUM, ALERT, SIG(PRIVILEGE), FAMILY(ALWAYS), bh_row_mount},
	{NAME(kernel_file), "a switch of the node's kernel was touched", ON(FILE),
	 {"T1611"}, HIGH, ALERT, SIG(PRIVILEGE), FAMILY(ALWAYS), bh_row_kernel_file},
	{NAME(host_root), "files outside of the container were reached, as through /proc/1/root",
	 ON(FILE) | ON(EXEC),
	 {"T1611"}, MEDIUM, ALERT, SIG(PRIVILEGE), FAMILY(ALWAYS), bh_row_host_root},
	{NAME(foreign_netns), "a task left its pod's network namespace", ON(NETNS),
	 {"T1611"}, HIGH, ALERT, SIG(PRIVILEGE), FAMILY(ALWAYS), bh_row_netns},
	{NAME(ptrace), "a process traces another", ON(PTRACE),
	 {"T1055.008"}, MEDIUM, ALERT, SIG(PROCESS), FAMILY(ALWAYS), bh_row_ptrace},
	{NAME(process_memory), "a process reads or writes another's memory", ON(MEMORY),
	 {"T1055", "T1055.009"}, MEDIUM, ALERT, SIG(PROCESS), FAMILY(ALWAYS), bh_row_memory},
	{NAME(kernel_module), "a kernel module was loaded, or somebody tried to", ON(MODULE),
	 {"T1014", "T1547.006"}, HIGH, ALERT, SIG(PRIVILEGE), FAMILY(ALWAYS), bh_row_module},
	{NAME(bpf), "bpf() was called", ON(BPF),
	 {"T1014"}, MEDIUM, ALERT, SIG(PRIVILEGE), FAMILY(ALWAYS), bh_row_bpf},
	{NAME(userfaultfd), "page faults are handled by the program itself", ON(USERFAULTFD),
	 {"T1068"}, MEDIUM, ALERT, SIG(PRIVILEGE), FAMILY(ALWAYS), bh_row_userfaultfd},
	{NAME(io_uring), "io_uring by a workload that never used it", ON(IO_URING),
	 {"T1106"}, MEDIUM, ALERT, SIG(PROCESS), FAMILY(ALWAYS), bh_row_io_uring},
	{NAME(other_abi), "system calls that tracing does not decode", ON(ABI),
	 {"T1106"}, MEDIUM, ALERT, SIG(PROCESS), FAMILY(ALWAYS), bh_row_abi},
	{NAME(raw_socket), "a packet or raw socket was made", ON(SOCKET),
	 {"T1040"}, MEDIUM, ALERT, SIG(NETWORK), FAMILY(ALWAYS), bh_row_raw_socket},
	{NAME(token_read), "a service account's token was read by a general tool", ON(FILE),
	 {"T1528", "T1552"}, MEDIUM, ALERT, SIG(SECRET), FAMILY(ALWAYS), bh_row_token},
	{NAME(cloud_metadata), "the cloud's metadata service was asked", ON(EDGE) | ON(CONNECT),
	 {"T1552.005"}, MEDIUM, ALERT, SIG(SECRET), FAMILY(ALWAYS), bh_row_metadata},
	{NAME(ssh_key), "a private key was read", ON(FILE),
	 {"T1552.004"}, MEDIUM, ALERT, SIG(SECRET), FAMILY(ALWAYS), bh_row_ssh_key},
	{NAME(shadow), "the password file was read", ON(FILE),
	 {"T1003.008"}, MEDIUM, ALERT, SIG(SECRET), FAMILY(ALWAYS), bh_row_shadow},
	{NAME(environ), "another process's environment was read", ON(FILE),
	 {"T1552", "T1003.007"}, MEDIUM, ALERT, SIG(SECRET), FAMILY(ALWAYS), bh_row_environ},
	{NAME(history), "a shell's history was removed", ON(FILE) | ON(EXEC),
	 {"T1070.003"}, MEDIUM, ALERT, SIG(FILE), FAMILY(ALWAYS), bh_row_history},
	{NAME(logs), "logs were removed", ON(FILE),
	 {"T1070", "T1070.002"}, MEDIUM, ALERT, SIG(FILE), FAMILY(ALWAYS), bh_row_logs},
	{NAME(firewall), "the rules of the pod's network were changed", ON(EXEC) | ON(SOCKET),
	 {"T1562.004"}, MEDIUM, ALERT, SIG(NETWORK), FAMILY(ALWAYS), bh_row_firewall},
	{NAME(own_pins), "Bulkhead's own files were touched", ON(FILE),
	 {"T1562.001"}, HIGH, ALERT, SIG(PRIVILEGE), FAMILY(ALWAYS), bh_row_own_pins},
	{NAME(own_signal), "a signal was sent to Bulkhead", ON(SIGNAL),
	 {"T1562.001"}, HIGH, ALERT, SIG(PRIVILEGE), FAMILY(ALWAYS), bh_row_signal},
	{NAME(scan), "many different destinations in a short time", ON(EDGE),
	 {"T1046"}, MEDIUM, ALERT, SIG(NETWORK), FAMILY(ALWAYS), bh_row_scan},
	{NAME(dns_tunnel), "names that carry data", ON(DNS),
	 {"T1071.004", "T1048"}, MEDIUM, ALERT, SIG(NETWORK), FAMILY(ALWAYS), bh_row_dns_tunnel},
	{NAME(cpu), "processor time far above the workload's own normal", ON(RATE),
	 {"T1496"}, MEDIUM, ALERT, SIG(RESOURCE), FAMILY(ALWAYS), bh_row_cpu},
	{NAME(runtime_socket), "a container runtime's socket was used", ON(FILE),
	 {"T1610"}, HIGH, ALERT, SIG(PRIVILEGE), FAMILY(ALWAYS), bh_row_runtime_socket},
	{NAME(privileged), "a privileged container", ON(START),
	 {"T1610"}, LOW, ALERT, SIG(POSTURE), FAMILY(ALWAYS), bh_row_privileged},
	{NAME(posture), "a container that runs as root or can write its root file system", ON(START),
	 {"T1610"}, INFO, ALERT, SIG(POSTURE), FAMILY(ALWAYS), bh_row_root_user},
	{NAME(overflow), "a quota of what is recorded is used up", ON(OVERFLOW),
	 {"T1562.006"}, LOW, ALERT, SIG(RESOURCE), FAMILY(ALWAYS), bh_row_overflow},

	{NAME(drop_chain), "written, made executable, executed", CODE | ON(FILE),
	 {"T1105", "T1222.002"}, HIGH, ALERT, SIG(PROVENANCE), FAMILY(CHAIN), bh_row_drop_chain},
	{NAME(dropper), "connected, executed, connected again", ON(CONNECT),
	 {"T1105", "T1071"}, MEDIUM, ALERT, SIG(NETWORK), FAMILY(CHAIN), bh_row_dropper},
	{NAME(scan_edge), "a scan, then a connection", ON(EDGE),
	 {"T1046", "T1021"}, MEDIUM, ALERT, SIG(NETWORK), FAMILY(CHAIN), bh_row_scan_edge},

	{NAME(new_exec), "a program the workload never ran", ON(EXEC),
	 {"T1204"}, LOW, ALERT, SIG(BASELINE), FAMILY(BASELINE), bh_row_new_exec},
	{NAME(new_chain), "a program started by one that never started it", ON(EXEC),
	 {"T1059"}, LOW, ALERT, SIG(BASELINE), FAMILY(BASELINE), bh_row_new_chain},
	{NAME(new_edge), "a connection the workload never had", ON(EDGE),
	 {"T1021", "T1071"}, LOW, ALERT, SIG(BASELINE), FAMILY(BASELINE), bh_row_new_edge},
	{NAME(new_port), "a port the workload never listened on", ON(LISTEN),
	 {"T1571"}, LOW, ALERT, SIG(BASELINE), FAMILY(BASELINE), bh_row_new_port},
	{NAME(new_path), "a place the workload never wrote to", ON(FILE),
	 {"T1105"}, INFO, ALERT, SIG(BASELINE), FAMILY(BASELINE), bh_row_new_path},
	{NAME(new_syscall), "system calls the workload never made", ON(SYSCALLS),
	 {"T1106"}, LOW, ALERT, SIG(BASELINE), FAMILY(BASELINE), bh_row_new_syscall},
	{NAME(anomaly), "much that is new at once",
	 ON(EXEC) | ON(EDGE) | ON(LISTEN) | ON(FILE) | ON(SYSCALLS) | ON(SEQUENCE) | ON(SETID) | ON(MEMFD) |
	 ON(SOCKET) | ON(NAMESPACE) | ON(MOUNT),
	 {"T1204"}, MEDIUM, ALERT, SIG(BASELINE), FAMILY(BASELINE), bh_row_anomaly},

	{NAME(policy_exec), "a program that RuntimePolicy does not allow", CODE,
	 {"T1204"}, HIGH, ALERT, SIG(PROVENANCE), FAMILY(VIOLATION), bh_row_policy_exec},
	{NAME(policy_file), "a file that RuntimePolicy does not let be written", ON(FILE),
	 {"T1565"}, MEDIUM, ALERT, SIG(FILE), FAMILY(VIOLATION), bh_row_policy_file},
	{NAME(policy_syscall), "a system call that RuntimePolicy forbids",
	 ON(SYSCALLS) | ON(PTRACE) | ON(MOUNT) | ON(BPF) | ON(MODULE) | ON(USERFAULTFD) |
	 ON(IO_URING) | ON(MEMFD) | ON(NAMESPACE),
	 {"T1106"}, HIGH, ALERT, SIG(PRIVILEGE), FAMILY(VIOLATION), bh_row_policy_syscall},
	{NAME(policy_user), "a user that RuntimePolicy denies", ON(EXEC) | ON(SETID),
	 {"T1078"}, HIGH, ALERT, SIG(PRIVILEGE), FAMILY(VIOLATION), bh_row_policy_user},
	{NAME(max_lifetime), "a container older than it may be", ON(RATE) | ON(EXEC) | ON(START),
	 {"T1525"}, LOW, ALERT, SIG(POSTURE), FAMILY(VIOLATION), bh_row_policy_age},
};
/* clang-format on */
const size_t bh_n_detectors = sizeof(bh_detectors) / sizeof(bh_detectors[0]);

_Static_assert(sizeof(bh_detectors) / sizeof(bh_detectors[0]) <=
		       sizeof(((struct bh_detect *)0)->rows[0]),
	       "a kind may have so many rows");
#define ONE(id, name) +1
_Static_assert(sizeof(bh_detectors) / sizeof(bh_detectors[0]) == (0 BH_DETECTORS(ONE)),
	       "a row for each name");
#undef ONE
