/* Segment files: DIR/00000000000000000001.seg, named by the sequence of its first record. All integers
 * little-endian.
 *
 *     head    "PSEG"  version u32  epoch u64  first_seq u64  previous_hash u64  crc32c u32 of what stands
 * before record  length u32 of mark and body  crc32c u32 of what follows  seq u64  hash u64
 *            mark_length u32  mark  body
 *
 * With bit 31 of mark_length set it is a loss: span u64 (of numbers from seq on), rows u64, from_ms i64,
 * to_ms i64, reason u32. */
#ifndef SPOOL_SEGMENT_H
#define SPOOL_SEGMENT_H

#include <base/buf.h>
#include <poise/error.h>
#include <spool/spool.h>

enum { SEGMENT_HEAD = 36, SEGMENT_RECORD = 28, SEGMENT_LOSS = 36 };

struct segment {
    uint64_t first_seq;
    uint64_t previous_hash; /* of the record before the first */
    uint64_t last_hash;     /* of the last record; previous_hash when there is none */
    uint64_t count;         /* of numbers */
    uint64_t held;          /* of batches: the other numbers are lost */
    int64_t last_at;        /* where the last record begins; 0 when there is none */
    int64_t size;           /* bytes up to the end of the last whole record */
    int64_t touched_ms;     /* when it was last appended to, about, as spool_now_ms says */
};

/* The newest mark that is known. */
struct mark {
    uint64_t seq; /* of the batch that has it, or that came next when it was set */
    struct buf bytes;
};

poise_code segment_path(const char *dir, uint64_t first_seq, char *ret_path, size_t size, poise_error *err);
/* Makes and syncs an empty one, which has its name only when it is whole. EFULL, EIO: there is none. */
poise_code segment_create(const char *dir, uint64_t epoch, const struct segment *segment, bool sync,
                          int *ret_fd, poise_error *err);
/* Checks every byte. `last`: an end that was being written when the machine stopped is left out, not damage.
 * *mark becomes what the records say that is newer. */
poise_code segment_scan(const char *path, uint64_t epoch, uint64_t first_seq, bool last,
                        struct segment *ret_segment, struct mark *mark, poise_error *err);

/* Checks the head alone: for a segment of which all is acknowledged. count and last_hash stay as they are. */
poise_code segment_glance(const char *path, uint64_t epoch, struct segment *segment, poise_error *err);

struct record_head {
    uint32_t length, crc; /* length of mark and body */
    uint64_t seq, hash;
    uint32_t mark_length;
    bool lost;
    uint64_t span; /* of numbers: 1, or what is lost */
};
/* Whether a whole record stands there. */
bool segment_whole(const uint8_t *bytes, size_t length, struct record_head *ret_head);
bool segment_head_whole(const uint8_t *bytes, size_t length);
/* Whether the head is of this segment: it is whole, and not of another spool or name. */
bool segment_head_fits(const uint8_t *bytes, uint64_t epoch, uint64_t first_seq);
/* Appends a head, with its epoch, first_seq and previous_hash. */
void segment_put_head(struct buf *out, uint64_t epoch, const struct segment *segment);
/* Appends the record to out. */
void segment_put_record(struct buf *out, uint64_t seq, uint64_t hash, const void *mark, size_t mark_length,
                        const void *body, size_t length);
void segment_put_loss(struct buf *out, const struct spool_loss *loss, const void *mark, size_t mark_length);

/* A place in the segments for reading: going forward it moves on, going back it starts again at the segment's
 * head. */
struct place {
    int fd; /* -1: nowhere */
    uint64_t segment, seq;
    int64_t offset;
};
#define PLACE_NOWHERE ((struct place){.fd = -1})
void place_leave(struct place *place);
/* Goes to the record of the segment that has the number and reads its head. ECORRUPT. */
poise_code place_go(struct place *place, const char *dir, const struct segment *segment, uint64_t seq,
                    struct record_head *ret_head, poise_error *err);
/* Appends the body of the record where the place is, CRC checked. */
poise_code place_body(const struct place *place, const struct record_head *head, struct buf *out,
                      poise_error *err);
/* What the record says that is lost. */
poise_code place_loss(const struct place *place, const struct record_head *head, struct spool_loss *ret_loss,
                      poise_error *err);

#endif
