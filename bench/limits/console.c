/* Acts as the user of terminals: runs commands, each in its own pty, types into them, and measures
 * the time until the expected text is shown. It is in C because an interpreter costs more than the
 * differences. All output is read at once, as by an infinitely fast terminal.
 *
 *   console echo KEYS COMMAND...        types one key at a time, in turn over all commands, and
 *                                       times its echo; prints "MIN P50 P99" in us per command
 *   console keys KEYS COMMAND...        the same, but prints all times in us, sorted, one line
 *                                       per command: for figures over several runs
 *   console say TEXT UNTIL COMMAND      waits for output and then silence, types TEXT, and
 *                                       prints "SECONDS BYTES" until UNTIL is shown
 *   console show UNTIL COMMAND          prints "SECONDS BYTES" from start until UNTIL is shown
 *   console paste COUNT UNTIL COMMAND   types COUNT letters as fast as possible, and prints
 *                                       "SECONDS BYTES" until UNTIL, and the rest of its line
 *
 * /bin/sh runs each command. A wait of more than 60 s exits with 3. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SESSIONS_MAX = 16, PATIENCE_MS = 60000, QUIET_MS = 300 };

struct session {
    int master;
    pid_t pid;
    double *samples;
};

static struct session sessions[SESSIONS_MAX];
static char shown[1 << 18];

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void fail(const char *why) {
    fprintf(stderr, "console: %s\n", why);
    for (int i = 0; i < SESSIONS_MAX; i++) {
        if (sessions[i].pid > 0) kill(sessions[i].pid, SIGHUP);
    }
    exit(3);
}

/* `exec` and plain words run without a shell, so that its start is not measured. */
static void run(const char *command) {
    static char copy[4096];
    char *words[64] = {0};
    size_t count = 0;
    if (strncmp(command, "exec ", 5) == 0 && strpbrk(command, "'\"\\$`;&|<>()*?[]{}~#\n") == NULL) {
        snprintf(copy, sizeof copy, "%s", command + 5);
        for (char *word = strtok(copy, " "); word != NULL && count < 63; word = strtok(NULL, " ")) {
            words[count++] = word;
        }
        execvp(words[0], words);
        return;
    }
    execl("/bin/sh", "sh", "-c", command, NULL);
}

