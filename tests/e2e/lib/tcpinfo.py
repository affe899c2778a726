"""What the kernel knows of a TCP connection."""
import socket
import struct

# offsets in struct tcp_info (linux/tcp.h): segments sent again, and how many of them in vain
TOTAL_RETRANS, DSACK_DUPS = 100, 216


def lost(s):
    """Segments that never arrived: sent again, and not in vain. How long a processor was waited for,
    at either end, does not count."""
    if s.fileno() < 0 or s.family == socket.AF_UNIX or s.type != socket.SOCK_STREAM:
        return 0
    try:
        info = s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    except OSError:  # it is closed meanwhile
        return 0
    again, = struct.unpack_from("I", info, TOTAL_RETRANS)
    in_vain, = struct.unpack_from("I", info, DSACK_DUPS)
    return max(0, again - in_vain)
