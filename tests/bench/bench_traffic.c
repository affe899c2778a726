/* bench_traffic.c - traffic between pods for the benchmarks: servers, and clients that count.
 *
 *   serve
 *       echo 5001/tcp, sink 5002/tcp, echo and close 5003/tcp, sink 9/udp; prints "ready"
 *
 *   serve_tcp
 *       the same without 9/udp
 *
 *   stream ADDRESS SECONDS
 *       bytes a second into 5002/tcp
 *
 *   rr ADDRESS SECONDS
 *       requests of one byte a second, one connection, 5001/tcp
 *
 *   crr ADDRESS SECONDS
 *       connections a second, each with one request, 5003/tcp
 *
 *   blast IF DSTMAC SRC DST PORT fixed|moving COUNT
 *       nanoseconds a UDP datagram, whole frames from a packet socket, the source port the same
 *       or a new one each
 *
 *   hold ADDRESS COUNT
 *       COUNT idle connections to 5001/tcp; prints "ready", then when the last of them has ended,
 *       Unix time in us
 *
 *   flood ADDRESS
 *       datagrams to 9/udp until ended
 *
 *   watch
 *       receives on 9/udp; for every line on standard input the time of the last datagram,
 *       CLOCK_MONOTONIC, us
 *
 * BH_BENCH_CPU=N: run on that CPU alone. Client and server on one CPU make the rate the inverse of
 * the CPU time that one exchange costs, wake-ups between virtual CPUs left out: that shows most of
 * what enforcement adds. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#define ECHO_PORT  5001
#define SINK_PORT  5002
#define CLOSE_PORT 5003
#define UDP_PORT   9
#define MAX_FD	   4096
#define BULK	   131072

static void die(const char *what)
{
	fprintf(stderr, "bench_traffic: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct sockaddr_in address(const char *text, unsigned port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	if (text && inet_pton(AF_INET, text, &a.sin_addr) != 1)
		die(text);
	return a;
}

static void say(const char *text)
{
	puts(text);
	fflush(stdout);
}

/* ---- server ---- */

static int listen_on(unsigned port)
{
	struct sockaddr_in a = address(NULL, port);
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 4096))
		die("listen");
	return fd;
}

#define QUESTION 'q'

/* Answers questions. Everything else is thrown away by a filter where it would have been queued. */
static int udp_sink(void)
{
	struct sock_filter question[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 8),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, QUESTION, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0xffff),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog filter = {.len = 4, .filter = question};
	struct sockaddr_in a = address(NULL, UDP_PORT);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) ||
	    setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)))
		die("udp sink");
	return fd;
}

static unsigned role[MAX_FD]; /* port of the listener, + 1 on a connection */

static void add(int poll_fd, int fd, unsigned what)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

	if (fd >= MAX_FD || epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &ev))
		die("epoll");
	role[fd] = what;
}

static void take(int poll_fd, int listener)
{
	int one = 1, fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	add(poll_fd, fd, role[listener] << 16);
}

static void answer(int fd)
{
	unsigned port = role[fd] >> 16;
	static char buf[BULK];
	struct sockaddr_in who;
	socklen_t len = sizeof(who);
	ssize_t n;

	if (port == UDP_PORT) {
		n = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&who, &len);
		sendto(fd, buf, (size_t)n, 0, (struct sockaddr *)&who, len);
		return;
	}
	n = recv(fd, buf, sizeof(buf), port == SINK_PORT ? MSG_TRUNC : 0);

	if (n > 0 && port != SINK_PORT)
		n = send(fd, buf, 1, MSG_NOSIGNAL);
	if (n <= 0 || port == CLOSE_PORT)
		close(fd);
}

static _Noreturn void serve(bool has_udp)
{
	int poll_fd = epoll_create1(EPOLL_CLOEXEC);
	static const unsigned ports[] = {ECHO_PORT, SINK_PORT, CLOSE_PORT};

	for (unsigned i = 0; i < 3; i++)
		add(poll_fd, listen_on(ports[i]), ports[i]);
	if (has_udp)
		add(poll_fd, udp_sink(), UDP_PORT << 16);
	say("ready");
	for (;;) {
		struct epoll_event v[64];
		int n = epoll_wait(poll_fd, v, 64, -1);

		for (int i = 0; i < n; i++) {
			if (role[v[i].data.fd] >> 16)
				answer(v[i].data.fd);
			else
				take(poll_fd, v[i].data.fd);
		}
	}
}

/* ---- clients ---- */

