/*
 * The bot that is measured: tells when its first instruction ran, waits for
 * SIGUSR2, tells when it leaves, exits 42. Usage: bot FIFO FILE.
 *
 * C, static and without a runtime, because what is measured is the supervisor
 * and not the bot. bot/main.go is the same for machines without a compiler.
 */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv)
{
	long long start = now();
	char line[64];
	sigset_t usr2;
	int fifo, file, sig, n;

	sigemptyset(&usr2);
	sigaddset(&usr2, SIGUSR2);
	sigprocmask(SIG_BLOCK, &usr2, 0);
	if (argc != 3 || (fifo = open(argv[1], O_WRONLY | O_CLOEXEC)) < 0 ||
	    (file = open(argv[2], O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) < 0)
		return 1;
	n = snprintf(line, sizeof line, "%ld %lld\n", (long)getpid(), start);
	if (write(fifo, line, n) != n)
		return 1;
	if (sigwait(&usr2, &sig) != 0)
		return 1;
	/*
	 * A fixed width in a file that nobody watches: the successor may be up
	 * before it is read, and no reader is woken while the time runs.
	 */
	n = snprintf(line, sizeof line, "%020lld\n", now());
	if (pwrite(file, line, n, 0) != n)
		return 1;
	_exit(42);
}
