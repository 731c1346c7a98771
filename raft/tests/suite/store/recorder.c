/* Records what a process does to the files under one directory, in the order in which it is done.
 *
 * Loaded before the C library (LD_PRELOAD), it carries out each call and appends a record of it to
 * the file CONVOY_RECORD_TO, for files under CONVOY_RECORD_UNDER:
 *
 *   u8 kind, u64 file (inode), u64 number, u32 length, then that many bytes
 *
 *   C create a file            bytes: its path
 *   T truncate                 number: length
 *   W write                    number: offset, bytes: what was written
 *   B, E begin and end a sync  number: of the sync
 *   b, e of a directory        number: of the sync, bytes: its path
 *   R rename                   bytes: from, a zero, to
 *   U unlink, M mkdir, D rmdir bytes: path
 *
 * It can also play a failing disk: CONVOY_RECORD_WRITES_MAX and CONVOY_RECORD_SYNCS_MAX say after how
 * many calls each further one fails, but for files named "report".
 *
 * A write is recorded under one lock with being done. A sync is not done under the lock: what is
 * recorded before its beginning is durable once its end is recorded.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int out = -1;
static const char *under;
static size_t under_length;
static uint64_t syncs;
static long writes_left = LONG_MAX, syncs_left = LONG_MAX;

#define REAL(type, name, ...) \
    static type (*real_##name)(__VA_ARGS__); \
    if (!real_##name) real_##name = dlsym(RTLD_NEXT, #name)

static ssize_t real_write_to(int fd, const void *bytes, size_t length) {
    REAL(ssize_t, write, int, const void *, size_t);
    return real_write(fd, bytes, length);
}

static long limit(const char *name) {
    const char *text = getenv(name);
    return text ? atol(text) : LONG_MAX;
}

/* Counts a call, and says whether it has to fail. */
static int fails(long *left, const char *path, int error) {
    const char *name = strrchr(path, '/');
    if (name && strcmp(name, "/report") == 0) return 0;
    if (*left > 0) {
        --*left;
        return 0;
    }
    errno = error;
    return 1;
}

__attribute__((constructor)) static void begin(void) {
    writes_left = limit("CONVOY_RECORD_WRITES_MAX");
    syncs_left = limit("CONVOY_RECORD_SYNCS_MAX");
    const char *to = getenv("CONVOY_RECORD_TO");
    under = getenv("CONVOY_RECORD_UNDER");
    if (!to || !under) return;
    under_length = strlen(under);
    REAL(int, open, const char *, int, ...);
    out = real_open(to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int is_under(const char *path) {
    return out >= 0 && strncmp(path, under, under_length) == 0 &&
           (path[under_length] == '/' || path[under_length] == 0);
}

/* The path of an open file, if it is recorded. */
static int path_of(int fd, char *path) {
    char link[64];
    if (out < 0 || fd == out) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_under(path);
}

/* The absolute path of `name` in directory `at`, if it is recorded. */
static int path_at(int at, const char *name, char *path) {
    if (name[0] == '/') {
        snprintf(path, PATH_MAX, "%s", name);
        return is_under(path);
    }
    char directory[PATH_MAX];
    if (at == AT_FDCWD || !path_of(at, directory)) return 0;
    if (snprintf(path, PATH_MAX, "%s/%s", directory, name) >= PATH_MAX) return 0;
    return is_under(path);
}

static uint64_t inode_of(int fd) {
    struct stat status;
    return fstat(fd, &status) == 0 ? (uint64_t)status.st_ino : 0;
}

static int is_directory(int fd) {
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
}

static void record(char kind, uint64_t file, uint64_t number, const void *bytes, size_t length) {
    unsigned char head[21];
    uint32_t short_length = (uint32_t)length;
    head[0] = (unsigned char)kind;
    memcpy(head + 1, &file, 8);
    memcpy(head + 9, &number, 8);
    memcpy(head + 17, &short_length, 4);
    REAL(ssize_t, writev, int, const struct iovec *, int);
    struct iovec parts[2] = {{head, sizeof head}, {(void *)bytes, length}};
    size_t left = sizeof head + length;
    ssize_t written = real_writev(out, parts, 2);
    if (written < 0 || (size_t)written != left) abort();
}

static int opened(int fd, const char *path, int flags, int existed) {
    if (fd >= 0) {
        if (!existed && (flags & O_CREAT)) record('C', inode_of(fd), 0, path, strlen(path));
        else if (flags & O_TRUNC) record('T', inode_of(fd), 0, "", 0);
    }
    return fd;
}

static int open_at(int at, const char *name, int flags, mode_t mode) {
    REAL(int, openat, int, const char *, int, ...);
    char path[PATH_MAX];
    if (!(flags & (O_CREAT | O_TRUNC)) || !path_at(at, name, path))
        return real_openat(at, name, flags, mode);
    pthread_mutex_lock(&lock);
    int existed = access(path, F_OK) == 0;
    int fd = opened(real_openat(at, name, flags, mode), path, flags, existed);
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE(flags, mode) \
    mode_t mode = 0; \
    if ((flags) & O_CREAT) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }

int open(const char *name, int flags, ...) { MODE(flags, mode) return open_at(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE(flags, mode) return open_at(AT_FDCWD, name, flags | O_LARGEFILE, mode); }
int openat(int at, const char *name, int flags, ...) { MODE(flags, mode) return open_at(at, name, flags, mode); }
int openat64(int at, const char *name, int flags, ...) { MODE(flags, mode) return open_at(at, name, flags | O_LARGEFILE, mode); }

ssize_t write(int fd, const void *bytes, size_t length) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return real_write_to(fd, bytes, length);
    pthread_mutex_lock(&lock);
    struct stat status;
    off_t at = lseek(fd, 0, SEEK_CUR);
    if (fails(&writes_left, path, ENOSPC)) {
        pthread_mutex_unlock(&lock);
        return -1;
    }
    if ((fcntl(fd, F_GETFL) & O_APPEND) && fstat(fd, &status) == 0) at = status.st_size;
    ssize_t written = real_write_to(fd, bytes, length);
    if (written > 0) record('W', inode_of(fd), (uint64_t)at, bytes, (size_t)written);
    pthread_mutex_unlock(&lock);
    return written;
}

static ssize_t write_at(int fd, const void *bytes, size_t length, off64_t at) {
    REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
    char path[PATH_MAX];
    if (!path_of(fd, path)) return real_pwrite64(fd, bytes, length, at);
    pthread_mutex_lock(&lock);
    int full = fails(&writes_left, path, ENOSPC);
    ssize_t written = full ? -1 : real_pwrite64(fd, bytes, length, at);
    if (written > 0) record('W', inode_of(fd), (uint64_t)at, bytes, (size_t)written);
    pthread_mutex_unlock(&lock);
    return written;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { return write_at(fd, bytes, length, at); }
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) { return write_at(fd, bytes, length, at); }

/* Nothing here is known to use these on a recorded file: whoever begins to must teach the recorder. */
ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    char path[PATH_MAX];
    if (path_of(fd, path)) abort();
    return real_writev(fd, parts, count);
}

static int sync_with(int fd, int (*real)(int)) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return real(fd);
    int directory = is_directory(fd);
    uint64_t file = inode_of(fd);
    pthread_mutex_lock(&lock);
    if (fails(&syncs_left, path, EIO)) {
        pthread_mutex_unlock(&lock);
        return -1;
    }
    uint64_t number = ++syncs;
    record(directory ? 'b' : 'B', file, number, path, directory ? strlen(path) : 0);
    pthread_mutex_unlock(&lock);
    int outcome = real(fd);
    pthread_mutex_lock(&lock);
    if (outcome == 0) record(directory ? 'e' : 'E', file, number, path, directory ? strlen(path) : 0);
    pthread_mutex_unlock(&lock);
    return outcome;
}

