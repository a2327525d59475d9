#include "gateway/auth.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "gateway/denials.h"
#include "gateway/token.h"
#include "gateway/token_cache.h"
#include "lib/base/clock.h"
#include "lib/base/invariant.h"

enum { ASKED_GOOD_MS = 1000, READY_POLL_MS = 10 };

struct auth {
    struct auth_source source;
    struct auth_settings settings;
    struct denials *denials;
    struct token_cache *cache;
    pthread_rwlock_t keys_lock;
    struct token_keys *keys; /* NULL until they were fetched */
    atomic_uint trust;       /* changes when keys are distrusted; what was verified before is not remembered then */
    atomic_bool distrusted;  /* and nobody has asked yet */
    pthread_mutex_t fetching; /* one at a time, so that an older answer never comes after a newer one */
    atomic_llong fetched_ms; /* clock_now_ms() of the last fetch, good or not */
    atomic_bool loaded;      /* keys and denials were there */
    atomic_int waiting_count;
    atomic_ullong missed;    /* times that events may have been missed, */
    atomic_ullong covered;   /* and how many of them the loaded denials make good */
};

struct auth *auth_new(const struct auth_source *source, const struct auth_settings *settings)
{
    struct auth *self = mem_alloc(sizeof *self);
    self->source = *source;
    self->settings = *settings;
    self->denials = denials_new();
    self->cache = token_cache_new(settings->token_count);
    ASSERT(pthread_rwlock_init(&self->keys_lock, NULL) == 0);
    ASSERT(pthread_mutex_init(&self->fetching, NULL) == 0);
    return self;
}

void auth_destroy(struct auth **self)
{
    if (!*self) {
        return;
    }
    pthread_mutex_destroy(&(*self)->fetching);
    pthread_rwlock_destroy(&(*self)->keys_lock);
    token_keys_destroy(&(*self)->keys);
    token_cache_destroy(&(*self)->cache);
    denials_destroy(&(*self)->denials);
    mem_free(*self);
    *self = NULL;
}

/* ---- what user-svc knows ---- */

static void keys_take(struct auth *self, struct token_keys *keys)
{
    ASSERT(pthread_rwlock_wrlock(&self->keys_lock) == 0);
    struct token_keys *old = self->keys;
    bool distrusts = old && token_keys_count(old) > 0 && !token_keys_share(old, keys);
    self->keys = keys;
    if (distrusts) {
        atomic_fetch_add(&self->trust, 1);
        token_cache_clear(self->cache);
    }
    ASSERT(pthread_rwlock_unlock(&self->keys_lock) == 0);
    token_keys_destroy(&old);
    if (distrusts) {
        atomic_store(&self->distrusted, true);
    }
}

static enum err keys_fetch(struct auth *self, struct fault *fault)
{
    struct arena arena = {0};
    struct signing_keys list;
    atomic_store(&self->fetched_ms, clock_now_ms());
    ASSERT(pthread_mutex_lock(&self->fetching) == 0);
    enum err e = self->source.keys(self->source.user, &arena, fault, &list);
    if (e == ERR_NONE) {
        keys_take(self, token_keys_new(&list));
    }
    ASSERT(pthread_mutex_unlock(&self->fetching) == 0);
    arena_release(&arena);
    return e;
}

bool auth_take_distrust(struct auth *self)
{
    return atomic_exchange(&self->distrusted, false);
}

/* Unless the keys that it was verified with have been distrusted meanwhile. */
static void token_remember(struct auth *self, const struct token_entry *entry, unsigned trust, int64_t wall_ms)
{
    ASSERT(pthread_rwlock_rdlock(&self->keys_lock) == 0);
    if (atomic_load(&self->trust) == trust) {
        token_cache_put(self->cache, entry, wall_ms);
    }
    ASSERT(pthread_rwlock_unlock(&self->keys_lock) == 0);
}

enum err auth_reload_denials(struct auth *self, struct fault *fault)
{
    struct arena arena = {0};
    struct denial_list list;
    /* both before the question: its answer makes good nothing that is missed from now on */
    bool heard = self->source.silence_ms(self->source.user) <= self->settings.silence_ms;
    unsigned long long missed = atomic_load(&self->missed);
    enum err e = self->source.denials(self->source.user, &arena, fault, &list);
    if (e == ERR_NONE) {
        denials_merge(self->denials, &list, clock_wall_ms());
        if (heard) {
            atomic_store(&self->covered, missed);
        }
    }
    arena_release(&arena);
    return e;
}

