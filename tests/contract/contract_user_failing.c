/* Every call of a store may fail: what was begun is done once when it is tried again. */
#include <unistd.h>

#include "lib/base/clock.h"
#include "tests/contract/user_ground.h"

static enum err step_register(struct ground *g, const char *id, const char *email, const char *session_id)
{
    struct account account;
    struct account_new new = account_of(id, email, NOW);
    struct session session = {.id = text_of(session_id), .user_id = text_of(id), .refresh_hash = TEXT("first"),
                              .created_ms = NOW, .used_ms = NOW};
    enum role role;
    enum err e = user_store_account_get(g->store, text_of(id), &g->arena, &g->fault, &account);
    if (e == ERR_NOT_FOUND) {
        e = user_store_account_insert(g->store, &new, &g->arena, &g->fault, &role);
    }
    return e == ERR_NONE ? user_store_session_insert(g->store, &session, &g->fault) : e;
}

static enum err step_password(struct ground *g)
{
    struct account account;
    struct user_edit edit = {.id = TEXT("usr_1")};
    struct denial denial = account_denial("usr_1", "ses_1", NOW);
    enum err e = user_store_account_get(g->store, TEXT("usr_1"), &g->arena, &g->fault, &account);
    if (e != ERR_NONE || text_is(account.changed_by, "password-request")) {
        return e;
    }
    struct event_new updated = event_of("evt_password", "user.updated", "usr_1");
    struct account_edit change = {.edit = &edit,
                                  .password_hash = TEXT("second"),
                                  .verified_hash = account.password_hash,
                                  .now_ms = NOW,
                                  .request_id = TEXT("password-request"),
                                  .denial = &denial,
                                  .updated = &updated};
    return user_store_account_edit(g->store, &change, &g->arena, &g->fault);
}

static enum err step_role(struct ground *g, const char *id, enum role role)
{
    struct account account;
    struct denial denial = account_denial(id, NULL, NOW);
    struct event_new changed = event_of(role == ROLE_ADMIN ? "evt_up" : "evt_down", "user.role_changed", id);
    struct role_change change = {
        .id = text_of(id), .role = role, .now_ms = NOW, .denial = &denial, .changed = &changed};
    enum err e = user_store_account_get(g->store, change.id, &g->arena, &g->fault, &account);
    if (e != ERR_NONE || account.user.role == role) {
        return e;
    }
    return user_store_account_set_role(g->store, &change, &g->arena, &g->fault);
}

static enum err step_ticket(struct ground *g)
{
    struct ticket ticket = ticket_of("t1", "ses_1");
    struct ticket_use use = {TEXT("t1"), TEXT("redeem-request"), NOW};
    struct identity identity;
    bool fresh;
    ticket.identity.issued_at = NOW + 1; /* after what the new password has denied */
    enum err e = user_store_ticket_add(g->store, &ticket, &g->fault, &fresh);
    return e == ERR_NONE ? user_store_ticket_spend(g->store, &use, &g->arena, &g->fault, &identity) : e;
}

/* As the handlers do it: a write of ours that came late is what was in the way, so the next look finds it. */
static enum err late_register(struct ground *g, const char *id, const char *email, const char *session_id)
{
    enum err e = step_register(g, id, email, session_id);
    return e == ERR_CONFLICT ? step_register(g, id, email, session_id) : e;
}

static enum err late_password(struct ground *g)
{
    enum err e = step_password(g);
    return e == ERR_CONFLICT ? step_password(g) : e;
}

static enum err scenario(struct ground *g)
{
    enum err e = ACT(late_register(g, "usr_1", "a@b", "ses_1"));
    e = e == ERR_NONE ? ACT(late_register(g, "usr_2", "c@d", "ses_2")) : e;
    e = e == ERR_NONE ? ACT(step_role(g, "usr_2", ROLE_ADMIN)) : e;
    e = e == ERR_NONE ? ACT(step_role(g, "usr_1", ROLE_CUSTOMER)) : e;
    e = e == ERR_NONE ? ACT(late_password(g)) : e;
    return e == ERR_NONE ? ACT(step_ticket(g)) : e;
}

