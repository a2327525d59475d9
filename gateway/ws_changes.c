#include "gateway/ws_changes.h"

#include "gateway/ws_peers.h"
#include "gateway/ws_resume.h"
#include "lib/base/mem.h"

static struct ws_change *oldest_take(struct ws_peer *peer)
{
    struct ws_links *links = ws_peer_links(peer);
    struct ws_change *change = links->changes;
    links->changes = change->next;
    return change;
}

/* Whose orders they are nobody but order-svc knows. */
static void look_up(struct ws_loop *loop, struct ws_peer *peer, const struct ws_change *change)
{
    const struct ws_identity *identity = ws_peer_identity(peer);
    struct ws_ask ask = {.loop = loop,
                         .peer_id = ws_peer_id(peer),
                         .bucket = ws_peers_bucket(identity),
                         .order_count = change->orders.count,
                         .order_ids = change->orders.order_ids};
    memcpy(ask.user_id, identity->user_id, sizeof ask.user_id);
    memcpy(ask.session_id, identity->session_id, sizeof ask.session_id);
    ws_peer_links(peer)->change_asked = true;
    loop->settings.ask(loop->settings.ask_user, &ask);
}

static void apply(struct ws_peer *peer, const struct ws_change *change, int64_t now_ms)
{
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    fault_init(&fault, &arena);
    if (ws_change_apply(change, ws_peer_settings(peer), &fault) == ERR_NONE) {
        ws_resume_retype(peer);
        ws_peer_say(peer, ws_change_answer(ws_peer_settings(peer)), now_ms);
    } else {
        ws_peer_say(peer, ws_change_refusal(&fault), now_ms);
    }
}

/* As far as nothing has to be looked up. */
static void work(struct ws_loop *loop, struct ws_peer *peer, int64_t now_ms)
{
    struct ws_links *links = ws_peer_links(peer);
    while (links->changes && !links->change_asked) {
        bool free = !links->changes->subscribe || links->changes->orders.count == 0 ||
                    ws_peer_identity(peer)->role == ROLE_ADMIN || !loop->settings.ask;
        if (!free) {
            look_up(loop, peer, links->changes);
            return;
        }
        struct ws_change *change = oldest_take(peer);
        apply(peer, change, now_ms);
        ws_change_destroy(&change);
    }
}

static enum err accept_change(struct ws_peer *peer, const struct ws_said *said, struct arena *arena,
                              struct fault *fault)
{
    struct ws_change **place = &ws_peer_links(peer)->changes;
    int count = 0;
    for (; *place; place = &(*place)->next) {
        count++;
    }
    if (count >= WS_CHANGES_MAX) {
        return fault_set(fault, ERR_RATE_LIMITED, "%d changes of this client wait already", WS_CHANGES_MAX);
    }
    return ws_change_read(said, ws_peer_identity(peer)->role, arena, fault, place);
}

void ws_changes_hear(void *user, struct ws_peer *peer, const struct ws_said *said, int64_t now_ms)
{
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    fault_init(&fault, &arena);
    if (accept_change(peer, said, &arena, &fault) == ERR_NONE) {
        work(user, peer, now_ms);
    } else {
        ws_peer_say(peer, ws_change_refusal(&fault), now_ms);
    }
}

void ws_changes_permit(struct ws_loop *loop, struct ws_peer *peer, const struct ws_permit *permit, int64_t now_ms)
{
    struct ws_change *change = oldest_take(peer);
    ws_peer_links(peer)->change_asked = false;
    if (permit->code == ERR_NONE) {
        apply(peer, change, now_ms);
    } else {
        struct fault fault;
        fault_init(&fault, NULL);
        (void)fault_set(&fault, permit->code, "%s", permit->detail);
        ws_peer_say(peer, ws_change_refusal(&fault), now_ms);
    }
    ws_change_destroy(&change);
    work(loop, peer, now_ms);
}

void ws_changes_release(struct ws_peer *peer)
{
    while (ws_peer_links(peer)->changes) {
        struct ws_change *change = oldest_take(peer);
        ws_change_destroy(&change);
    }
}