int fsync(int fd) { REAL(int, fsync, int); return sync_with(fd, real_fsync); }
int fdatasync(int fd) { REAL(int, fdatasync, int); return sync_with(fd, real_fdatasync); }

static int truncate_to(int fd, off64_t length) {
    REAL(int, ftruncate64, int, off64_t);
    char path[PATH_MAX];
    if (!path_of(fd, path)) return real_ftruncate64(fd, length);
    pthread_mutex_lock(&lock);
    int outcome = real_ftruncate64(fd, length);
    if (outcome == 0) record('T', inode_of(fd), (uint64_t)length, "", 0);
    pthread_mutex_unlock(&lock);
    return outcome;
}

int ftruncate(int fd, off_t length) { return truncate_to(fd, length); }
int ftruncate64(int fd, off64_t length) { return truncate_to(fd, length); }

int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    if (!is_under(from)) return real_rename(from, to);
    pthread_mutex_lock(&lock);
    int outcome = real_rename(from, to);
    char both[2 * PATH_MAX];
    size_t first = strlen(from) + 1, second = strlen(to);
    if (first + second > sizeof both) abort();
    memcpy(both, from, first);
    memcpy(both + first, to, second);
    if (outcome == 0) record('R', 0, 0, both, first + second);
    pthread_mutex_unlock(&lock);
    return outcome;
}

static int noted(char kind, const char *path, int outcome) {
    if (outcome == 0) record(kind, 0, 0, path, strlen(path));
    pthread_mutex_unlock(&lock);
    return outcome;
}

int unlink(const char *path) {
    REAL(int, unlink, const char *);
    if (!is_under(path)) return real_unlink(path);
    pthread_mutex_lock(&lock);
    return noted('U', path, real_unlink(path));
}

int unlinkat(int at, const char *name, int flags) {
    REAL(int, unlinkat, int, const char *, int);
    char path[PATH_MAX];
    if (!path_at(at, name, path)) return real_unlinkat(at, name, flags);
    pthread_mutex_lock(&lock);
    return noted(flags & AT_REMOVEDIR ? 'D' : 'U', path, real_unlinkat(at, name, flags));
}

int rmdir(const char *path) {
    REAL(int, rmdir, const char *);
    if (!is_under(path)) return real_rmdir(path);
    pthread_mutex_lock(&lock);
    return noted('D', path, real_rmdir(path));
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, mkdir, const char *, mode_t);
    if (!is_under(path)) return real_mkdir(path, mode);
    pthread_mutex_lock(&lock);
    return noted('M', path, real_mkdir(path, mode));
}