enum err auth_load(struct auth *self, struct fault *fault)
{
    enum err e = keys_fetch(self, fault);
    if (e == ERR_NONE) {
        e = auth_reload_denials(self, fault);
    }
    if (e == ERR_NONE) {
        atomic_store(&self->loaded, true);
    }
    return e;
}

bool auth_ready(struct auth *self)
{
    return atomic_load(&self->loaded);
}

bool auth_is_stale(struct auth *self)
{
    if (self->source.silence_ms(self->source.user) > self->settings.silence_ms) {
        auth_missed_events(self);
    }
    return atomic_load(&self->missed) != atomic_load(&self->covered) || !denials_complete(self->denials);
}

void auth_missed_events(struct auth *self)
{
    atomic_fetch_add(&self->missed, 1);
}

void auth_deny(struct auth *self, const struct denial *denial)
{
    (void)denials_add(self->denials, denial, clock_wall_ms());
}

bool auth_is_denied(struct auth *self, struct text user_id, struct text session_id, int64_t issued_at_ms)
{
    return denials_hit(self->denials, user_id, session_id, issued_at_ms);
}

bool auth_add_jwks(struct auth *self, struct buffer *out)
{
    ASSERT(pthread_rwlock_rdlock(&self->keys_lock) == 0);
    bool added = self->keys ? token_keys_write(self->keys, out) : buffer_add_string(out, "{\"keys\":[]}");
    ASSERT(pthread_rwlock_unlock(&self->keys_lock) == 0);
    return added;
}

/* ---- checking ---- */

enum err auth_bearer(struct text header, struct fault *fault, struct text *out_token)
{
    enum { SCHEME_SIZE = 6 };
    struct text scheme = {header.data, header.size < SCHEME_SIZE ? header.size : SCHEME_SIZE};
    if (!text_equal_ignoring_case(scheme, TEXT("Bearer")) || header.size <= SCHEME_SIZE + 1 ||
        header.data[SCHEME_SIZE] != ' ') {
        return fault_set(fault, ERR_UNAUTHENTICATED, "The Authorization field takes \"Bearer\" and an access token.");
    }
    struct text token = {header.data + SCHEME_SIZE + 1, header.size - SCHEME_SIZE - 1};
    if (memchr(token.data, ' ', token.size) || token.size > TOKEN_MAX_SIZE) {
        return fault_set(fault, ERR_UNAUTHENTICATED, "The access token is not valid.");
    }
    *out_token = token;
    return ERR_NONE;
}

static enum err verify_once(struct auth *self, struct text token, int64_t wall_ms, struct arena *arena,
                            struct fault *fault, struct token_claims *out)
{
    ASSERT(pthread_rwlock_rdlock(&self->keys_lock) == 0);
    enum err e = self->keys ? token_verify(token, self->keys, wall_ms, self->settings.leeway_s, arena, fault, out)
                            : fault_set(fault, ERR_NOT_FOUND, NULL);
    ASSERT(pthread_rwlock_unlock(&self->keys_lock) == 0);
    return e;
}

/* An unknown kid may be a key that was made since: the keys are fetched again, but not for every forger. */
static bool may_refetch(struct auth *self)
{
    long long fetched_ms = atomic_load(&self->fetched_ms);
    int64_t now_ms = clock_now_ms();
    return now_ms - fetched_ms >= self->settings.refetch_ms &&
           atomic_compare_exchange_strong(&self->fetched_ms, &fetched_ms, now_ms);
}

/* At a start keys come within a moment. False if they did not, or too many wait for them already. */
static bool ready_wait(struct auth *self)
{
    int64_t until_ms = clock_now_ms() + self->settings.ready_ms;
    bool waits = atomic_fetch_add(&self->waiting_count, 1) < AUTH_WAITING_MAX;
    while (waits && !auth_ready(self) && clock_now_ms() < until_ms) {
        (void)poll(NULL, 0, READY_POLL_MS);
    }
    atomic_fetch_sub(&self->waiting_count, 1);
    return auth_ready(self);
}

