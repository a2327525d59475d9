/* Who may speak on a bus over TCP: one grant a public key. Pure; key_files.h reads and writes them.
 *
 * A grant is a line of the allowlist (key_files.h):
 *
 *     NAME PUBLIC-KEY ROLE [services=order,...] [calls=product,...]
 *
 * gateway     calls what `calls` lists, hears events
 * worker      serves what `services` lists, calls what `calls` lists, hears events; one that serves event publishes them
 * operator    calls what `calls` lists, and alone mmi.dlq (if `calls` lists mmi)
 * subscriber  hears the public events (--events) and nothing else
 *
 * `calls` may be *: every service, and the broker's own mmi. */
#ifndef ZMART_BUS_KEYS_H
#define ZMART_BUS_KEYS_H

#include "lib/base/text.h"

enum {
    KEY_TEXT_SIZE = 41, /* a key: 40 characters of Z85 and a NUL */
    KEY_NAME_SIZE = 41,
    KEY_LIST_SIZE = 256,
    KEYS_MAX = 1000,
    KEYS_FILE_MAX_SIZE = 512 * 1024
};

enum key_role { KEY_GATEWAY, KEY_WORKER, KEY_OPERATOR, KEY_SUBSCRIBER, KEY_ROLE_COUNT };
/* Sockets of a broker, each a ZAP domain. */
enum key_plane {
    KEY_AT_CLIENTS,
    KEY_AT_WORKERS,
    KEY_AT_PUBLISH,
    KEY_AT_EVENTS,  /* of the inside, with private data */
    KEY_AT_OUTSIDE, /* --events */
    KEY_PLANE_COUNT
};

struct key_grant {
    char name[KEY_NAME_SIZE];
    char key[KEY_TEXT_SIZE]; /* public */
    enum key_role role;
    char services[KEY_LIST_SIZE]; /* separated by commas; workers only */
    char calls[KEY_LIST_SIZE];    /* the same, or "*" */
};

/* An allowlist, ordered by key. */
struct key_grants {
    struct key_grant *list; /* owned */
    uint32_t count;
};

const char *key_role_name(enum key_role role);
MUST_USE bool key_role_parse(struct text name, enum key_role *out);
const char *key_plane_name(enum key_plane plane);
MUST_USE bool key_plane_parse(struct text name, enum key_plane *out);
/* 1 to 40 letters, digits and _ . -, the first one a letter or digit: fit for a file's name. */
bool key_name_is_good(struct text name);
bool key_text_is_good(struct text key);
/* Whether the grant makes sense; false: message says what does not. */
MUST_USE bool key_grant_check(const struct key_grant *grant, char *message, size_t message_size);

/* Reads an allowlist: a grant a line; empty lines and those that begin with # are skipped. False: message names the
 * line. Names and keys are unique. */
MUST_USE bool key_grants_parse(struct text text, struct key_grants *out, char *message, size_t message_size);
void key_grants_release(struct key_grants *grants);
/* NULL if this public key has no grant. */
const struct key_grant *key_grants_find(const struct key_grants *grants, struct text key);

/* Whether a connection of this key may come to be. Clients and workers are told at their HELLO what they may not. */
bool key_may_connect(const struct key_grant *grant, enum key_plane plane);
/* role is that of a HELLO. */
bool key_may_greet(const struct key_grant *grant, enum key_plane plane, struct text role);
bool key_may_serve(const struct key_grant *grant, struct text service);
bool key_may_call(const struct key_grant *grant, struct text service, struct text operation);

#endif
