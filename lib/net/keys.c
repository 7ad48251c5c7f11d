#include "keys.h"
#include <base/error.h>
#include <base/file.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

enum { FILE_MAX = 4096, Z85_MAX = 41, OTHERS = S_IRWXG | S_IRWXO };

/* ---- keys ---- */

poise_code keys_make(struct net_keys *ret_keys, poise_error *err)
{
    char public_key[Z85_MAX], secret_key[Z85_MAX];
    if (zmq_curve_keypair(public_key, secret_key) != 0) {
        return error_set(err, POISE_EUNSUPPORTED, "this libzmq cannot make keys: %s",
                         zmq_strerror(zmq_errno()));
    }
    bool decoded = zmq_z85_decode(ret_keys->public_key, public_key) != NULL &&
                   zmq_z85_decode(ret_keys->secret_key, secret_key) != NULL;
    explicit_bzero(secret_key, sizeof secret_key);
    return decoded ? POISE_OK : error_set(err, POISE_EIO, "libzmq made a key that it cannot read");
}

static bool is_pair(const struct net_keys *keys)
{
    char public_key[Z85_MAX], secret_key[Z85_MAX];
    uint8_t derived[NET_KEY_BYTES];
    bool fine = zmq_z85_encode(secret_key, keys->secret_key, NET_KEY_BYTES) != NULL &&
                zmq_curve_public(public_key, secret_key) == 0 &&
                zmq_z85_decode(derived, public_key) != NULL &&
                memcmp(derived, keys->public_key, sizeof derived) == 0;
    explicit_bzero(secret_key, sizeof secret_key);
    return fine;
}

