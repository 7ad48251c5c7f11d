/* Whether a store, or a backup of one, is whole: LMDB's pages (pages.h), the CRC of every value and record,
 * and that no record is missing. A store that another process has is EBUSY. */
#ifndef STORE_CHECK_H
#define STORE_CHECK_H

#include <poise/error.h>
#include <stdbool.h>
#include <stdint.h>

struct store_found {
    uint64_t pages, free_pages, entries;
    int64_t bytes; /* of data.mdb */
    uint32_t page_bytes;
    uint64_t first_lsn, last_lsn, state_lsn;
    bool backup; /* and no store to be written to */
};
/* ECORRUPT names the first damage; ENOTFOUND: there is no store; EVERSION. Takes as long as reading all of
 * it. */
poise_code store_check(const char *path, const _Atomic bool *stop, struct store_found *ret_found,
                       poise_error *err);
/* The same in a child process, then opens it there as a reader would: even damage that ends the process is
 * only found. For programs of one thread. */
poise_code store_check_apart(const char *path, struct store_found *ret_found, poise_error *err);

#endif