static int connect_to(const char *addr, unsigned port)
{
	struct sockaddr_in a = address(addr, port);
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)))
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static int rate(uint64_t count, uint64_t from_ns)
{
	printf("%.1f\n", (double)count * 1e9 / (double)(now_ns() - from_ns));
	return 0;
}

static int stream(const char *addr, double seconds)
{
	static char buf[BULK];
	int fd = connect_to(addr, SINK_PORT);
	uint64_t from = now_ns(), end = from + (uint64_t)(seconds * 1e9), sent = 0;

	while (now_ns() < end) {
		ssize_t n = send(fd, buf, sizeof(buf), 0);

		if (n < 0)
			die("send");
		sent += (uint64_t)n;
	}
	return rate(sent, from);
}

static void ask(int fd)
{
	char c = 'x';

	if (send(fd, &c, 1, 0) != 1 || recv(fd, &c, 1, 0) != 1)
		die("request");
}

static int rr(const char *addr, double seconds)
{
	int fd = connect_to(addr, ECHO_PORT);
	uint64_t from = now_ns(), end = from + (uint64_t)(seconds * 1e9), n = 0;

	for (; now_ns() < end; n++)
		ask(fd);
	return rate(n, from);
}

/* The server closes first, so the client's ports are free again at once. */
static int crr(const char *addr, double seconds)
{
	uint64_t from = now_ns(), end = from + (uint64_t)(seconds * 1e9), n = 0;
	char c;

	for (; now_ns() < end; n++) {
		int fd = connect_to(addr, CLOSE_PORT);

		ask(fd);
		if (recv(fd, &c, 1, 0) != 0)
			die("close");
		close(fd);
	}
	return rate(n, from);
}

/* ---- whole frames ---- */

static uint16_t checksum(const uint8_t *p, int n)
{
	uint32_t sum = 0;

	for (int i = 0; i < n; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static void own_mac(int fd, const char *name, uint8_t mac[6])
{
	struct ifreq rq = {0};

	snprintf(rq.ifr_name, sizeof(rq.ifr_name), "%s", name);
	if (ioctl(fd, SIOCGIFHWADDR, &rq))
		die(name);
	memcpy(mac, rq.ifr_hwaddr.sa_data, 6);
}

#define DATAGRAM 20
#define FRAME	 (ETH_HLEN + 20 + 8 + DATAGRAM)

static void build(int fd, uint8_t *f, char **argv)
{
	uint8_t *ip = f + ETH_HLEN;
	uint16_t len = htons(20 + 8 + DATAGRAM), sum;

	sscanf(argv[1], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", f, f + 1, f + 2, f + 3, f + 4, f + 5);
	own_mac(fd, argv[0], f + 6);
	f[12] = 8;
	ip[0] = 0x45;
	memcpy(ip + 2, &len, 2);
	ip[8] = 64;
	ip[9] = IPPROTO_UDP;
	if (inet_pton(AF_INET, argv[2], ip + 12) != 1 || inet_pton(AF_INET, argv[3], ip + 16) != 1)
		die("address");
	sum = checksum(ip, 20);
	memcpy(ip + 10, &sum, 2);
	ip[20] = 4000 >> 8;
	ip[21] = 4000 & 255;
	ip[22] = (uint8_t)(atoi(argv[4]) >> 8);
	ip[23] = (uint8_t)atoi(argv[4]);
	ip[25] = 8 + DATAGRAM;
}

/* A question and its answer from the port of the blast: the flow is known in both directions. Where
 * it is refused there is no answer, and no flow to be known. */
static void establish(const char *to, int port)
{
	struct sockaddr_in from = address(NULL, 4000), a = address(to, (unsigned)port);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char c = QUESTION;

	if (fd < 0 || bind(fd, (struct sockaddr *)&from, sizeof(from)))
		die("udp socket");
	if (sendto(fd, &c, 1, 0, (struct sockaddr *)&a, sizeof(a)) == 1 && poll(&p, 1, 100) == 1)
		recv(fd, &c, 1, 0);
	close(fd);
}

/* IF DSTMAC SRC DST PORT fixed|moving COUNT */
static int blast(char **argv)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET,
				 .sll_protocol = htons(ETH_P_IP),
				 .sll_ifindex = (int)if_nametoindex(argv[0])};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), bypass = 1;
	int count = atoi(argv[6]), moves = strcmp(argv[5], "moving") == 0;
	uint8_t f[FRAME] = {0};
	uint64_t from;

	if (fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof(to)))
		die("packet socket");
	build(fd, f, argv);
	if (!moves)
		establish(argv[3], atoi(argv[4]));
	setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &bypass, sizeof(bypass));
	if (send(fd, f, sizeof(f), 0) != sizeof(f)) /* neighbours are known from here on */
		die("send");
	usleep(1000);
	from = now_ns();
	for (int i = 0; i < count; i++) {
		unsigned port = 4000 + (moves ? (unsigned)i % 60000 : 0);

		f[ETH_HLEN + 20] = (uint8_t)(port >> 8);
		f[ETH_HLEN + 21] = (uint8_t)port;
		if (send(fd, f, sizeof(f), 0) < 0 && errno != ENOBUFS)
			die("send");
	}
	printf("%.1f\n", (double)(now_ns() - from) / count);
	return 0;
}

