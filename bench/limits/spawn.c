/* The limit for starting programs: COUNT times vfork, setsid, two pipes and exec of `sleep`.
 * Prints the seconds from the first start to the last exec, then kills what it started. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    int count = argc > 1 ? atoi(argv[1]) : 1000;
    pid_t *pids = calloc((size_t)count, sizeof *pids);
    char *sleep_argv[] = {"sleep", "100000", NULL};
    double began = seconds();
    for (int i = 0; i < count; i++) {
        int out[2], err[2];
        if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) {
            perror("pipe2");
            return 1;
        }
        pid_t pid = vfork();
        if (pid == 0) {
            setsid();
            dup2(out[1], 1);
            dup2(err[1], 2);
            execve("/bin/sleep", sleep_argv, environ);
            _exit(127);
        }
        pids[i] = pid;
        close(out[1]);
        close(err[1]);
    }
    printf("%.6f\n", seconds() - began);
    for (int i = 0; i < count; i++) kill(pids[i], SIGKILL);
    for (int i = 0; i < count; i++) waitpid(pids[i], NULL, 0);
    return 0;
}
