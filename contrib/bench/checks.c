/*
 * checks: what health checks cost at least: the bare system calls, without a program around them (`make bench-health`).
 *
 *	checks tcp|http|kept ADDRESS PORT RATE SECONDS
 *
 * tcp    a connection is opened and reset
 * http   a connection is opened, a request sent, the answer read, the connection closed
 * kept   RATE connections stay open; each is asked once a second
 *
 * RATE checks a second begin, some each hundredth of a second, and go on in the next ones: nothing ever waits, and nobody
 * asks whether an answer is there.  Prints percent of a processor.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TICKS = 100, RATE_MAX = 50000 };

#define HEAD "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: weir-health\r\nAccept: */*\r\n"
static const char request[] = HEAD "Connection: keep-alive\r\n\r\n";
static const char last_request[] = HEAD "Connection: close\r\n\r\n";
static struct sockaddr_in server = { .sin_family = AF_INET };
static long failures;

static double
seconds_of(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int
open_connection(int flags)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	if (fd == -1 || (connect(fd, (struct sockaddr *)&server, sizeof(server)) == -1 && errno != EINPROGRESS)) {
		perror("checks");
		exit(1);
	}
	return fd;
}

static void
reset_connection(int fd)
{
	const struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
}

static void
ask(int fd, const char *text)
{
	if (send(fd, text, strlen(text), MSG_NOSIGNAL) == -1)
		failures++;
}

static void
read_answer(int fd)
{
	char answer[4096];

	if (recv(fd, answer, sizeof(answer), MSG_DONTWAIT) <= 0)
		failures++;
}

/* What the checks that began `age` ticks ago do now.  Returns the descriptor that they go on with. */
static int
go_on(const char *mode, int age, int fd)
{
	if (strcmp(mode, "kept") == 0) {
		if (age == 0)
			ask(fd, request);
		else if (age == 1)
			read_answer(fd);
		return fd;
	}
	if (age == 0)
		return open_connection(SOCK_NONBLOCK);
	if (age == 1 && strcmp(mode, "tcp") == 0) {
		reset_connection(fd);
	} else if (age == 1) {
		ask(fd, last_request);
		return fd;
	} else if (age == 2 && strcmp(mode, "http") == 0) {
		read_answer(fd);
		close(fd);
	}
	return -1;
}

static void
sleep_until(double at)
{
	struct timespec ts = { .tv_sec = (time_t)at, .tv_nsec = (long)((at - (double)(time_t)at) * 1e9) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) != 0)
		;
}

static void
run(const char *mode, size_t rate, long seconds)
{
	static int fds[RATE_MAX];
	size_t each = rate / TICKS;
	double began, cpu;

	for (size_t i = 0; i < rate; i++)
		fds[i] = strcmp(mode, "kept") == 0 ? open_connection(0) : -1;
	began = seconds_of(CLOCK_MONOTONIC);
	cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
	for (long tick = 0; tick < seconds * TICKS; tick++) {
		for (int age = 0; age < 3 && age <= tick; age++) {
			size_t first = (size_t)((tick - age) % TICKS) * each;

			for (size_t i = first; i < first + each; i++)
				fds[i] = go_on(mode, age, fds[i]);
		}
		sleep_until(began + (double)(tick + 1) / TICKS);
	}
	cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	/* Of the time that so many checks are meant for: on a busy machine they take longer. */
	printf("%.2f\n", 100 * cpu / (double)seconds);
	if (failures > 0)
		fprintf(stderr, "checks: %ld answers were late or missing\n", failures);
}

int
main(int argc, char **argv)
{
	struct rlimit limit;
	long port, rate, seconds;

	if (argc != 6 || inet_pton(AF_INET, argv[2], &server.sin_addr) != 1) {
		fprintf(stderr, "usage: checks tcp|http|kept ADDRESS PORT RATE SECONDS\n");
		return 2;
	}
	port = strtol(argv[3], NULL, 10);
	rate = strtol(argv[4], NULL, 10);
	seconds = strtol(argv[5], NULL, 10);
	if (port < 1 || port > 65535 || rate < TICKS || rate > RATE_MAX || seconds < 1) {
		fprintf(stderr, "checks: out of bounds\n");
		return 2;
	}
	server.sin_port = htons((uint16_t)port);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	run(argv[1], (size_t)rate, seconds);
	return failures > 0;
}
