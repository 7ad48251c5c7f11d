/* plant STORE TABLE            the entries of a table of the state, by its number in docs/storage.md
 * plant STORE TABLE KEY VALUE  puts one that is wrong, with a checksum that is right
 * Keys and values are hexadecimal. Of a store that nobody has; only the tests want this. */
#include <base/buf.h>
#include <base/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <store/store.h>
#include <string.h>

static void put_hex(struct cursor bytes, int behind)
{
    while (cursor_left(&bytes) > 0) {
        printf("%02x", cursor_u8(&bytes));
    }
    putchar(behind);
}

static poise_code show(void *visitor, struct cursor key, struct cursor value)
{
    (void)visitor;
    put_hex(key, ' ');
    put_hex(value, '\n');
    return POISE_OK;
}

static struct buf bytes_of(const char *hex)
{
    struct buf bytes = {0};
    unsigned byte;
    for (size_t i = 0; sscanf(hex + 2 * i, "%2x", &byte) == 1; i++) {
        buf_put_u8(&bytes, (uint8_t)byte);
    }
    return bytes;
}

static poise_code put(struct store *store, enum store_table table, char **entry, poise_error *err)
{
    struct buf key = bytes_of(entry[0]), value = bytes_of(entry[1]);
    struct store_mark mark = store_mark(store);
    poise_code code = store_checkpoint_begin(store, err);
    if (code == POISE_OK) {
        (void)store_put(store, table, key.data, key.length, value.length ? (void *)value.data : "",
                        value.length); /* commit says what failed */
        code = store_checkpoint_commit(store, &mark, err);
    }
    buf_free(&key);
    buf_free(&value);
    return code;
}

int main(int argc, char **argv)
{
    struct store *store = NULL;
    poise_error err = {.code = POISE_OK};
    if (argc != 3 && argc != 5) {
        return 2;
    }
    const struct store_options options = {.path = argv[1], .map_bytes = 64 << 20, .free_bytes = 1};
    char *end;
    unsigned long number = strtoul(argv[2], &end, 10);
    enum store_table table = (enum store_table)number;
    bool is_one = end != argv[2] && *end == '\0' && number < STORE_TABLES;
    poise_code code = is_one ? store_open(&options, &store, &err)
                             : error_set(&err, POISE_EINVAL, "'%s' is no table of the state", argv[2]);
    if (code == POISE_OK) {
        code = argc == 3 ? store_walk(store, table, show, NULL, &err) : put(store, table, argv + 3, &err);
    }
    store_close(store);
    if (code != POISE_OK) {
        fprintf(stderr, "plant: %s\n", err.text);
    }
    return code != POISE_OK;
}
