/* What a disk holds after a power cut. It is fed with the operations of a recorder's log one after the other;
 * at any moment it can be asked for an image: what was synced is there, and of all else each write, size and
 * name may be there, may not, or may be there in part.
 *
 * Files: a write that is not synced is there whole, not at all, or some of its sectors of 512 bytes are; its
 * new size may lack though its bytes are written. Sectors of a grown file that were not written are zeros, or
 * anything. A sector is written as the system has it: with what was written there before. O_DSYNC syncs its
 * own sectors and nothing else. After a sync that failed the system takes for written what is not. Names:
 * made, renamed or removed in a directory that was not synced since, each may be done or not; to sync a file
 * does not sync its name. */
#ifndef FAULT_DISK_H
#define FAULT_DISK_H

#include "recorder.h"
#include <stdbool.h>

enum { SECTOR = 512 };

enum lost_how { /* what becomes of what was not synced */
                LOST_ALL,
                LOST_NOTHING,
                LOST_BUT_LAST,
                LOST_FIRST,
                LOST_LAST,
                LOST_TORN_LAST, /* the last one, in part */
                LOST_RANDOM,    /* each by chance, some in part */
                LOST_SECTORS,   /* each sector by chance */
                LOST_HOWS
};
extern const char *const lost_names[LOST_HOWS];

struct disk; /* opaque */

/* `root` is the inode of the directory that was recorded; it was empty and is there for good. */
struct disk *disk_open(uint64_t root);
void disk_close(struct disk *disk);
/* There is nothing on it any more but the root. */
void disk_empty(struct disk *disk);
void disk_do(struct disk *disk, const struct op *op, const char *name, const char *other, const void *bytes);
/* How many writes, sizes and names are not synced. */
size_t disk_unsynced(const struct disk *disk);
/* Writes the image below the existing, empty directory `path`. The same seed writes the same. */
void disk_image(const struct disk *disk, enum lost_how how, uint64_t seed, const char *path);
/* Whether the files below `path`, which were recorded, hold what the log says; else something went by the
 * recorder, and what it was is printed. */
bool disk_is_complete(const struct disk *disk, const char *path);

/* Removes what is below the directory, not itself. */
void disk_clear(const char *path);

#endif
