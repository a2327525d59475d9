#include "gateway/ws_resume.h"

/* False if it has to wait for the client. */
static bool message_send(const struct ws_resumer *self, struct ws_peer *peer, struct ws_message *message,
                         int64_t now_ms)
{
    if (!ws_peer_has_room(peer)) {
        return false;
    }
    if (ws_peer_sees(peer, message) && ws_peer_send(peer, message, now_ms)) {
        (*self->events_count)++;
    }
    return true;
}

/* False when something of the page is left. */
static bool page_send(const struct ws_resumer *self, struct ws_peer *peer, int64_t now_ms)
{
    struct ws_resume *resume = &ws_peer_links(peer)->resume;
    while (resume->sent_count < resume->page->count) {
        if (!message_send(self, peer, resume->page->messages[resume->sent_count], now_ms)) {
            return false;
        }
        resume->sent_count++;
    }
    resume->after = resume->page->last;
    resume->caught_up = !resume->page->has_more;
    ws_page_destroy(&resume->page);
    return true;
}

static bool recent_send(const struct ws_resumer *self, struct ws_peer *peer, int64_t now_ms)
{
    struct ws_resume *resume = &ws_peer_links(peer)->resume;
    struct ws_message *message;
    while ((message = ws_recent_next(self->recent, resume->after)) != NULL) {
        if (!message_send(self, peer, message, now_ms)) {
            return false;
        }
        resume->after = message->seq;
    }
    return true;
}

static void page_ask(const struct ws_resumer *self, struct ws_peer *peer, uint32_t bucket)
{
    struct ws_resume *resume = &ws_peer_links(peer)->resume;
    const struct ws_identity *identity = ws_peer_identity(peer);
    struct ws_ask ask = {
        .peer_id = ws_peer_id(peer), .bucket = bucket, .after = resume->after, .types = ws_peer_types(peer)};
    if (identity->role != ROLE_ADMIN) {
        memcpy(ask.user_id, identity->user_id, sizeof(ask.user_id));
    }
    resume->asked = true;
    self->ask(self->user, &ask);
}

void ws_resume_step(const struct ws_resumer *self, struct ws_peer *peer, uint32_t bucket, int64_t now_ms)
{
    struct ws_resume *resume = &ws_peer_links(peer)->resume;
    if (!resume->on || resume->asked || ws_peer_is_held(peer) || ws_peer_is_closing(peer)) {
        return;
    }
    if (resume->page && !page_send(self, peer, now_ms)) {
        return;
    }
    if (resume->caught_up && ws_recent_reaches(self->recent, resume->after)) {
        resume->on = !recent_send(self, peer, now_ms);
        return;
    }
    resume->caught_up = false;
    page_ask(self, peer, bucket);
}

void ws_resume_take(const struct ws_resumer *self, struct ws_peer *peer, uint32_t bucket, struct ws_page *page,
                    int64_t now_ms)
{
    struct ws_resume *resume = &ws_peer_links(peer)->resume;
    resume->asked = false;
    if (resume->stale && page) {
        resume->stale = false;
        ws_page_destroy(&page);
        ws_resume_step(self, peer, bucket, now_ms);
        return;
    }
    if (!page) {
        ws_peer_lag(peer, now_ms);
        return;
    }
    ws_page_destroy(&resume->page);
    resume->page = page;
    resume->sent_count = 0;
    ws_resume_step(self, peer, bucket, now_ms);
}

void ws_resume_retype(struct ws_peer *peer)
{
    struct ws_resume *resume = &ws_peer_links(peer)->resume;
    resume->stale = resume->asked;
}

void ws_resume_release(struct ws_peer *peer)
{
    ws_page_destroy(&ws_peer_links(peer)->resume.page);
}