static enum err verify(struct auth *self, struct text token, int64_t wall_ms, struct arena *arena, struct fault *fault,
                       struct token_claims *out)
{
    enum err e = verify_once(self, token, wall_ms, arena, fault, out);
    if (e != ERR_NOT_FOUND) {
        return e;
    }
    if (!auth_ready(self) && self->settings.ready_ms > 0) {
        e = ready_wait(self) ? verify_once(self, token, wall_ms, arena, fault, out)
                             : fault_set(fault, ERR_SERVICE_UNAVAILABLE, "Access tokens cannot be checked yet.");
        if (e != ERR_NOT_FOUND) {
            return e;
        }
    }
    if (may_refetch(self)) {
        e = keys_fetch(self, fault);
        if (e != ERR_NONE) {
            return fault_set(fault, ERR_SERVICE_UNAVAILABLE, "Access tokens cannot be checked at the moment.");
        }
        e = verify_once(self, token, wall_ms, arena, fault, out);
    } else if (!auth_ready(self)) {
        return fault_set(fault, ERR_SERVICE_UNAVAILABLE, "Access tokens cannot be checked yet.");
    }
    return e == ERR_NOT_FOUND ? fault_set(fault, ERR_UNAUTHENTICATED, "The access token is not valid.") : e;
}

static struct token_entry entry_of(const uint8_t hash[TOKEN_HASH_SIZE], const struct token_claims *claims)
{
    struct token_entry entry = {
        .role = claims->role, .issued_at_ms = claims->issued_at_ms, .expires_at_ms = claims->expires_at_ms};
    memcpy(entry.hash, hash, TOKEN_HASH_SIZE);
    ASSERT(text_to_string(claims->user_id, entry.user_id, sizeof entry.user_id));
    ASSERT(text_to_string(claims->session_id, entry.session_id, sizeof entry.session_id));
    return entry;
}

/* Nobody told us of ended sessions for a while: user-svc is asked, at most once a second for a token. */
static enum err ask(struct auth *self, struct token_entry *entry, unsigned trust, int64_t wall_ms, struct fault *fault)
{
    int64_t now_ms = clock_now_ms();
    bool good;
    if (entry->asked_ms != 0 && now_ms - entry->asked_ms < ASKED_GOOD_MS) {
        return ERR_NONE;
    }
    struct token_check question = {
        .session_id = text_of(entry->session_id), .user_id = text_of(entry->user_id), .issued_at = entry->issued_at_ms};
    enum err e = self->source.check(self->source.user, &question, fault, &good);
    if (e != ERR_NONE) {
        return fault_set(fault, ERR_SERVICE_UNAVAILABLE, "Access tokens cannot be checked at the moment.");
    }
    if (!good) {
        return fault_set(fault, ERR_UNAUTHENTICATED, "The session has ended.");
    }
    entry->asked_ms = now_ms;
    token_remember(self, entry, trust, wall_ms);
    return ERR_NONE;
}

bool auth_knows(struct auth *self, struct text token, int64_t wall_ms)
{
    uint8_t hash[TOKEN_HASH_SIZE];
    struct token_entry entry;
    token_hash(token, hash);
    return token_cache_get(self->cache, hash, wall_ms, &entry);
}

enum err auth_check(struct auth *self, struct text token, int64_t wall_ms, struct arena *arena, struct fault *fault,
                    struct identity *out)
{
    uint8_t hash[TOKEN_HASH_SIZE];
    struct token_entry entry;
    struct token_claims claims;
    unsigned trust = atomic_load(&self->trust);
    token_hash(token, hash);
    if (!token_cache_get(self->cache, hash, wall_ms, &entry)) {
        enum err e = verify(self, token, wall_ms, arena, fault, &claims);
        if (e != ERR_NONE) {
            return e;
        }
        entry = entry_of(hash, &claims);
        token_remember(self, &entry, trust, wall_ms);
    }
    if (denials_hit(self->denials, text_of(entry.user_id), text_of(entry.session_id), entry.issued_at_ms)) {
        return fault_set(fault, ERR_UNAUTHENTICATED, "The session has ended.");
    }
    if (auth_is_stale(self)) {
        enum err e = ask(self, &entry, trust, wall_ms, fault);
        if (e != ERR_NONE) {
            return e;
        }
    }
    struct text user_id = text_of(entry.user_id), session_id = text_of(entry.session_id);
    *out = (struct identity){.user_id = {arena_copy(arena, user_id.data, user_id.size), user_id.size},
                             .role = entry.role,
                             .session_id = {arena_copy(arena, session_id.data, session_id.size), session_id.size},
                             .issued_at = entry.issued_at_ms};
    return ERR_NONE;
}
