/* The lower bound for restarting: keeps one program alive with only a pidfd to wait on and a pipe
 * for its output. Exits on SIGTERM.
 *
 *   restart PROGRAM [ARGUMENT...] */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static pid_t running;

static void stop(int signal_number) {
    (void)signal_number;
    kill(running, SIGKILL);
    _exit(0);
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    signal(SIGTERM, stop);
    for (;;) {
        int out[2];
        if (pipe2(out, O_CLOEXEC) != 0) return 1;
        pid_t pid = vfork();
        if (pid == 0) {
            setsid();
            dup2(out[1], 1);
            execve(argv[1], argv + 1, environ);
            _exit(127);
        }
        running = pid;
        close(out[1]);
        struct pollfd end = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
        poll(&end, 1, -1);
        waitpid(pid, NULL, 0);
        close(end.fd);
        close(out[0]);
    }
}
