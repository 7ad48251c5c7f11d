/* What the codec files share: checked unpacking into an arena and packing into a buffer. Private to lib/wire.
 */
#ifndef WIRE_CODEC_H
#define WIRE_CODEC_H

#include <wire/wire.h>

struct ProtobufCMessage;
struct ProtobufCMessageDescriptor;

struct codec_kind {
    const char *name; /* for error texts */
    const struct ProtobufCMessageDescriptor *descriptor;
    size_t text_max; /* bytes of every text in it */
};

/* The unpacked message in the arena, its texts checked; cast *ret_message to the descriptor's struct. */
poise_code codec_unpack(const struct codec_kind *kind, const void *body, size_t length, struct arena *arena,
                        void **ret_message, poise_error *err);

/* A Poise__V1__Batch from bytes that are written as usual; NULL: they are not, or do not fit into the arena.
 */
void *codec_unpack_columns(const void *body, size_t length, struct arena *arena);

/* The payload of the next field that is a text, message or packed list; false: at the end, or malformed
 * (cursor->failed). */
bool codec_next_field(struct cursor *cursor, unsigned *ret_field, struct cursor *ret_payload);

/* arena_zalloc for the count things that a message became; NULL: *ret_code says ELIMIT or ENOMEM. */
void *codec_alloc(const struct codec_kind *kind, struct arena *arena, size_t count, size_t size,
                  poise_code *ret_code, poise_error *err);

/* Appends the message, and the message as a field of another. */
poise_code codec_put(struct buf *out, const struct ProtobufCMessage *message);
poise_code codec_put_field(struct buf *out, unsigned field, const struct ProtobufCMessage *message);

/* Appends a state as a field of another message. */
enum {
    CODEC_VARINT_MAX = 10,
    CODEC_STATE_NUMBERS_MAX = 280 /* 10 doubles, 9 varints, 2 times, 3 lengths, each with its tag */
};
poise_code codec_put_state(struct buf *out, unsigned field, const poise_state *state);

/* One that this version has no name for is still a loss. */
poise_loss_reason codec_loss_reason(int reason);
/* States that were unpacked (Poise__V1__State *const *). */
poise_code codec_take_states(const struct codec_kind *kind, void *list, size_t count, struct arena *arena,
                             poise_state **ret_states, size_t *ret_count, poise_error *err);
/* To and from a Poise__V1__Filter; NULL is everything. Its kinds need a place while it is packed. */
enum { CODEC_KINDS_MAX = 4 };
poise_code codec_take_filter(const void *message, struct wire_filter *ret, poise_error *err);
void codec_put_filter(const struct wire_filter *filter, void *ret_message, int kinds[CODEC_KINDS_MAX]);

/* protobuf-c's structs want pointers to non-const also for packing, which only reads. */
void *codec_borrow(const void *bytes);
char *codec_text(const char *text); /* NULL becomes "" */

#endif
