/* detectors.h - every detector's name, once: what `on` of a RuntimePolicy may say, and what the rows
 * of detect/table.c are called. A row without a name here does not compile, and there are as many.
 *
 * X(identifier, "name for people") */
#pragma once

#define BH_DETECTORS(X)                                                                            \
	X(foreign_code, "foreign-code")                                                            \
	X(fileless, "fileless")                                                                    \
	X(tmpfs_exec, "tmpfs-exec")                                                                \
	X(system_write, "system-write")                                                            \
	X(preload_file, "preload-file")                                                            \
	X(preload_env, "preload-env")                                                              \
	X(cron, "cron")                                                                            \
	X(package_manager, "package-manager")                                                      \
	X(server_shell, "server-shell")                                                            \
	X(socket_shell, "socket-shell")                                                            \
	X(interactive_exec, "interactive-exec")                                                    \
	X(masquerade, "masquerade")                                                                \
	X(setuid_bit, "setuid-bit")                                                                \
	X(root_gained, "root-gained")                                                              \
	X(namespace, "namespace")                                                                  \
	X(nsenter, "nsenter")                                                                      \
	X(mount, "mount")                                                                          \
	X(kernel_file, "kernel-file")                                                              \
	X(host_root, "host-root")                                                                  \
	X(foreign_netns, "foreign-netns")                                                          \
	X(ptrace, "ptrace")                                                                        \
	X(process_memory, "process-memory")                                                        \
	X(kernel_module, "kernel-module")                                                          \
	X(bpf, "bpf")                                                                              \
	X(userfaultfd, "userfaultfd")                                                              \
	X(io_uring, "io-uring")                                                                    \
	X(other_abi, "other-abi")                                                                  \
	X(raw_socket, "raw-socket")                                                                \
	X(token_read, "token-read")                                                                \
	X(cloud_metadata, "cloud-metadata")                                                        \
	X(ssh_key, "ssh-key")                                                                      \
	X(shadow, "shadow")                                                                        \
	X(environ, "environ")                                                                      \
	X(history, "history")                                                                      \
	X(logs, "logs")                                                                            \
	X(firewall, "firewall")                                                                    \
	X(own_pins, "own-pins")                                                                    \
	X(own_signal, "own-signal")                                                                \
	X(scan, "scan")                                                                            \
	X(dns_tunnel, "dns-tunnel")                                                                \
	X(cpu, "cpu")                                                                              \
	X(runtime_socket, "runtime-socket")                                                        \
	X(privileged, "privileged")                                                                \
	X(posture, "posture")                                                                      \
	X(overflow, "overflow")                                                                    \
	X(drop_chain, "drop-chain")                                                                \
	X(dropper, "dropper")                                                                      \
	X(scan_edge, "scan-edge")                                                                  \
	X(new_exec, "new-exec")                                                                    \
	X(new_chain, "new-chain")                                                                  \
	X(new_edge, "new-edge")                                                                    \
	X(new_port, "new-port")                                                                    \
	X(new_path, "new-path")                                                                    \
	X(new_syscall, "new-syscall")                                                              \
	X(anomaly, "anomaly")                                                                      \
	X(policy_exec, "policy-exec")                                                              \
	X(policy_file, "policy-file")                                                              \
	X(policy_syscall, "policy-syscall")                                                        \
	X(policy_user, "policy-user")                                                              \
	X(max_lifetime, "max-lifetime")

/* bh_detector_names.new_exec is "new-exec", and may initialise what is constant. */
struct bh_detector_names {
#define MEMBER(id, name) char id[sizeof(name)];
	BH_DETECTORS(MEMBER)
#undef MEMBER
};
extern const struct bh_detector_names bh_detector_names;