/* ---- for quarantines ---- */

static void print_us(const struct timespec *t)
{
	printf("%llu\n",
	       (unsigned long long)t->tv_sec * 1000000 + (unsigned long long)t->tv_nsec / 1000);
	fflush(stdout);
}

static int hold(const char *addr, int count)
{
	struct timespec now;
	int poll_fd = epoll_create1(EPOLL_CLOEXEC);

	for (int i = 0; i < count; i++)
		add(poll_fd, connect_to(addr, ECHO_PORT), 0);
	say("ready");
	while (count > 0) {
		struct epoll_event v[64];
		int n = epoll_wait(poll_fd, v, 64, -1);

		for (int i = 0; i < n; i++, count--)
			close(v[i].data.fd);
	}
	clock_gettime(CLOCK_REALTIME, &now);
	print_us(&now);
	return 0;
}

static _Noreturn void flood(const char *addr)
{
	struct sockaddr_in a = address(addr, UDP_PORT);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const struct timespec pause = {.tv_nsec = 1000000};

	if (fd < 0)
		die("socket");
	for (;;) {
		/* refused for a while by a quarantine: then there is no hurry */
		if (sendto(fd, "x", 1, 0, (struct sockaddr *)&a, sizeof(a)) < 0)
			nanosleep(&pause, NULL);
	}
}

/* Takes a datagram; when the kernel had it, into *t. */
static void take_stamp(int fd, struct timespec *t)
{
	char buf[64], control[128];
	struct iovec iov = {buf, sizeof(buf)};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};

	if (recvmsg(fd, &m, MSG_DONTWAIT) < 0)
		return;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS)
			memcpy(t, CMSG_DATA(c), sizeof(*t));
}

static int watch(void)
{
	struct sockaddr_in a = address(NULL, UDP_PORT);
	struct pollfd p[2] = {{.fd = 0, .events = POLLIN}, {.events = POLLIN}};
	struct timespec last = {0};
	int one = 1;
	char buf[64];

	p[1].fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (p[1].fd < 0 || bind(p[1].fd, (struct sockaddr *)&a, sizeof(a)) ||
	    setsockopt(p[1].fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one)))
		die("watch");
	say("ready");
	for (;;) {
		poll(p, 2, -1);
		if (p[1].revents & POLLIN)
			take_stamp(p[1].fd, &last);
		else if (p[0].revents && read(0, buf, sizeof(buf)) <= 0)
			return 0;
		else if (p[0].revents)
			print_us(&last);
	}
}

static void place(void)
{
	const char *cpu = getenv("BH_BENCH_CPU");
	cpu_set_t set;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!cpu)
		return;
	CPU_ZERO(&set);
	CPU_SET((unsigned)atoi(cpu), &set);
	sched_setaffinity(0, sizeof(set), &set);
	setpriority(PRIO_PROCESS, 0, -20);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	place();
	if (!strcmp(what, "serve"))
		serve(true);
	if (!strcmp(what, "serve_tcp"))
		serve(false);
	if (!strcmp(what, "watch"))
		return watch();
	if (!strcmp(what, "flood") && argc == 3)
		flood(argv[2]);
	if (!strcmp(what, "hold") && argc == 4)
		return hold(argv[2], atoi(argv[3]));
	if (!strcmp(what, "blast") && argc == 9)
		return blast(argv + 2);
	if (argc == 4 && !strcmp(what, "stream"))
		return stream(argv[2], atof(argv[3]));
	if (argc == 4 && !strcmp(what, "rr"))
		return rr(argv[2], atof(argv[3]));
	if (argc == 4 && !strcmp(what, "crr"))
		return crr(argv[2], atof(argv[3]));
	fprintf(stderr, "usage: see the head of bench_traffic.c\n");
	return 2;
}
