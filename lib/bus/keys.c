#include "lib/bus/keys.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/invariant.h"
#include "lib/base/mem.h"

static const char *const role_names[KEY_ROLE_COUNT] = {[KEY_GATEWAY] = "gateway",
                                                       [KEY_WORKER] = "worker",
                                                       [KEY_OPERATOR] = "operator",
                                                       [KEY_SUBSCRIBER] = "subscriber"};
static const char *const plane_names[KEY_PLANE_COUNT] = {[KEY_AT_CLIENTS] = "clients",
                                                         [KEY_AT_WORKERS] = "workers",
                                                         [KEY_AT_PUBLISH] = "publish",
                                                         [KEY_AT_EVENTS] = "events",
                                                         [KEY_AT_OUTSIDE] = "outside"};

static int name_find(const char *const *names, int count, struct text name)
{
    for (int i = 0; i < count; i++) {
        if (text_is(name, names[i])) {
            return i;
        }
    }
    return -1;
}

const char *key_role_name(enum key_role role)
{
    return role_names[role];
}

bool key_role_parse(struct text name, enum key_role *out)
{
    int at = name_find(role_names, KEY_ROLE_COUNT, name);
    if (at >= 0) {
        *out = (enum key_role)at;
    }
    return at >= 0;
}

const char *key_plane_name(enum key_plane plane)
{
    return plane_names[plane];
}

bool key_plane_parse(struct text name, enum key_plane *out)
{
    int at = name_find(plane_names, KEY_PLANE_COUNT, name);
    if (at >= 0) {
        *out = (enum key_plane)at;
    }
    return at >= 0;
}

/* ---- what is well-formed ---- */

static bool is_one_of(char c, const char *others)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr(others, c));
}

static bool all_are(struct text text, const char *others)
{
    for (uint32_t i = 0; i < text.size; i++) {
        if (!is_one_of(text.data[i], others)) {
            return false;
        }
    }
    return true;
}

bool key_name_is_good(struct text name)
{
    return name.size >= 1 && name.size < KEY_NAME_SIZE && is_one_of(name.data[0], "") && all_are(name, "_.-");
}

bool key_text_is_good(struct text key)
{
    return key.size == KEY_TEXT_SIZE - 1 && all_are(key, ".-:+=^!/*?&<>()[]{}@%$#");
}

static bool list_is_good(const char *list)
{
    struct text rest = text_of(list), one;
    while (list[0] && text_cut(&rest, ',', &one)) {
        if (one.size == 0 || one.size > 40 || !all_are(one, "_-")) {
            return false;
        }
    }
    return true;
}

static bool grant_refuse(const struct key_grant *grant, const char *why, char *message, size_t message_size)
{
    snprintf(message, message_size, "%.40s: %s", grant->name, why);
    return false;
}

bool key_grant_check(const struct key_grant *grant, char *message, size_t message_size)
{
    const char *why = NULL;
    bool all_calls = strcmp(grant->calls, "*") == 0;
    if (!key_name_is_good(text_of(grant->name))) {
        why = "a name has 1 to 40 letters, digits and _ . - and begins with a letter or digit";
    } else if (!key_text_is_good(text_of(grant->key))) {
        why = "a public key has 40 characters of Z85";
    } else if (!list_is_good(grant->services) || (!all_calls && !list_is_good(grant->calls))) {
        why = "services and calls are names of services, separated by commas";
    } else if ((grant->role == KEY_WORKER) != (grant->services[0] != '\0')) {
        why = "a worker's key lists the services that it serves, no other key does";
    } else if (grant->role == KEY_SUBSCRIBER && grant->calls[0]) {
        why = "a subscriber's key calls nothing";
    }
    return !why || grant_refuse(grant, why, message, message_size);
}

/* ---- the allowlist ---- */

static bool word_take(struct text *rest, struct text *out)
{
    while (text_cut(rest, ' ', out)) {
        if (out->size > 0) {
            return true;
        }
    }
    return false;
}

static bool field_take(struct text word, const char *field, char out[KEY_LIST_SIZE])
{
    uint32_t size = (uint32_t)strlen(field);
    return text_starts_with(word, field) && out[0] == '\0' &&
           text_to_string((struct text){word.data + size, word.size - size}, out, KEY_LIST_SIZE) && out[0];
}

