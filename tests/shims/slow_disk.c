/* Preloaded into the exporter by tests/disk.rs and tests/stopping.rs: a disk that is slow,
 * hangs, or is full.
 *
 * Each fdatasync and fsync of the state first waits for as many milliseconds as the file
 * that SLOW_DISK names says, and looks at it again every 10 ms: so a hang can end. A
 * negative number is a disk without space. The first to wait makes the file that ASKED
 * names. With NO_LOCKS the file system knows no locks. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static long wanted(void) {
    const char *name = getenv("SLOW_DISK");
    FILE *file = name ? fopen(name, "r") : NULL;
    long milliseconds = 0;
    if (file) {
        if (fscanf(file, "%ld", &milliseconds) != 1) milliseconds = 0;
        fclose(file);
    }
    return milliseconds;
}

/* 0, or -1 if the disk is full. */
static int wait_for_disk(int descriptor) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (!strstr(path, "state.redb")) return 0;
    const char *asked = getenv("ASKED");
    for (long waited = 0; waited < wanted(); waited += 10) {
        // Here, since the disk may begin to hang between two looks at it.
        if (asked && waited == 0) close(open(asked, O_CREAT | O_WRONLY, 0600));
        usleep(10 * 1000);
    }
    if (wanted() >= 0) return 0;
    errno = ENOSPC;
    return -1;
}

int fdatasync(int descriptor) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fdatasync");
    return wait_for_disk(descriptor) ? -1 : real(descriptor);
}

int fsync(int descriptor) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
    return wait_for_disk(descriptor) ? -1 : real(descriptor);
}

int flock(int descriptor, int operation) {
    int (*real)(int, int) = dlsym(RTLD_NEXT, "flock");
    if (!getenv("NO_LOCKS")) return real(descriptor, operation);
    errno = EOPNOTSUPP;
    return -1;
}

static int control(const char *name, int descriptor, int command, void *argument) {
    int (*real)(int, int, ...) = dlsym(RTLD_NEXT, name);
    int locks = command == F_OFD_SETLK || command == F_OFD_SETLKW || command == F_OFD_GETLK;
    if (!locks || !getenv("NO_LOCKS")) return real(descriptor, command, argument);
    errno = EOPNOTSUPP;
    return -1;
}

int fcntl(int descriptor, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return control("fcntl", descriptor, command, argument);
}

int fcntl64(int descriptor, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return control("fcntl64", descriptor, command, argument);
}
