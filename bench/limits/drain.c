/* The lower bound for capturing output: runs a shell command on a pty or a pipe and copies its
 * output into a file, 64 KiB per read. Prints the seconds from the start to the end of output, and
 * its own CPU seconds.
 *
 *   drain pty|pipe FILE COMMAND */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void open_pty(int *ours, int *theirs) {
    *ours = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    grantpt(*ours);
    unlockpt(*ours);
    *theirs = open(ptsname(*ours), O_RDWR | O_NOCTTY | O_CLOEXEC);
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    int ours, theirs, on_pty = strcmp(argv[1], "pty") == 0;
    if (on_pty) {
        open_pty(&ours, &theirs);
    } else {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) != 0) return 1;
        ours = ends[0];
        theirs = ends[1];
    }
    int file = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    double began = seconds();
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        if (on_pty) ioctl(theirs, TIOCSCTTY, 0);
        if (on_pty) dup2(theirs, 0);
        dup2(theirs, 1);
        dup2(theirs, 2);
        execl("/bin/sh", "sh", "-c", argv[3], NULL);
        _exit(127);
    }
    close(theirs);
    static char buffer[65536];
    for (;;) {
        ssize_t got = read(ours, buffer, sizeof buffer);
        if (got <= 0) break;
        if (write(file, buffer, (size_t)got) != got) return 1;
    }
    waitpid(pid, NULL, 0);
    double ended = seconds();
    struct rusage own;
    getrusage(RUSAGE_SELF, &own);
    double cpu = (double)(own.ru_utime.tv_sec + own.ru_stime.tv_sec)
        + (double)(own.ru_utime.tv_usec + own.ru_stime.tv_usec) / 1e6;
    printf("%.6f %.6f\n", ended - began, cpu);
    return 0;
}
