/* LD_PRELOAD shim: makes calls of the C library fail on purpose. Inert until TRUST_PATH is set.
 *
 * TRUST_PATH   only files whose path contains this
 * TRUST_CALL   "sync" (fsync, fdatasync) or "write" (write, pwrite, ftruncate)
 * TRUST_AT     the call that fails first, counted from 1; 0 fails none
 * TRUST_FOR    how many calls fail; 0 means one
 * TRUST_ERRNO  with which error
 *
 * After a sync that failed, later ones report success and sync nothing: that is how Linux file systems behave, for the
 * pages count as clean once the error was told (Rebello et al., Can Applications Recover from fsync Failures?, 2020).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static long calls; /* of the kind that fails, in this process */

long trust_calls(void) { return calls; }
void trust_reset(void) { calls = 0; }

static long number(const char *name) {
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

static int concerns(int fd, const char *kind) {
    const char *wanted = getenv("TRUST_PATH"), *call = getenv("TRUST_CALL");
    char link[64], path[4096];
    ssize_t length;
    if (!wanted || !call || strcmp(call, kind)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, wanted) != NULL;
}

/* 0: go on, 1: fail, 2: lie. */
static int verdict(int fd, const char *kind) {
    long at, many;
    if (!concerns(fd, kind)) return 0;
    at = number("TRUST_AT");
    many = number("TRUST_FOR");
    calls++;
    if (!at || calls < at) return 0;
    if (calls < at + (many ? many : 1)) {
        errno = (int)number("TRUST_ERRNO");
        return 1;
    }
    return strcmp(kind, "sync") ? 0 : 2;
}

#define NEXT(type, name) static type real; if (!real) real = (type)dlsym(RTLD_NEXT, name)

static int synced(int fd, int (*real)(int)) {
    int found = verdict(fd, "sync");
    return found == 1 ? -1 : found == 2 ? 0 : real(fd);
}
typedef int (*sync_call)(int);
int fsync(int fd) { NEXT(sync_call, "fsync"); return synced(fd, real); }
int fdatasync(int fd) { NEXT(sync_call, "fdatasync"); return synced(fd, real); }

typedef ssize_t (*write_call)(int, const void *, size_t);
ssize_t write(int fd, const void *from, size_t size) {
    NEXT(write_call, "write");
    return verdict(fd, "write") ? -1 : real(fd, from, size);
}
typedef ssize_t (*pwrite_call)(int, const void *, size_t, off_t);
ssize_t pwrite(int fd, const void *from, size_t size, off_t at) {
    NEXT(pwrite_call, "pwrite");
    return verdict(fd, "write") ? -1 : real(fd, from, size, at);
}
typedef ssize_t (*pwrite64_call)(int, const void *, size_t, off64_t);
ssize_t pwrite64(int fd, const void *from, size_t size, off64_t at) {
    NEXT(pwrite64_call, "pwrite64");
    return verdict(fd, "write") ? -1 : real(fd, from, size, at);
}
typedef int (*ftruncate_call)(int, off_t);
int ftruncate(int fd, off_t size) {
    NEXT(ftruncate_call, "ftruncate");
    return verdict(fd, "write") ? -1 : real(fd, size);
}
typedef int (*ftruncate64_call)(int, off64_t);
int ftruncate64(int fd, off64_t size) {
    NEXT(ftruncate64_call, "ftruncate64");
    return verdict(fd, "write") ? -1 : real(fd, size);
}
