/* Preloaded into a program that asks at a terminal: its first wait for an answer is preceded by a Ctrl-C that comes after the program's
   last look at its signals, so late that no system call is interrupted by it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <sys/select.h>
#include <unistd.h>

static void interrupt_once(void)
{
	static int done;
	if (!done && isatty(0)) {
		done = 1;
		raise(SIGINT);
	}
}

char *fgets(char *line, int size, FILE *file)
{
	if (fileno(file) == 0)
		interrupt_once();
	return ((char *(*)(char *, int, FILE *))dlsym(RTLD_NEXT, "fgets"))(line, size, file);
}

ssize_t read(int file, void *buffer, size_t size)
{
	if (file == 0)
		interrupt_once();
	return ((ssize_t(*)(int, void *, size_t))dlsym(RTLD_NEXT, "read"))(file, buffer, size);
}

int select(int count, fd_set *readable, fd_set *writable, fd_set *failed, struct timeval *timeout)
{
	if (readable && FD_ISSET(0, readable))
		interrupt_once();
	return ((int (*)(int, fd_set *, fd_set *, fd_set *, struct timeval *))dlsym(RTLD_NEXT, "select"))(count, readable, writable, failed,
													  timeout);
}