static void scenario_check(struct ground *g)
{
    struct account first = account_now(g, "usr_1"), second = account_now(g, "usr_2");
    assert_int_equal(first.user.role, ROLE_CUSTOMER);
    assert_int_equal(second.user.role, ROLE_ADMIN);
    assert_true(text_is(first.password_hash, "second"));
    assert_int_equal(denials_at(g, 0).denials.count, 2); /* one for each account that has lost something */
    assert_int_equal(ticket_take(g, "t1", "another-request", NOW), ERR_NOT_FOUND);
    struct outbox_page page = events_take(g);
    uint32_t count = 0;
    static const char *const ids[] = {"evt_up", "evt_down", "evt_password"};
    for (uint32_t i = 0; i < page.append.events.count; i++) {
        for (size_t j = 0; j < ARRAY_COUNT(ids); j++) {
            count += text_is(page.append.events.items[i].id, ids[j]);
        }
    }
    assert_int_equal(count, ARRAY_COUNT(ids)); /* each once: what was done twice would be told twice */
}

/* True if a call failed. */
static bool scenario_fails_once(const struct user_place *place, int good_calls, bool after)
{
    void *state = (void *)(uintptr_t)place;
    assert_int_equal(ground_open(&state), 0);
    struct ground *g = state;
    struct user_store *inner = g->store;
    g->store = failing_user_store_new(inner, good_calls, after);
    enum err e = scenario(g);
    bool failed = failing_user_store_failed(g->store);
    assert_int_equal(e, failed ? ERR_SERVICE_UNAVAILABLE : ERR_NONE);
    user_store_destroy(&g->store);
    g->store = inner;
    assert_int_equal(scenario(g), ERR_NONE);
    scenario_check(g);
    assert_int_equal(ground_close(&state), 0);
    return failed;
}

static void any_call_may_fail(void **state)
{
    const struct user_place *place = *state;
    int before = 0, after = 0;
    while (scenario_fails_once(place, before, false)) {
        before++;
    }
    while (scenario_fails_once(place, after, true)) {
        after++;
    }
    assert_true(before >= 12 && after == before);
}

/* A store that was cut off refuses for a moment; whoever asks again is let in after it. */
static void scenario_repeat(struct ground *g)
{
    enum { PAUSE_US = 20000, PATIENCE_MS = 120000 };
    int64_t end_ms = clock_now_ms() + PATIENCE_MS;
    enum err e;
    while (((e = scenario(g)) == ERR_SERVICE_UNAVAILABLE || e == ERR_OUTCOME_UNKNOWN) && clock_now_ms() < end_ms) {
        usleep(PAUSE_US);
    }
    if (e != ERR_NONE) {
        fail_msg("%s (%s)", err_info(e)->slug, g->fault.cause);
    }
}

/* True if the command was reached. */
static bool scenario_spoilt(struct ground *g, const struct user_spoiler *spoiler, int n)
{
    spoiler->arm(n);
    enum err e = scenario(g);
    bool happened = spoiler->happened();
    if (e != ERR_NONE && e != ERR_SERVICE_UNAVAILABLE && e != ERR_OUTCOME_UNKNOWN) {
        fail_msg("command %d spoilt: %s (%s)", n, err_info(e)->slug, g->fault.cause);
    }
    spoiler->settle();
    spoiler->arm(-1);
    scenario_repeat(g);
    spoiler->settle();
    scenario_check(g);
    return happened || e != ERR_NONE; /* what ended too early without us says nothing of the commands behind it */
}

static void every_command_spoilt(const struct user_place *place, const struct user_spoiler *spoiler, int how)
{
    bool slow = how >= 2; /* those share the commands between them */
    int n = slow ? how - 2 : 0;
    void *state = (void *)(uintptr_t)place;
    spoiler->choose(how);
    assert_int_equal(ground_open(&state), 0);
    struct ground *g = state;
    g->in_trouble = true;
    while (scenario_spoilt(g, spoiler, n)) {
        n += slow ? 2 : 1;
        user_store_destroy(&g->store);
        spoiler->empty();
        ground_store_open(g);
    }
    assert_true(n >= 20);
    assert_int_equal(ground_close(&state), 0);
}

void contract_user_spoil(const struct user_place *place, const struct user_spoiler *spoiler)
{
    for (int how = 0; how < spoiler->how_count; how++) {
        every_command_spoilt(place, spoiler, how);
    }
}

int contract_user_failing(const struct user_place *place)
{
    const struct CMUnitTest tests[] = {
        {"any_call_may_fail", any_call_may_fail, NULL, NULL, (void *)(uintptr_t)place},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
