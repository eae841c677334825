/* The supervised child of a measurement. It does only the work that the row needs.
 *
 *   child stamp FIFO          writes "PID NANOSECONDS" (CLOCK_MONOTONIC) into FIFO, then waits
 *   child emit BYTES          writes BYTES in lines of 80, 64 KiB per write, then exits
 *   child emit-raw BYTES      the same into a raw terminal
 *   child flood GO DONE       for each line "SECONDS" read from FIFO GO: writes lines for that
 *                             time, then the number of bytes into FIFO DONE
 *   child echo                raw terminal: returns each byte; a form feed clears the screen
 *   child paste BYTES SECONDS raw terminal: sleeps when the first byte arrives, then reads BYTES
 *                             and prints the number of wrong ones: "paste: N wrong"
 *   child paint BYTES         fills the history with coloured lines, then prints "painted" */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 80, CHUNK = 65536 / LINE * LINE };

static char chunk[CHUNK];

static long long now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void write_all(int fd, const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t done = write(fd, bytes, count);
        if (done <= 0) exit(1);
        bytes += done;
        count -= (size_t)done;
    }
}

static void fill_chunk(void) {
    for (int i = 0; i < CHUNK; i++) chunk[i] = (char)('0' + i % LINE % 10);
    for (int i = LINE - 1; i < CHUNK; i += LINE) chunk[i] = '\n';
}

static void emit(long long count) {
    while (count > 0) {
        size_t part = count < CHUNK ? (size_t)count : CHUNK;
        write_all(1, chunk, part);
        count -= (long long)part;
    }
}

static void make_raw(void) {
    struct termios modes;
    if (tcgetattr(0, &modes) != 0) return;
    cfmakeraw(&modes);
    tcsetattr(0, TCSANOW, &modes);
}

static void stamp(const char *path) {
    long long at = now_ns();
    char line[64];
    int count = snprintf(line, sizeof line, "%d %lld\n", getpid(), at);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    write_all(fd, line, (size_t)count);
    /* Keep it open: the reader of the FIFO sees its end when the last child is gone. */
    for (;;) pause();
}

/* Commands come through one FIFO and replies go through another, so the measuring program needs
 * neither the terminal nor the supervisor. Both are reopened per command, so that several children
 * can wait. */
static int flood(const char *go, const char *done) {
    enum { PART = CHUNK / 8 / LINE * LINE };
    for (;;) {
        char line[64];
        FILE *in = fopen(go, "r");
        if (in == NULL) return 1;
        char *got = fgets(line, sizeof line, in);
        fclose(in);
        if (got == NULL) continue;
        long long end = now_ns() + atoll(line) * 1000000000LL, written = 0;
        for (; now_ns() < end; written += PART) write_all(1, chunk, PART);
        /* A unique last screen. */
        for (int i = 0; i < 30; i++) {
            int count = snprintf(line, sizeof line, "%d after %lld bytes\n", i, written);
            write_all(1, line, (size_t)count);
        }
        int count = snprintf(line, sizeof line, "%lld\n", written);
        int fd = open(done, O_WRONLY | O_CLOEXEC);
        write_all(fd, line, (size_t)count);
        close(fd);
    }
}

static int echo(void) {
    static char typed[65536];
    make_raw();
    write_all(1, "ready\r\n", 7);
    for (;;) {
        ssize_t got = read(0, typed, sizeof typed);
        if (got <= 0) return 0;
        if (typed[0] == '\f') {
            write_all(1, "\033[2J\033[H", 7);
        } else {
            write_all(1, typed, (size_t)got);
        }
    }
}

static void paste(long long count, unsigned seconds) {
    static char pasted[65536];
    long long at = 0, wrong = 0;
    make_raw();
    write_all(1, "ready\r\n", 7);
    struct pollfd typed = {.fd = 0, .events = POLLIN};
    poll(&typed, 1, -1);
    sleep(seconds);
    while (at < count) {
        ssize_t got = read(0, pasted, sizeof pasted);
        if (got <= 0) return;
        for (ssize_t i = 0; i < got; i++, at++) wrong += pasted[i] != 'a' + at % 26;
    }
    char line[64];
    int length = snprintf(line, sizeof line, "paste: %lld wrong\r\n", wrong);
    write_all(1, line, (size_t)length);
    for (;;) pause();
}

static void paint(long long count) {
    char line[128];
    for (long long at = 0, number = 0; at < count; number++) {
        int length = snprintf(line, sizeof line, "\033[3%lldm%08lld\033[0m %s\n", number % 7 + 1,
                              number, "a line of output of a usual length, with some colour");
        write_all(1, line, (size_t)length);
        at += length;
    }
    write_all(1, "painted", 7);
    for (;;) pause();
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "";
    fill_chunk();
    if (argc == 3 && strcmp(mode, "stamp") == 0) stamp(argv[2]);
    if (argc == 3 && strcmp(mode, "emit") == 0) return emit(atoll(argv[2])), 0;
    if (argc == 3 && strcmp(mode, "emit-raw") == 0) return make_raw(), emit(atoll(argv[2])), 0;
    if (argc == 4 && strcmp(mode, "flood") == 0) return flood(argv[2], argv[3]);
    if (argc == 2 && strcmp(mode, "echo") == 0) return echo();
    if (argc == 4 && strcmp(mode, "paste") == 0)
        paste(atoll(argv[2]), (unsigned)atoi(argv[3]));
    if (argc == 3 && strcmp(mode, "paint") == 0) paint(atoll(argv[2]));
    fprintf(stderr, "see the comment in child.c\n");
    return 2;
}
