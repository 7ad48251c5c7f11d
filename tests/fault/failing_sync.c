/* Makes of a program one on a disk that fails: while there is a file that POISE_FAIL names, each sync is EIO
 * ("sync" in the file), or each write to a descriptor that syncs ("meta": LMDB's meta page). */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SEEN __attribute__((visibility("default")))
SEEN int fdatasync(int fd);
SEEN int fsync(int fd);
SEEN ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset);

static bool fails(const char *what)
{
    char text[8] = "";
    const char *path = getenv("POISE_FAIL");
    int before = errno;
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    bool named = fd >= 0 && read(fd, text, 4) == 4 && strcmp(text, what) == 0;
    if (fd >= 0) {
        close(fd);
    }
    errno = named ? EIO : before;
    return named;
}

SEEN int fdatasync(int fd)
{
    return fails("sync") ? -1 : (int)syscall(SYS_fdatasync, fd);
}

SEEN int fsync(int fd)
{
    return fails("sync") ? -1 : (int)syscall(SYS_fsync, fd);
}

SEEN ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
    bool syncs = (fcntl(fd, F_GETFL) & O_DSYNC) != 0;
    return syncs && fails("meta") ? -1 : syscall(SYS_pwrite64, fd, bytes, length, offset);
}