static struct session start(const char *command) {
    struct session new = {.master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)};
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    grantpt(new.master);
    unlockpt(new.master);
    int theirs = open(ptsname(new.master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    ioctl(theirs, TIOCSWINSZ, &size);
    new.pid = vfork();
    if (new.pid == 0) {
        setsid();
        ioctl(theirs, TIOCSCTTY, 0);
        dup2(theirs, 0);
        dup2(theirs, 1);
        dup2(theirs, 2);
        run(command);
        _exit(127);
    }
    close(theirs);
    return new;
}

/* Reads available output; returns -1 after `wait_ms` without any. */
static ssize_t look(int master, char *into, size_t room, int wait_ms) {
    ssize_t got = read(master, into, room);
    if (got >= 0) return got;
    if (errno == EIO) fail("the command ended");
    struct pollfd one = {.fd = master, .events = POLLIN};
    if (poll(&one, 1, wait_ms) <= 0) return -1;
    got = read(master, into, room);
    if (got < 0 && errno == EIO) fail("the command ended");
    return got;
}

static void settle(int master) {
    if (look(master, shown, sizeof shown, PATIENCE_MS) < 0) fail("nothing was shown");
    while (look(master, shown, sizeof shown, QUIET_MS) >= 0) {}
}

/* Reads until the text is shown, even if it is split over reads. Returns the bytes read, and moves
 * the output behind the text to the start of `shown`. */
static long long await(int master, const char *text) {
    long long total = 0;
    size_t kept = 0, length = strlen(text);
    for (;;) {
        ssize_t got = look(master, shown + kept, sizeof shown - kept - 1, PATIENCE_MS);
        if (got < 0) fail("the expected text was not shown");
        total += got;
        size_t have = kept + (size_t)got;
        char *found = memmem(shown, have, text, length);
        if (found != NULL) {
            size_t after = have - (size_t)(found - shown) - length;
            memmove(shown, found + length, after);
            shown[after] = '\0';
            return total;
        }
        kept = have < length ? have : length - 1;
        memmove(shown, shown + have - kept, kept);
    }
}

static void type(int master, const char *text, size_t count) {
    while (count > 0) {
        ssize_t done = write(master, text, count);
        if (done > 0) {
            text += done;
            count -= (size_t)done;
            continue;
        }
        /* Read output meanwhile, or both sides wait for each other. */
        struct pollfd one = {.fd = master, .events = POLLIN | POLLOUT};
        if (poll(&one, 1, PATIENCE_MS) <= 0) fail("the input was not read");
        if (one.revents & POLLIN) (void)!read(master, shown, sizeof shown);
    }
}

static int by_size(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double keystroke(int master, char key) {
    while (look(master, shown, sizeof shown, 0) > 0) {}
    double began = now();
    type(master, &key, 1);
    for (;;) {
        ssize_t got = look(master, shown, sizeof shown, PATIENCE_MS);
        if (got < 0) fail("a key was not echoed");
        if (memchr(shown, key, (size_t)got) != NULL) return now() - began;
    }
}

static void echo(int keys, int count, int all_times) {
    struct timespec pause = {.tv_nsec = 1000000};
    for (int i = 0; i < count; i++) sessions[i].samples = calloc((size_t)keys, sizeof(double));
    for (int k = 0; k < keys; k++) {
        for (int i = 0; i < count; i++) {
            if (k % 64 == 63) {
                type(sessions[i].master, "\f", 1);
                look(sessions[i].master, shown, sizeof shown, QUIET_MS);
                nanosleep(&pause, NULL);
            }
            /* Neither occurs in an escape sequence, and they alternate. */
            sessions[i].samples[k] = keystroke(sessions[i].master, k % 2 ? '#' : '%');
            nanosleep(&pause, NULL);
        }
    }
    for (int i = 0; i < count; i++) {
        double *all = sessions[i].samples;
        qsort(all, (size_t)keys, sizeof *all, by_size);
        if (!all_times) {
            double half = all[keys / 2], most = all[keys * 99 / 100];
            printf("%.2f %.2f %.2f\n", all[0] * 1e6, half * 1e6, most * 1e6);
            continue;
        }
        for (int k = 0; k < keys; k++) printf("%.2f%c", all[k] * 1e6, k + 1 < keys ? ' ' : '\n');
    }
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "";
    int keys_only = strcmp(mode, "echo") == 0 || strcmp(mode, "keys") == 0;
    int first = strcmp(mode, "show") == 0 || keys_only ? 3 : 4;
    if (argc <= first || argc - first > SESSIONS_MAX) return 2;
    double began = now();
    for (int i = first; i < argc; i++) sessions[i - first] = start(argv[i]);
    int master = sessions[0].master;
    if (strcmp(mode, "show") == 0) {
        long long bytes = await(master, argv[2]);
        printf("%.6f %lld\n", now() - began, bytes);
    } else if (keys_only) {
        for (int i = first; i < argc; i++) settle(sessions[i - first].master);
        echo(atoi(argv[2]), argc - first, strcmp(mode, "keys") == 0);
    } else {
        settle(master);
        began = now();
        if (strcmp(mode, "say") == 0) {
            type(master, argv[2], strlen(argv[2]));
        } else {
            size_t count = (size_t)atoll(argv[2]);
            char *letters = malloc(count);
            for (size_t i = 0; i < count; i++) letters[i] = (char)('a' + i % 26);
            type(master, letters, count);
        }
        long long bytes = await(master, argv[3]);
        printf("%.6f %lld %.*s\n", now() - began, bytes, (int)strcspn(shown, "\r\n"), shown);
    }
    for (int i = 0; i < argc - first; i++) {
        close(sessions[i].master);
        kill(sessions[i].pid, SIGHUP);
        waitpid(sessions[i].pid, NULL, 0);
    }
    return 0;
}
