#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/ws_queue.h"
#include "lib/base/mem.h"

enum { LARGE_SIZE = 512 * 1024 };

struct fixture {
    struct ws_queue queue;
    int fd, other_fd;
};

static int fixture_open(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);
    int pair[2], size = 16 * 1024;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    *f = (struct fixture){.fd = pair[0], .other_fd = pair[1]};
    *state = f;
    return 0;
}

static int fixture_close(void **state)
{
    struct fixture *f = *state;
    ws_queue_clear(&f->queue, false);
    assert_true(ws_queue_is_empty(&f->queue));
    close(f->fd);
    close(f->other_fd);
    mem_free(f);
    return 0;
}

static struct ws_message *event_of(int64_t seq, uint32_t size)
{
    static char json[LARGE_SIZE];
    memset(json, 'j', sizeof json);
    return ws_message_of_event((struct text){json, size}, seq, TEXT("usr_a"), TEXT("ord_1"));
}

static size_t read_all(int fd)
{
    char room[64 * 1024];
    size_t size = 0;
    for (ssize_t got; (got = recv(fd, room, sizeof room, MSG_DONTWAIT)) > 0;) {
        size += (size_t)got;
    }
    return size;
}

static void what_waits_is_counted_and_leaves_in_order(void **state)
{
    struct fixture *f = *state;
    struct ws_message *event = event_of(7, 10);
    size_t size = event->size;
    ws_queue_add(&f->queue, ws_message_keep(event));
    ws_queue_add(&f->queue, ws_message_of_ping());
    assert_int_equal(f->queue.event_count, 1);
    assert_int_equal(f->queue.event_size, event->size);
    assert_int_equal(f->queue.control_count, 1);
    assert_ptr_equal(ws_queue_first(&f->queue), event);
    assert_int_equal(atomic_load(&event->users), 2);
    assert_true(ws_queue_send(&f->queue, f->fd));
    assert_true(ws_queue_is_empty(&f->queue));
    assert_null(ws_queue_first(&f->queue));
    assert_int_equal(f->queue.event_count + f->queue.event_size + f->queue.control_count, 0);
    assert_int_equal(f->queue.last_seq, 7);
    assert_int_equal(atomic_load(&event->users), 1);
    assert_int_equal(read_all(f->other_fd), size + 2); /* a ping is two bytes */
    ws_message_drop(&event);
}

static void a_started_frame_is_finished(void **state)
{
    struct fixture *f = *state;
    ws_queue_add(&f->queue, event_of(1, LARGE_SIZE));
    ws_queue_add(&f->queue, event_of(2, 10));
    assert_true(ws_queue_send(&f->queue, f->fd)); /* a full socket is no fault */
    uint32_t sent = f->queue.sent_size, size = ws_queue_first(&f->queue)->size;
    assert_true(sent > 0 && sent < size);
    ws_queue_clear(&f->queue, true);
    assert_int_equal(f->queue.event_count, 1);
    assert_int_equal(f->queue.event_size, size);
    assert_int_equal(f->queue.sent_size, sent);
    size_t arrived = 0;
    while (!ws_queue_is_empty(&f->queue)) {
        arrived += read_all(f->other_fd);
        assert_true(ws_queue_send(&f->queue, f->fd));
    }
    assert_int_equal(arrived + read_all(f->other_fd), size);
    assert_int_equal(f->queue.last_seq, 1);
}

static void what_was_not_started_is_dropped(void **state)
{
    struct fixture *f = *state;
    ws_queue_add(&f->queue, event_of(1, 10));
    ws_queue_add(&f->queue, ws_message_of_ping());
    ws_queue_clear(&f->queue, true);
    assert_true(ws_queue_is_empty(&f->queue));
    assert_int_equal(f->queue.last_seq, 0);
}

static void a_broken_connection_is_told(void **state)
{
    struct fixture *f = *state;
    ws_queue_add(&f->queue, event_of(1, 10));
    assert_int_equal(shutdown(f->fd, SHUT_WR), 0);
    assert_false(ws_queue_send(&f->queue, f->fd));
}

/* HTTP/1.0 has no chunks; a queue that was cleared does not forget it. */
static void a_bare_queue_sends_no_chunks(void **state)
{
    struct fixture *f = *state;
    char room[16];
    f->queue.bare = true;
    for (int i = 0; i < 2; i++) {
        ws_queue_add(&f->queue, ws_message_of_comment("a", false));
        ws_queue_add(&f->queue, ws_message_of_comment("b", true));
        assert_true(ws_queue_send(&f->queue, f->fd));
        assert_true(ws_queue_is_empty(&f->queue));
        assert_int_equal(recv(f->other_fd, room, sizeof room, MSG_DONTWAIT), 8);
        assert_memory_equal(room, ":a\n\n:b\n\n", 8);
        ws_queue_clear(&f->queue, true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_waits_is_counted_and_leaves_in_order, fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(a_started_frame_is_finished, fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(what_was_not_started_is_dropped, fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(a_bare_queue_sends_no_chunks, fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(a_broken_connection_is_told, fixture_open, fixture_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