static bool line_parse(struct text line, struct key_grant *out, char *message, size_t message_size)
{
    struct key_grant grant = {0};
    struct text name, key, role, word;
    if (!word_take(&line, &name) || !word_take(&line, &key) || !word_take(&line, &role) ||
        !text_to_string(name, grant.name, sizeof grant.name) || !text_to_string(key, grant.key, sizeof grant.key) ||
        !key_role_parse(role, &grant.role)) {
        snprintf(message, message_size, "a line is NAME PUBLIC-KEY ROLE [services=...] [calls=...]");
        return false;
    }
    while (word_take(&line, &word)) {
        if (!field_take(word, "services=", grant.services) && !field_take(word, "calls=", grant.calls)) {
            return grant_refuse(&grant, "only services= and calls= may follow the role, each once and not empty",
                                message, message_size);
        }
    }
    if (!key_grant_check(&grant, message, message_size)) {
        return false;
    }
    *out = grant;
    return true;
}

static int grant_compare(const void *a, const void *b)
{
    const struct key_grant *left = a, *right = b;
    return strcmp(left->key, right->key);
}

static bool grants_are_unique(const struct key_grants *grants, char *message, size_t message_size)
{
    for (uint32_t i = 0; i < grants->count; i++) {
        for (uint32_t j = i + 1; j < grants->count; j++) {
            if (strcmp(grants->list[i].name, grants->list[j].name) == 0 ||
                strcmp(grants->list[i].key, grants->list[j].key) == 0) {
                return grant_refuse(&grants->list[j], "its name or its key is there twice", message, message_size);
            }
        }
    }
    return true;
}

static bool lines_parse(struct text text, struct key_grants *grants, char *message, size_t message_size)
{
    struct text line;
    for (int number = 1; text_cut(&text, '\n', &line); number++) {
        char why[160];
        while (line.size > 0 && strchr(" \t\r", line.data[line.size - 1])) {
            line.size--;
        }
        if (line.size == 0 || line.data[0] == '#') {
            continue;
        }
        if (grants->count == KEYS_MAX) {
            snprintf(message, message_size, "line %d: there are more than %d keys", number, KEYS_MAX);
            return false;
        }
        if (!line_parse(line, &grants->list[grants->count], why, sizeof why)) {
            snprintf(message, message_size, "line %d: %s", number, why);
            return false;
        }
        grants->count++;
    }
    return grants_are_unique(grants, message, message_size);
}

bool key_grants_parse(struct text text, struct key_grants *out, char *message, size_t message_size)
{
    struct key_grants grants = {.list = mem_alloc_array(KEYS_MAX, sizeof *grants.list)};
    if (!lines_parse(text, &grants, message, message_size)) {
        key_grants_release(&grants);
        return false;
    }
    grants.list = mem_grow(grants.list, (grants.count + 1) * sizeof *grants.list);
    qsort(grants.list, grants.count, sizeof *grants.list, grant_compare);
    *out = grants;
    return true;
}

void key_grants_release(struct key_grants *grants)
{
    mem_free(grants->list);
    *grants = (struct key_grants){0};
}

const struct key_grant *key_grants_find(const struct key_grants *grants, struct text key)
{
    struct key_grant wanted;
    if (grants->count == 0 || !text_to_string(key, wanted.key, sizeof wanted.key)) {
        return NULL;
    }
    return bsearch(&wanted, grants->list, grants->count, sizeof *grants->list, grant_compare);
}

/* ---- what a key may ---- */

static bool list_has(const char *list, struct text name)
{
    struct text rest = text_of(list), one;
    while (text_cut(&rest, ',', &one)) {
        if (text_equal(one, name)) {
            return true;
        }
    }
    return false;
}

bool key_may_connect(const struct key_grant *grant, enum key_plane plane)
{
    switch (plane) {
    case KEY_AT_CLIENTS:
    case KEY_AT_WORKERS:
    case KEY_AT_OUTSIDE: return true;
    case KEY_AT_PUBLISH: return key_may_serve(grant, TEXT("event"));
    case KEY_AT_EVENTS: return grant->role == KEY_GATEWAY || grant->role == KEY_WORKER;
    case KEY_PLANE_COUNT: break;
    }
    return false;
}

bool key_may_greet(const struct key_grant *grant, enum key_plane plane, struct text role)
{
    if (plane == KEY_AT_WORKERS) {
        return grant->role == KEY_WORKER && text_is(role, "worker");
    }
    switch (grant->role) {
    case KEY_GATEWAY: return text_is(role, "gateway");
    case KEY_WORKER: return text_is(role, "service");
    case KEY_OPERATOR: return text_is(role, "operator");
    case KEY_SUBSCRIBER:
    case KEY_ROLE_COUNT: break;
    }
    return false;
}

bool key_may_serve(const struct key_grant *grant, struct text service)
{
    return grant->role == KEY_WORKER && list_has(grant->services, service);
}

bool key_may_call(const struct key_grant *grant, struct text service, struct text operation)
{
    if (text_is(service, "mmi") && text_is(operation, "dlq") && grant->role != KEY_OPERATOR) {
        return false; /* it brings requests to life again */
    }
    return strcmp(grant->calls, "*") == 0 || list_has(grant->calls, service);
}
