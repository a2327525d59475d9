/* What clients of WebSockets may send. The first byte chooses: 'h' the head of a handshake, 'c' a change of what is
 * wanted, anything else frames to a client's end of the loop, cut where a byte 0xf7 stands. Nothing may crash, and what
 * was taken must hold. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/ws_change.h"
#include "gateway/ws_upgrade.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "tests/fuzz/fuzz.h"

static void head_try(struct text head)
{
    AUTO(arena_release) struct arena arena = {0};
    AUTO(buffer_release) struct buffer answer;
    struct fault fault;
    struct ws_handshake handshake = {0};
    fault_init(&fault, &arena);
    buffer_init(&answer, 64 * 1024);
    if (ws_upgrade_read(head, &fault, &handshake) == ERR_NONE) {
        ASSERT(ws_key_is_good(handshake.key) && handshake.path.size > 0 && handshake.path.data[0] == '/');
        ws_upgrade_answer(handshake.key, &answer);
    } else {
        ws_upgrade_refusal(&fault, &answer);
    }
    ASSERT(answer.size > 0 && !answer.overflown);
}

static void change_try(struct text bytes)
{
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    struct ws_said said = {.is_text = true, .is_whole = bytes.size <= WS_CHANGE_SIZE, .bytes = bytes};
    struct ws_peer_settings peer = {.types = 1};
    struct ws_change *change = NULL;
    fault_init(&fault, &arena);
    if (ws_change_read(&said, ROLE_CUSTOMER, &arena, &fault, &change) != ERR_NONE) {
        struct ws_message *refusal = ws_change_refusal(&fault);
        ws_message_drop(&refusal);
        return;
    }
    ASSERT(ws_change_apply(change, &peer, &fault) == ERR_NONE && peer.filter.count <= WS_FILTER_MAX && peer.types != 0);
    struct ws_message *answer = ws_change_answer(&peer);
    ws_message_drop(&answer);
    ws_change_destroy(&change);
    mem_free(peer.filter.order_ids);
}

static void on_message(void *user, struct ws_peer *peer, const struct ws_said *said, int64_t now_ms)
{
    (void)user;
    bool has_nul =
        said->bytes.size > 0 && memchr(said->bytes.data, '\0', said->bytes.size); /* which text_is_utf8 does not take */
    ASSERT(!said->is_text || !said->is_whole || has_nul || text_is_utf8(said->bytes));
    ws_peer_say(peer, ws_message_of_data(said->is_text ? WS_TEXT : WS_BINARY, said->bytes), now_ms);
}

static void frames_try(struct text bytes)
{
    static const struct ws_limits limits = {.queue_count = 8,
                                            .queue_size = 4096,
                                            .receive_size = 2000,
                                            .keep_size = 1000,
                                            .receive_rate = 50,
                                            .ping_ms = 1000,
                                            .close_ms = 1000,
                                            .age_ms = 100000};
    struct ws_hearer hearer = {on_message, NULL};
    struct text rest = bytes, part;
    int pair[2];
    ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    struct ws_peer_settings settings = {.id = 1, .fd = pair[0], .limits = &limits, .hearer = &hearer};
    struct ws_peer *peer = ws_peer_new(&settings, 0, 1000);
    bool early = text_cut(&rest, '\xf7', &part);
    ws_peer_start(peer, early ? part : (struct text){0}, 1000);
    for (int64_t now_ms = 1000; text_cut(&rest, '\xf7', &part) && !ws_peer_is_done(peer); now_ms += 100) {
        (void)send(pair[1], part.data, part.size, MSG_DONTWAIT | MSG_NOSIGNAL);
        ws_peer_on_io(peer, true, true, now_ms);
        ws_peer_on_tick(peer, now_ms);
    }
    ws_peer_destroy(&peer);
    close(pair[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && size <= 64 * 1024) {
        struct text bytes = {(const char *)data + 1, (uint32_t)size - 1};
        if (data[0] == 'h') {
            head_try(bytes);
        } else if (data[0] == 'c') {
            change_try(bytes);
        } else {
            frames_try(bytes);
        }
    }
    return 0;
}
