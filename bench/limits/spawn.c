/* The lower bound for starting programs: COUNT times vfork, setsid, two pipes or a pty, and exec.
 * Prints the seconds from the first start to the last exec, then kills the programs. With `stay`,
 * it waits for the end of its input before that.
 *
 *   spawn pipe|pty COUNT [stay] PROGRAM [ARGUMENT...] */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Our ends stay open, theirs are returned. */
static int open_pty(int theirs[2]) {
    int ours = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), unlocked = 0;
    if (ours < 0 || ioctl(ours, TIOCSPTLCK, &unlocked) != 0) return -1;
    theirs[0] = theirs[1] = ioctl(ours, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    return theirs[0];
}

static int open_pipes(int theirs[2]) {
    for (int i = 0; i < 2; i++) {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) != 0) return -1;
        theirs[i] = ends[1];
    }
    return 0;
}

static pid_t start(char **arguments, int on_pty, const int theirs[2]) {
    pid_t pid = vfork();
    if (pid != 0) return pid;
    setsid();
    if (on_pty) ioctl(theirs[0], TIOCSCTTY, 0);
    if (on_pty) dup2(theirs[0], 0);
    dup2(theirs[0], 1);
    dup2(theirs[1], 2);
    execve(arguments[0], arguments, environ);
    _exit(127);
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    int on_pty = strcmp(argv[1], "pty") == 0, count = atoi(argv[2]);
    int stay = strcmp(argv[3], "stay") == 0;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    pid_t *pids = calloc((size_t)count, sizeof *pids);
    double began = seconds();
    for (int i = 0; i < count; i++) {
        int theirs[2];
        if ((on_pty ? open_pty(theirs) : open_pipes(theirs)) < 0) {
            perror("spawn");
            return 1;
        }
        pids[i] = start(argv + 3 + stay, on_pty, theirs);
        close(theirs[0]);
        if (!on_pty) close(theirs[1]);
    }
    printf("%.6f\n", seconds() - began);
    fflush(stdout);
    while (stay && getchar() != EOF) {}
    for (int i = 0; i < count; i++) kill(pids[i], SIGTERM);
    for (int i = 0; i < count; i++) waitpid(pids[i], NULL, 0);
    return 0;
}
