/* Writes down what this process does to the files of a directory, in order, so that disk.h can tell what a
 * power cut would have left of it at any moment. A program that is linked with recorder.c has its own open,
 * write, fdatasync, ... before those of the C library, for LMDB too. One thread; children of a fork go on
 * with the same log. */
#ifndef FAULT_RECORDER_H
#define FAULT_RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum op_kind {
    OP_FILE,   /* a new file `file`, as `name` in the directory `parent` */
    OP_DIR,    /* a new directory, likewise */
    OP_UNLINK, /* `name` of `parent` is gone, a file's or an empty directory's */
    OP_RENAME, /* `name` of `parent` is now `other` there, likewise */
    OP_WRITE,  /* `length` bytes at `at` */
    OP_SIZE,   /* the size is `at` now */
    OP_SYNC,   /* file or directory */
    OP_FAIL,   /* a sync of the file that failed: what it should have written counts as written from now on */
    OP_RANGE,  /* `length` bytes at `at` are synced: O_DSYNC */
    OP_MARK    /* the program says: `at`, `length` mean what it likes */
};

struct op {
    uint32_t kind; /* op_kind */
    uint32_t mark; /* of OP_MARK: which one */
    uint32_t name_length, other_length;
    uint64_t file, parent; /* inodes */
    uint64_t at, length;
    /* name, other and the bytes written follow in the log */
};

/* Records into the file `log` from now on what happens on the file system of `directory`. After `kill_after`
 * operations the process ends in the middle of what it does, as with kill -9, or then in its next sync; 0:
 * never. */
void recorder_start(int log, const char *directory, size_t kill_after, bool in_sync);
void recorder_stop(void);
void recorder_mark(uint32_t mark, uint64_t a, uint64_t b);
/* Files cannot grow by more bytes: the disk is full. */
void recorder_fill_disk(size_t bytes_left);
void recorder_empty_disk(void);
/* The n-th sync from now on fails, once, with EIO; 0: none. */
void recorder_fail_sync(size_t n);

enum { RECORDER_KILLED = 99 }; /* exit code of a process that was ended by kill_after */

#endif
