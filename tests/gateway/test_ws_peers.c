#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/ws_peers.h"
#include "lib/base/mem.h"

static const struct ws_limits limits = {.queue_count = 8, .queue_size = 1024, .receive_size = 1024, .receive_rate = 20};

enum { PEERS = 6 };

struct fixture {
    struct ws_peers peers;
    struct ws_peer *all[PEERS]; /* 0 to 3: one customer's, 4: another's, 5: an administrator's; ids count from 1 */
};

static struct ws_peer *peer_of(uint64_t id, const char *user, enum role role)
{
    struct ws_peer_settings settings = {.id = id, .limits = &limits, .identity = {.role = role}};
    settings.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(settings.fd >= 0);
    snprintf(settings.identity.user_id, sizeof settings.identity.user_id, "%s", user);
    return ws_peer_new(&settings, 0, 0);
}

static int fixture_open(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);
    for (uint64_t i = 0; i < PEERS; i++) {
        f->all[i] = peer_of(i + 1, i < 4 ? "usr_a" : "usr_b", i == 5 ? ROLE_ADMIN : ROLE_CUSTOMER);
        ws_peers_add(&f->peers, f->all[i]);
    }
    *state = f;
    return 0;
}

static int fixture_close(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < PEERS; i++) {
        ws_peer_destroy(&f->all[i]);
    }
    mem_free(f);
    return 0;
}

static int count_of(const struct fixture *f, uint32_t bucket)
{
    int count = 0;
    const struct ws_peer *before = NULL;
    for (struct ws_peer *at = f->peers.buckets[bucket]; at; at = ws_peer_links(at)->next) {
        assert_ptr_equal(ws_peer_links(at)->previous, before);
        before = at;
        count++;
    }
    return count;
}

static void peers_stand_by_account(void **state)
{
    struct fixture *f = *state;
    uint32_t a = ws_peers_bucket(ws_peer_identity(f->all[0])), b = ws_peers_bucket(ws_peer_identity(f->all[4]));
    assert_int_not_equal(a, b); /* of these two names */
    assert_true(a < WS_ADMIN_BUCKET && b < WS_ADMIN_BUCKET);
    assert_int_equal(ws_peers_bucket(ws_peer_identity(f->all[5])), WS_ADMIN_BUCKET);
    assert_int_equal(count_of(f, a), 4);
    assert_int_equal(count_of(f, b), 1);
    assert_int_equal(count_of(f, WS_ADMIN_BUCKET), 1);
    assert_int_equal(f->peers.count, PEERS);
}

static void a_held_peer_is_taken_once(void **state)
{
    struct fixture *f = *state;
    static const uint64_t order[] = {3, 6, 1, 2, 5, 4}; /* the middle, both ends, and the rest */
    for (size_t i = 0; i < PEERS; i++) {
        assert_ptr_equal(ws_peers_take_held(&f->peers, order[i]), f->all[order[i] - 1]);
        assert_null(ws_peers_take_held(&f->peers, order[i]));
    }
    assert_null(f->peers.held);
    assert_int_equal(f->peers.count, PEERS);
}

static void a_done_peer_leaves_every_list(void **state)
{
    struct fixture *f = *state;
    uint32_t a = ws_peers_bucket(ws_peer_identity(f->all[0]));
    ws_peers_list_done(&f->peers, f->all[1]);
    ws_peers_list_done(&f->peers, f->all[0]);
    ws_peers_list_done(&f->peers, f->all[1]);
    assert_int_equal(count_of(f, a), 4); /* until they are taken */
    assert_ptr_equal(ws_peers_take_done(&f->peers), f->all[0]);
    assert_ptr_equal(ws_peers_take_done(&f->peers), f->all[1]);
    assert_null(ws_peers_take_done(&f->peers));
    assert_int_equal(count_of(f, a), 2);
    assert_int_equal(f->peers.count, PEERS - 2);
    assert_null(ws_peers_take_held(&f->peers, 1));
    assert_null(ws_peers_take_held(&f->peers, 2));
    assert_non_null(ws_peers_take_held(&f->peers, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(peers_stand_by_account, fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(a_held_peer_is_taken_once, fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(a_done_peer_leaves_every_list, fixture_open, fixture_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
