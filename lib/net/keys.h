/* Keys of CURVE, and the files that hold them (docs/access.md): lines `public HEX` and `secret HEX`, comments
 * behind #. A key is 32 bytes, as text 64 hex digits. */
#ifndef NET_KEYS_H
#define NET_KEYS_H

#include <net/net.h>

enum { NET_KEY_TEXT_MAX = 2 * NET_KEY_BYTES + 1 };

poise_code keys_make(struct net_keys *ret_keys, poise_error *err);
void keys_text(const uint8_t key[NET_KEY_BYTES], char text[NET_KEY_TEXT_MAX]);
bool keys_parse(const char *text, uint8_t ret_key[NET_KEY_BYTES]);

/* A pair. EDENIED: others than its owner may read or write the file. ENOTFOUND, EIO; EINVAL: it holds none,
 * or two keys that are no pair. */
poise_code keys_read(const char *path, struct net_keys *ret_keys, poise_error *err);
/* A public key: its 64 digits, or the path of a file that holds it. EDENIED: others than its owner may write
 * the file. ENOTFOUND, EIO, EINVAL. */
poise_code keys_read_public(const char *key_or_path, uint8_t ret_key[NET_KEY_BYTES], poise_error *err);
/* What a connection needs: our pair from its file, and whose key the other side must have. */
poise_code keys_read_curve(const char *path, const char *server_key, struct net_curve *ret_curve,
                           poise_error *err);
/* New files, synced; EBUSY: one is there already. PATH.key has the pair, for its owner alone (mode 0600),
 * PATH.pub the public key. */
poise_code keys_write(const char *path, const struct net_keys *keys, poise_error *err);

#endif
