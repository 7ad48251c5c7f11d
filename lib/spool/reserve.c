/* Room on the disk that is kept for losses: a loss must be there before what it stands for goes, so a full
 * disk must have room for it. It is given back while losses are written, and taken again behind them. Nothing
 * here fails: without it, as when the disk was full from the start, nothing is dropped until there is room.
 */
#include "inner.h"
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STEP = 8 << 10 };

static int open_reserve(const struct spool *spool, int flags)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/reserve", spool->path);
    return length > 0 && length < PATH_MAX ? open(path, O_RDWR | O_CLOEXEC | flags, 0640) : -1;
}

static void grow(struct spool *spool, int fd, int64_t had)
{
    int64_t size = LOSS_ROOM;
    while (size > spool->reserve && posix_fallocate(fd, 0, size) != 0) {
        (void)!ftruncate(fd, had); /* what it has got of that */
        size -= STEP;
    }
    spool->reserve = size > spool->reserve ? size : spool->reserve;
    spool->reserve_most = spool->reserve > spool->reserve_most ? spool->reserve : spool->reserve_most;
}

bool spool_fill_reserve(struct spool *spool)
{
    struct stat file;
    if (!spool->describe || spool->reserve == LOSS_ROOM) {
        return true;
    }
    int fd = open_reserve(spool, O_CREAT);
    if (fd >= 0 && fstat(fd, &file) == 0) {
        grow(spool, fd, file.st_size);
    }
    if (fd >= 0) {
        close(fd);
    }
    return spool->reserve == spool->reserve_most;
}

bool spool_use_reserve(struct spool *spool, int64_t left)
{
    if (spool->reserve <= left) {
        return false;
    }
    int fd = open_reserve(spool, 0);
    if (fd < 0) {
        return false;
    }
    bool cut = ftruncate(fd, left) == 0;
    spool->reserve = cut ? left : spool->reserve;
    close(fd);
    return cut;
}

bool spool_use_some(struct spool *spool)
{
    return spool->reserve - STEP >= LOSS_ROOM / 2 && spool_use_reserve(spool, spool->reserve - STEP);
}
