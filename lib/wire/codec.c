/* protobuf-c trusts what it unpacks too much for us: it takes invalid UTF-8, cuts texts at a NUL, and 256 KiB
 * of empty submessages become tens of megabytes. So the bytes are scanned first, and then unpacked into a
 * limited arena. */
#include "codec.h"
#include <base/error.h>
#include <base/hash.h>
#include <base/text.h>
#include <poise.pb-c.h>
#include <string.h>

enum wire_type { VARINT = 0, FIXED64 = 1, DELIMITED = 2, FIXED32 = 5 };

/* ---- head and hash ---- */

void wire_head(enum wire_kind kind, uint8_t ret_head[2])
{
    ret_head[0] = WIRE_VERSION;
    ret_head[1] = (uint8_t)kind;
}

poise_code wire_head_parse(const void *bytes, size_t length, enum wire_kind *ret_kind, poise_error *err)
{
    const uint8_t *head = bytes;
    if (length != 2) {
        return error_set(err, POISE_EPROTO, "the head has %zu bytes; it must be 2: version and kind", length);
    }
    if (head[0] != WIRE_VERSION) {
        return error_set(err, POISE_EVERSION, "wire version %d was sent; this side speaks %d", head[0],
                         WIRE_VERSION);
    }
    if (head[1] == 0) {
        return error_set(err, POISE_EPROTO, "0 is no kind of message");
    }
    *ret_kind = (enum wire_kind)head[1];
    return POISE_OK;
}

uint64_t wire_batch_hash(const void *body, size_t length)
{
    return hash64(body, length, 0);
}

/* ---- scanning ---- */

struct tag {
    unsigned field;
    enum wire_type type;
};

/* The next field's tag and, where it has one, its payload; false at the end and on malformed bytes. */
static bool next_field(struct cursor *cursor, struct tag *ret_tag, struct cursor *ret_payload)
{
    if (cursor_left(cursor) == 0) {
        return false;
    }
    uint64_t key = cursor_varint(cursor);
    size_t length = 0;
    switch (key & 7) {
    case VARINT:
        cursor_varint(cursor);
        break;
    case FIXED64:
        length = 8;
        break;
    case DELIMITED:
        length = cursor_varint(cursor);
        break;
    case FIXED32:
        length = 4;
        break;
    default:
        cursor->failed = true;
        return false;
    }
    const uint8_t *payload = cursor_bytes(cursor, length);
    if (!payload || key >> 3 == 0 || key >> 32 != 0) {
        cursor->failed = true;
        return false;
    }
    *ret_tag = (struct tag){.field = (unsigned)(key >> 3), .type = (enum wire_type)(key & 7)};
    *ret_payload = cursor_of(payload, length);
    return true;
}

bool codec_next_field(struct cursor *cursor, unsigned *ret_field, struct cursor *ret_payload)
{
    struct tag tag;
    do {
        if (!next_field(cursor, &tag, ret_payload)) {
            return false;
        }
    } while (tag.type != DELIMITED);
    *ret_field = tag.field;
    return true;
}

static bool is_text(const struct cursor *payload, size_t text_max)
{
    return cursor_left(payload) <= text_max &&
           utf8_printable((const char *)payload->at, cursor_left(payload));
}

/* Recursion ends with the schema: its submessages have none. */
static poise_code scan(const struct codec_kind *kind, const ProtobufCMessageDescriptor *descriptor,
                       struct cursor cursor, poise_error *err)
{
    struct tag tag;
    struct cursor payload;
    while (next_field(&cursor, &tag, &payload)) {
        const ProtobufCFieldDescriptor *field =
            tag.type == DELIMITED ? protobuf_c_message_descriptor_get_field(descriptor, tag.field) : NULL;
        if (!field) {
            continue; /* a number, or of a later minor version */
        }
        if (field->type == PROTOBUF_C_TYPE_STRING && !is_text(&payload, kind->text_max)) {
            return error_set(err, POISE_EPROTO,
                             "%s: a text of field `%s` is longer than %zu bytes or no printable UTF-8",
                             kind->name, field->name, kind->text_max);
        }
        if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
            poise_code code = scan(kind, field->descriptor, payload, err);
            if (code != POISE_OK) {
                return code;
            }
        }
    }
    return cursor.failed ? error_set(err, POISE_EPROTO, "%s: the body is cut off or no protobuf", kind->name)
                         : POISE_OK;
}

/* ---- unpacking ---- */

struct allocation {
    struct arena *arena;
    bool failed;
    size_t failed_size;
};

static void *allocate(void *data, size_t size)
{
    struct allocation *allocation = data;
    void *bytes = arena_alloc(allocation->arena, size);
    if (!bytes) {
        allocation->failed = true;
        allocation->failed_size = size;
    }
    return bytes;
}

