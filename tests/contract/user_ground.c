#include "tests/contract/user_ground.h"

#include <unistd.h>

#include "lib/base/mem.h"

enum { PAUSE_US = 20000 };

void ground_store_open(struct ground *ground)
{
    fault_init(&ground->fault, &ground->arena);
    if (ground->place->open(&ground->config, true, NULL, &ground->fault, &ground->store) != ERR_NONE) {
        fail_msg("%s (%s)", ground->fault.detail, ground->fault.cause);
    }
}

int ground_open(void **state)
{
    const struct user_place *place = *state;
    struct ground *ground = mem_alloc(sizeof *ground);
    ground->place = place;
    place->make(ground->url, sizeof ground->url);
    ground->config = (struct store_config){.store = ground->url, .store_busy_ms = 1000};
    ground_store_open(ground);
    *state = ground;
    return 0;
}

int ground_close(void **state)
{
    struct ground *ground = *state;
    user_store_destroy(&ground->store);
    ground->place->drop(ground->url);
    arena_release(&ground->arena);
    mem_free(ground);
    return 0;
}

/* ---- one act ---- */

void act_begin(struct ground *ground)
{
    fault_init(&ground->fault, &ground->arena);
    const struct unit_of_work *unit = ground->store->unit;
    if (unit) {
        assert_int_equal(unit->begin(ground->store->unit_store, true, &ground->fault), ERR_NONE);
        assert_int_equal(unit->savepoint(ground->store->unit_store, &ground->fault), ERR_NONE);
    }
}

enum err act_end(struct ground *ground, enum err e)
{
    const struct unit_of_work *unit = ground->store->unit;
    if (unit && e == ERR_NONE) {
        assert_int_equal(unit->release(ground->store->unit_store, &ground->fault), ERR_NONE);
    } else if (unit) {
        unit->undo(ground->store->unit_store);
    }
    if (unit) {
        assert_int_equal(unit->commit(ground->store->unit_store, &ground->fault), ERR_NONE);
    }
    return e;
}

bool act_again(struct ground *ground, enum err e)
{
    return ground->in_trouble && (e == ERR_SERVICE_UNAVAILABLE || e == ERR_OUTCOME_UNKNOWN) && usleep(PAUSE_US) == 0;
}

struct account_new account_of(const char *id, const char *email, int64_t at)
{
    return (struct account_new){.account = {.user = {.id = text_of(id),
                                                     .email = text_of(email),
                                                     .name = TEXT("Name"),
                                                     .role = ROLE_CUSTOMER,
                                                     .created_at = at,
                                                     .updated_at = at,
                                                     .version = 1},
                                            .email_folded = text_of(email),
                                            .password_hash = TEXT("hash of the first password")},
                                .first_role = ROLE_ADMIN};
}

struct denial account_denial(const char *user_id, const char *except, int64_t before)
{
    struct denial denial = {.user_id = text_of(user_id), .before = before, .expires_at = before + 10};
    set_has(denial, &denial, user_id);
    if (except) {
        denial.except_session_id = text_of(except);
        set_has(denial, &denial, except_session_id);
    }
    return denial;
}

struct event_new event_of(const char *id, const char *type, const char *subject)
{
    return (struct event_new){
        .id = text_of(id), .type = text_of(type), .subject = text_of(subject), .source = TEXT("user-svc"), .time = NOW};
}

enum role account_put(struct ground *g, const char *id, const char *email, int64_t at)
{
    struct account_new account = account_of(id, email, at);
    enum role role = ROLE_CUSTOMER;
    WELL(user_store_account_insert(g->store, &account, &g->arena, &g->fault, &role));
    return role;
}

struct account account_now(struct ground *g, const char *id)
{
    struct account account;
    WELL(user_store_account_get(g->store, text_of(id), &g->arena, &g->fault, &account));
    return account;
}

void session_put(struct ground *g, const char *id, const char *user_id)
{
    struct session session = {.id = text_of(id),
                              .user_id = text_of(user_id),
                              .refresh_hash = TEXT("first"),
                              .created_ms = NOW,
                              .used_ms = NOW};
    WELL(user_store_session_insert(g->store, &session, &g->fault));
}

bool token_is_good(struct ground *g, const char *session_id, const char *user_id, int64_t at)
{
    struct token_check check = {.session_id = text_of(session_id), .user_id = text_of(user_id), .issued_at = at};
    bool good = false;
    WELL(user_store_token_good(g->store, &check, &g->fault, &good));
    return good;
}

enum err role_put_at(struct ground *g, const char *id, enum role role, int64_t at)
{
    struct denial denial = account_denial(id, NULL, at);
    struct event_new changed = event_of(id, "user.role_changed", id), ended = event_of(id, "session.ended", id);
    struct role_change change = {
        .id = text_of(id), .role = role, .now_ms = at, .denial = &denial, .changed = &changed, .ended = &ended};
    return ACT(user_store_account_set_role(g->store, &change, &g->arena, &g->fault));
}

enum err role_put(struct ground *g, const char *id, enum role role)
{
    return role_put_at(g, id, role, NOW);
}

void password_put(struct ground *g, const char *id, const char *kept, int64_t at)
{
    struct user_edit edit = {.id = text_of(id)};
    struct denial denial = account_denial(id, kept, at);
    struct account_edit change = {
        .edit = &edit, .password_hash = TEXT("another hash"), .now_ms = at, .denial = &denial};
    WELL(user_store_account_edit(g->store, &change, &g->arena, &g->fault));
}

bool session_end(struct ground *g, const char *id, int64_t at)
{
    struct session_end end = {.id = text_of(id), .now_ms = at, .denial_ends_ms = at + 10};
    bool went_on = false;
    WELL(user_store_session_end(g->store, &end, &g->arena, &g->fault, &went_on));
    return went_on;
}

struct denial_list denials_at(struct ground *g, int64_t now)
{
    struct denial_list list;
    WELL(user_store_denial_list(g->store, now, &g->arena, &g->fault, &list));
    return list;
}

struct ticket ticket_of(const char *hash, const char *session_id)
{
    return (struct ticket){.hash = text_of(hash),
                           .identity = {.user_id = TEXT("usr_1"), .role = ROLE_ADMIN, .session_id = text_of(session_id),
                                        .issued_at = NOW},
                           .expires_ms = NOW + 30};
}

enum err ticket_take(struct ground *g, const char *hash, const char *request_id, int64_t now)
{
    struct identity identity = {.role = ROLE_CUSTOMER};
    struct ticket_use use = {text_of(hash), text_of(request_id), now};
    enum err e;
    do {
        e = ACT(user_store_ticket_spend(g->store, &use, &g->arena, &g->fault, &identity));
    } while (act_again(g, e));
    if (e == ERR_NONE) {
        assert_true(text_is(identity.user_id, "usr_1"));
        assert_int_equal(identity.role, ROLE_ADMIN);
        assert_int_equal(identity.issued_at, NOW);
    }
    return e;
}

struct outbox_page events_take(struct ground *g)
{
    struct outbox_page page = {0};
    struct outbox_source *outbox = g->store->outbox;
    if (outbox->ops->sweep) {
        outbox->ops->sweep(outbox);
    }
    WELL(outbox->ops->look(outbox, &g->arena, &g->fault, &page));
    if (page.append.events.count > 0) {
        WELL(outbox->ops->clear(outbox, &page, &g->fault));
    }
    return page;
}
