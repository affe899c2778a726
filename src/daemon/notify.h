/* notify.h - tells the service manager about our state (sd_notify(3): a datagram to NOTIFY_SOCKET).
 */
#pragma once

/* state: "READY=1", "STOPPING=1" ... Does nothing when no manager asked. */
void bh_notify(const char *state);