/* The arena frees everything at once. */
static void no_free(void *data, void *bytes)
{
    (void)data;
    (void)bytes;
}

static poise_code no_room(const struct codec_kind *kind, const struct arena *arena, size_t wanted,
                          poise_error *err)
{
    enum { ROUNDING = 15 }; /* the arena rounds up to 16 */
    if (arena->limit > 0 && wanted + ROUNDING > arena->limit - arena->used) {
        return error_set(err, POISE_ELIMIT, "%s: the body would take more than %zu bytes of memory",
                         kind->name, arena->limit);
    }
    return error_nomem(err, kind->name);
}

void *codec_alloc(const struct codec_kind *kind, struct arena *arena, size_t count, size_t size,
                  poise_code *ret_code, poise_error *err)
{
    void *things = arena_zalloc(arena, count, size);
    if (!things) {
        *ret_code = no_room(kind, arena, count * size, err);
    }
    return things;
}

poise_code codec_unpack(const struct codec_kind *kind, const void *body, size_t length, struct arena *arena,
                        void **ret_message, poise_error *err)
{
    if (length > WIRE_MESSAGE_MAX) {
        return error_set(err, POISE_ELIMIT, "%s: the body has %zu bytes; at most %d are allowed", kind->name,
                         length, WIRE_MESSAGE_MAX);
    }
    poise_code code = scan(kind, kind->descriptor, cursor_of(body, length), err);
    if (code != POISE_OK) {
        return code;
    }
    struct allocation allocation = {.arena = arena};
    ProtobufCAllocator allocator = {.alloc = allocate, .free = no_free, .allocator_data = &allocation};
    ProtobufCMessage *message = protobuf_c_message_unpack(kind->descriptor, &allocator, length, body);
    if (!message) {
        return allocation.failed
                   ? no_room(kind, arena, allocation.failed_size, err)
                   : error_set(err, POISE_EPROTO, "%s: the body is no such message", kind->name);
    }
    *ret_message = message;
    return POISE_OK;
}

bool wire_peek_batch(const void *body, size_t length, uint64_t *ret_epoch, uint64_t *ret_seq)
{
    enum { EPOCH = 1, SEQ = 2 };
    uint64_t epoch = 0, seq = 0;
    struct cursor cursor = cursor_of(body, length);
    struct tag tag;
    struct cursor payload;
    for (struct cursor at = cursor; (epoch == 0 || seq == 0) && next_field(&cursor, &tag, &payload);
         at = cursor) {
        if (tag.field == EPOCH && tag.type == FIXED64) {
            epoch = cursor_u64(&payload);
        } else if (tag.field == SEQ && tag.type == VARINT) {
            cursor_varint(&at); /* the tag */
            seq = cursor_varint(&at);
        }
    }
    if (epoch == 0 || seq == 0) {
        return false;
    }
    *ret_epoch = epoch;
    *ret_seq = seq;
    return true;
}

struct wire_batch_size wire_batch_size(const void *body, size_t length)
{
    enum { SYMBOLS = 3, SERIES = 8 };
    struct wire_batch_size size = {0};
    struct cursor cursor = cursor_of(body, length);
    struct tag tag;
    struct cursor payload;
    while (next_field(&cursor, &tag, &payload)) {
        if (tag.field == SYMBOLS && tag.type == DELIMITED) {
            size.symbols++;
        } else if (tag.field == SERIES && tag.type == VARINT) {
            size.rows++;
        } else if (tag.field == SERIES && tag.type == DELIMITED) {
            for (const uint8_t *at = payload.at; at < payload.end; at++) {
                size.rows += *at < 0x80; /* the last byte of a number */
            }
        }
    }
    return size;
}

/* ---- packing ---- */

poise_code codec_put(struct buf *out, const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    if (!buf_reserve(out, size)) {
        return POISE_ENOMEM;
    }
    if (size > 0) {
        out->length += protobuf_c_message_pack(message, out->data + out->length);
    }
    return POISE_OK;
}

poise_code codec_put_field(struct buf *out, unsigned field, const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    buf_put_varint(out, field << 3 | DELIMITED);
    buf_put_varint(out, size);
    if (!buf_reserve(out, size)) {
        return POISE_ENOMEM;
    }
    out->length += size > 0 ? protobuf_c_message_pack(message, out->data + out->length) : 0;
    return POISE_OK;
}

char *codec_text(const char *text)
{
    return codec_borrow(text ? text : "");
}

void *codec_borrow(const void *bytes)
{
    return (void *)(uintptr_t)bytes;
}
