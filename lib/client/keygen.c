#include <net/keys.h>
#include <poise/client.h>
#include <string.h>

_Static_assert((int)POISE_KEY_TEXT_MAX == (int)NET_KEY_TEXT_MAX, "a key has one length");

poise_code poise_keygen(const char *path, char ret_public[POISE_KEY_TEXT_MAX], poise_error *err)
{
    struct net_keys keys;
    poise_code code = keys_make(&keys, err);
    if (code == POISE_OK) {
        code = keys_write(path, &keys, err);
    }
    if (code == POISE_OK) {
        keys_text(keys.public_key, ret_public);
    }
    explicit_bzero(&keys, sizeof keys);
    return code;
}

poise_code poise_check_keys(const char *key_file, const char *server_key, poise_error *err)
{
    struct net_curve curve;
    poise_code code = keys_read_curve(key_file, server_key, &curve, err);
    explicit_bzero(&curve, sizeof curve);
    return code;
}