void keys_text(const uint8_t key[NET_KEY_BYTES], char text[NET_KEY_TEXT_MAX])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < NET_KEY_BYTES; i++) {
        text[2 * i] = digits[key[i] >> 4];
        text[2 * i + 1] = digits[key[i] & 15];
    }
    text[NET_KEY_TEXT_MAX - 1] = '\0';
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool keys_parse(const char *text, uint8_t ret_key[NET_KEY_BYTES])
{
    uint8_t key[NET_KEY_BYTES];
    if (strlen(text) != NET_KEY_TEXT_MAX - 1) {
        return false;
    }
    for (size_t i = 0; i < NET_KEY_BYTES; i++) {
        int high = digit_of(text[2 * i]), low = digit_of(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        key[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(ret_key, key, sizeof key);
    return true;
}

/* ---- reading ---- */

enum { HAS_PUBLIC = 1, HAS_SECRET = 2 };

/* A line without its end: a comment, `public HEX` or `secret HEX`. False: something else, or again. */
static bool take_line(char *line, struct net_keys *keys, int *has)
{
    static const char public_word[] = "public ", secret_word[] = "secret ";
    line += strspn(line, " \t");
    line[strcspn(line, "#\r")] = '\0';
    for (size_t end = strlen(line); end > 0 && strchr(" \t", line[end - 1]); end--) {
        line[end - 1] = '\0';
    }
    if (line[0] == '\0') {
        return true;
    }
    bool is_public = strncmp(line, public_word, sizeof public_word - 1) == 0;
    bool is_secret = strncmp(line, secret_word, sizeof secret_word - 1) == 0;
    int which = is_public ? HAS_PUBLIC : HAS_SECRET;
    if ((!is_public && !is_secret) || (*has & which)) {
        return false;
    }
    *has |= which;
    return keys_parse(line + sizeof public_word - 1, is_public ? keys->public_key : keys->secret_key);
}

static bool take_lines(char *text, struct net_keys *keys, int *has)
{
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (!take_line(line, keys, has)) {
            return false;
        }
    }
    return true;
}

static poise_code check_secret(const char *path, const struct stat *status, poise_error *err)
{
    if (status->st_uid != 0 && status->st_uid != geteuid()) {
        return error_set(
            err, POISE_EDENIED,
            "%s holds a secret key, but belongs to user %ld, who can read and change it: chown it to "
            "root or to user %ld, who runs this, and if it is not clear who made it, make a new pair "
            "with `poise keygen`",
            path, (long)status->st_uid, (long)geteuid());
    }
    if (status->st_mode & OTHERS) {
        return error_set(err, POISE_EDENIED,
                         "%s holds a secret key, but others may get at it (mode %04o): chmod 600 it, and if "
                         "somebody may have read it, make a new pair with `poise keygen`",
                         path, (unsigned)(status->st_mode & 07777));
    }
    return POISE_OK;
}

/* Who may write the file says who the aggregator is. */
static poise_code check_public(const char *path, const struct stat *status, poise_error *err)
{
    if (status->st_mode & (S_IWGRP | S_IWOTH)) {
        return error_set(
            err, POISE_EDENIED,
            "others than its owner may write %s (mode %04o), and so have somebody else taken for the "
            "aggregator: look whether it is still the aggregator's public key, and chmod go-w it",
            path, (unsigned)(status->st_mode & 07777));
    }
    return POISE_OK;
}

/* What the open file says; its modes must keep others from writing it, and of a secret from reading it. */
static poise_code read_open(int fd, const char *path, bool secret, char text[FILE_MAX + 1], poise_error *err)
{
    struct stat status;
    size_t length;
    if (fstat(fd, &status) != 0) {
        return error_errno(err, POISE_EIO, "cannot look at %s", path);
    }
    if (!S_ISREG(status.st_mode)) {
        return error_set(err, POISE_EINVAL,
                         "%s is no regular file, but a directory, a pipe or a device: give the path of a key "
                         "file, as `poise keygen` writes it",
                         path);
    }
    poise_code code = secret ? check_secret(path, &status, err) : check_public(path, &status, err);
    if (code == POISE_OK) {
        code = file_read_at(fd, text, FILE_MAX + 1, 0, &length, err);
    }
    if (code == POISE_OK && length > FILE_MAX) {
        code = error_set(err, POISE_EINVAL, "%s has more than %d bytes: it is no key file", path, FILE_MAX);
    }
    if (code == POISE_OK) {
        text[length] = '\0';
    }
    return code;
}

static poise_code read_file(const char *path, bool secret, struct net_keys *keys, poise_error *err)
{
    char text[FILE_MAX + 1];
    int has = 0;
    /* A pipe to which nobody writes would keep us waiting before it could be refused. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        poise_code code = errno == ENOENT ? POISE_ENOTFOUND : errno == EACCES ? POISE_EDENIED : POISE_EIO;
        return error_errno(err, code, "cannot open the key file %s", path);
    }
    poise_code code = read_open(fd, path, secret, text, err);
    close(fd); /* only read: nothing can be lost */
    if (code == POISE_OK &&
        (!take_lines(text, keys, &has) || !(has & HAS_PUBLIC) || (secret && !(has & HAS_SECRET)))) {
        code = error_set(err, POISE_EINVAL,
                         "%s is no file of %s: one line `public` and 64 hex digits%s is wanted, as `poise "
                         "keygen` writes it",
                         path, secret ? "a secret key" : "a public key",
                         secret ? ", and one line `secret` and 64 more," : "");
    }
    if (code == POISE_OK && (has & HAS_SECRET) && !is_pair(keys)) {
        code = error_set(err, POISE_EINVAL, "the two keys of %s are no pair", path);
    }
    explicit_bzero(text, sizeof text);
    return code;
}

poise_code keys_read(const char *path, struct net_keys *ret_keys, poise_error *err)
{
    struct net_keys keys;
    poise_code code = read_file(path, true, &keys, err);
    if (code == POISE_OK) {
        *ret_keys = keys;
    }
    explicit_bzero(&keys, sizeof keys);
    return code;
}

poise_code keys_read_public(const char *key_or_path, uint8_t ret_key[NET_KEY_BYTES], poise_error *err)
{
    struct net_keys keys;
    if (keys_parse(key_or_path, ret_key)) {
        return POISE_OK;
    }
    poise_code code = read_file(key_or_path, false, &keys, err);
    if (code == POISE_OK) {
        memcpy(ret_key, keys.public_key, NET_KEY_BYTES);
    }
    explicit_bzero(&keys, sizeof keys);
    return code;
}

poise_code keys_read_curve(const char *path, const char *server_key, struct net_curve *ret_curve,
                           poise_error *err)
{
    struct net_curve curve = {.domain = NULL};
    if (!path || !server_key) {
        return error_set(err, POISE_EINVAL,
                         "%s is missing: our own key and the aggregator's public key go together",
                         path ? "the aggregator's public key" : "the file of our own key");
    }
    poise_code code = keys_read(path, &curve.own, err);
    if (code == POISE_OK) {
        code = keys_read_public(server_key, curve.server_key, err);
    }
    if (code == POISE_OK) {
        *ret_curve = curve;
    }
    explicit_bzero(&curve, sizeof curve);
    return code;
}

/* ---- writing ---- */

static poise_code write_file(const char *path, mode_t mode, const char *text, poise_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0 && errno == EEXIST) {
        return error_set(err, POISE_EBUSY, "%s is there already: take another name, or move it away", path);
    }
    if (fd < 0) {
        return error_errno(err, POISE_EIO, "cannot make %s", path);
    }
    /* The umask must neither take the owner's rights nor leave others some. */
    poise_code code = fchmod(fd, mode) == 0 ? file_write_all(fd, text, strlen(text), err)
                                            : error_errno(err, POISE_EIO, "cannot set the mode of %s", path);
    if (code == POISE_OK && fsync(fd) != 0) {
        code = error_errno(err, POISE_EIO, "cannot sync %s", path);
    }
    if (close(fd) != 0 && code == POISE_OK) {
        code = error_errno(err, POISE_EIO, "cannot close %s", path);
    }
    if (code != POISE_OK) {
        unlink(path);
    }
    return code;
}

static poise_code write_pair(const char *path, const struct net_keys *keys, char file[PATH_MAX],
                             poise_error *err)
{
    char public_key[NET_KEY_TEXT_MAX], secret_key[NET_KEY_TEXT_MAX], text[FILE_MAX];
    keys_text(keys->public_key, public_key);
    keys_text(keys->secret_key, secret_key);
    snprintf(file, PATH_MAX, "%s.key", path);
    snprintf(text, sizeof text,
             "# A key pair of Poise: who reads this file is taken for its owner.\n"
             "public %s\nsecret %s\n",
             public_key, secret_key);
    poise_code code = write_file(file, S_IRUSR | S_IWUSR, text, err);
    explicit_bzero(secret_key, sizeof secret_key);
    explicit_bzero(text, sizeof text);
    if (code != POISE_OK) {
        return code;
    }
    char other[PATH_MAX];
    snprintf(other, sizeof other, "%s.pub", path);
    snprintf(text, sizeof text, "public %s\n", public_key);
    code = write_file(other, S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH, text, err);
    if (code != POISE_OK) {
        unlink(file);
    }
    return code;
}

poise_code keys_write(const char *path, const struct net_keys *keys, poise_error *err)
{
    char file[PATH_MAX];
    if (strlen(path) + sizeof ".key" > sizeof file) {
        return error_set(err, POISE_ELIMIT, "the path %.64s... is longer than %d bytes", path, PATH_MAX - 5);
    }
    poise_code code = write_pair(path, keys, file, err);
    char *slash = strrchr(file, '/');
    if (slash) {
        slash[slash == file] = '\0';
    }
    return code != POISE_OK ? code : file_sync_dir(slash ? file : ".", err);
}
