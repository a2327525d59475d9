/* What every store of dead letters promises: a death once, a lease that ends, a drop that may come before its letter,
 * retention by count and age. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "event-svc/store.h"
#include "lib/base/mem.h"

#define NOW INT64_C(1000000000000)
#define DAY INT64_C(86400000)

static const char id_a[] = "aa000000000000000000000000000000", id_b[] = "bb000000000000000000000000000000";
static const struct letter_keeping keeping = {.count_max = 3, .days = 30};

struct place {
    char folder[64];
    char url[80];
    struct event_store *store;
    struct arena arena;
    struct fault fault;
};

static void place_open(struct place *place)
{
    struct store_config config = {.store = place->url, .store_busy_ms = 50};
    fault_init(&place->fault, &place->arena);
    assert_int_equal(event_store_open(&config, true, 7, NULL, &place->fault, &place->store), ERR_NONE);
}

static int place_make(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    snprintf(place->folder, sizeof place->folder, "/tmp/zmart-test-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    snprintf(place->url, sizeof place->url, "sqlite:%s", place->folder);
    place_open(place);
    *state = place;
    return 0;
}

static int place_drop(void **state)
{
    struct place *place = *state;
    char command[128];
    event_store_destroy(&place->store);
    snprintf(command, sizeof command, "rm -r '%s'", place->folder);
    int status = system(command);
    arena_release(&place->arena);
    free(place);
    return status;
}

/* ---- one verb, one unit of work ---- */

static enum err finish(struct place *place, enum err e)
{
    const struct unit_of_work *unit = place->store->unit;
    if (e == ERR_NONE) {
        return unit->commit(place->store->handle, &place->fault);
    }
    unit->rollback(place->store->handle);
    return e;
}

static void begin(struct place *place)
{
    assert_int_equal(place->store->unit->begin(place->store->handle, true, &place->fault), ERR_NONE);
}

static struct dead_letter letter_of(const char *id, int64_t death)
{
    struct dead_letter letter = {.request_id = text_of(id),
                                 .death = death,
                                 .route = TEXT("order.create"),
                                 .reason = TEXT("Every worker that had it died."),
                                 .attempts = 3,
                                 .flags = FRAME_REPEATABLE,
                                 .priority = 2,
                                 .age_ms = 1000,
                                 .bytes = 20,
                                 .meta = TEXT("\xc4\x01\x80"),
                                 .body = TEXT("\xc4\x03\xff\x00\xfe")};
    set_has(dead_letter, &letter, meta);
    set_has(dead_letter, &letter, body);
    return letter;
}

static enum err add(struct place *place, const struct dead_letter *letter, int64_t now_ms)
{
    begin(place);
    return finish(place, letters_add(place->store->letters, place->store->handle, letter, &keeping, now_ms, &place->fault));
}

static void added(struct place *place, const char *id, int64_t death, int64_t now_ms)
{
    struct dead_letter letter = letter_of(id, death);
    assert_int_equal(add(place, &letter, now_ms), ERR_NONE);
}

static struct mmi_dead_letters list(struct place *place, int64_t now_ms)
{
    struct mmi_dead_letters out;
    begin(place);
    enum err e = place->store->letters->list(place->store->handle, now_ms, &place->arena, &place->fault, &out);
    assert_int_equal(finish(place, e), ERR_NONE);
    assert_true(out.count >= (int64_t)out.letters.count);
    return out;
}

static enum err take(struct place *place, const char *id, const char *taker, int64_t now_ms, struct dead_letter *out)
{
    struct letter_take what = {.request_id = text_of(id), .taker = text_of(taker), .lease_ms = 5000};
    begin(place);
    return finish(place, place->store->letters->take(place->store->handle, &what, now_ms, &place->arena, &place->fault, out));
}

/* death 0: any */
static enum err drop(struct place *place, const char *id, int64_t death)
{
    struct letter_drop what = {.request_id = text_of(id), .death = death};
    if (death) {
        set_has(letter_drop, &what, death);
    }
    begin(place);
    return finish(place, place->store->letters->drop(place->store->handle, &what, NOW, &place->fault));
}

/* ---- promises ---- */

static void a_death_is_kept_once(void **state)
{
    struct place *place = *state;
    added(place, id_a, 1, NOW);
    added(place, id_a, 1, NOW + 5000);
    added(place, id_b, 2, NOW + 1);
    struct mmi_dead_letters two = list(place, NOW + 10000);
    assert_int_equal(two.count, 2);
    assert_true(text_is(two.letters.items[0].request_id, id_b)); /* the newest first */
    const struct mmi_dead_letter *a = &two.letters.items[1];
    assert_true(text_is(a->route, "order.create") && a->stored && !a->secret);
    assert_int_equal(a->age_ms, 11000);
    assert_int_equal(a->attempts, 3);
    assert_int_equal(a->bytes, 20);
    event_store_destroy(&place->store);
    place_open(place);
    assert_int_equal(list(place, NOW + 10000).count, 2);
}

static void a_letter_comes_back_as_it_was(void **state)
{
    struct place *place = *state;
    struct dead_letter out;
    added(place, id_a, INT64_MAX, NOW);
    assert_int_equal(take(place, id_a, id_b, NOW, &out), ERR_NONE);
    assert_true(text_is(out.request_id, id_a) && text_is(out.route, "order.create"));
    assert_int_equal(out.death, INT64_MAX);
    assert_int_equal(out.flags, FRAME_REPEATABLE);
    assert_int_equal(out.priority, 2);
    assert_int_equal(out.meta.size, 3);
    assert_memory_equal(out.body.data, "\xc4\x03\xff\x00\xfe", 5);
}

static void a_lease_hides_it_and_ends(void **state)
{
    struct place *place = *state;
    struct dead_letter out;
    added(place, id_a, 1, NOW);
    assert_int_equal(take(place, id_b, id_b, NOW, &out), ERR_NOT_FOUND);
    assert_int_equal(take(place, id_a, id_b, NOW, &out), ERR_NONE);
    assert_int_equal(list(place, NOW + 4999).count, 0);
    assert_int_equal(take(place, id_a, id_a, NOW + 4999, &out), ERR_CONFLICT);
    assert_int_equal(take(place, id_a, id_b, NOW + 1, &out), ERR_NONE); /* the same one, again */
    assert_int_equal(list(place, NOW + 5001).count, 1);
    assert_int_equal(take(place, id_a, id_a, NOW + 5001, &out), ERR_NONE);
    added(place, id_a, 2, NOW + 5002); /* it died again: that is news */
    assert_int_equal(list(place, NOW + 5002).count, 1);
}

static void a_drop_may_come_first(void **state)
{
    struct place *place = *state;
    assert_int_equal(drop(place, id_a, 0), ERR_NOT_FOUND);
    assert_int_equal(drop(place, id_a, 1), ERR_NONE);
    added(place, id_a, 1, NOW);
    assert_int_equal(list(place, NOW).count, 0);
    added(place, id_a, 2, NOW);
    assert_int_equal(list(place, NOW).count, 1);
    assert_int_equal(drop(place, id_a, 1), ERR_NONE); /* of the death before */
    assert_int_equal(list(place, NOW).count, 1);
    assert_int_equal(drop(place, id_a, 0), ERR_NONE);
    assert_int_equal(drop(place, id_a, 0), ERR_NOT_FOUND);
    assert_int_equal(list(place, NOW).count, 0);
    added(place, id_a, 2, NOW);
    assert_int_equal(list(place, NOW).count, 0);
}

static void no_secret_is_kept(void **state)
{
    struct place *place = *state;
    struct dead_letter secret = letter_of(id_a, 1), unflagged = letter_of(id_b, 2), out;
    secret.flags |= FRAME_SECRET;
    unflagged.route = TEXT("user.login#somebody"); /* its fields say so, whatever its sender has forgotten */
    assert_int_equal(add(place, &secret, NOW), ERR_NONE);
    assert_int_equal(add(place, &unflagged, NOW), ERR_NONE);
    struct mmi_dead_letters both = list(place, NOW);
    assert_true(both.letters.items[0].secret && both.letters.items[1].secret);
    assert_int_equal(both.letters.items[0].bytes + both.letters.items[1].bytes, 0);
    assert_int_equal(take(place, id_a, id_b, NOW, &out), ERR_CONFLICT);
    assert_int_equal(take(place, id_b, id_b, NOW, &out), ERR_CONFLICT);
    assert_int_equal(drop(place, id_b, 0), ERR_NONE);
}

static void retention_by_count_and_days(void **state)
{
    struct place *place = *state;
    char id[] = "c0000000000000000000000000000000";
    for (int i = 0; i < 5; i++) {
        id[1] = (char)('0' + i);
        added(place, id, i + 1, NOW + i);
    }
    struct mmi_dead_letters newest = list(place, NOW + 10);
    assert_int_equal(newest.count, 3);
    assert_int_equal(newest.letters.items[0].request_id.data[1], '4');
    assert_int_equal(newest.letters.items[2].request_id.data[1], '2');
    added(place, id_a, 9, NOW + 31 * DAY);
    assert_int_equal(list(place, NOW + 31 * DAY).count, 1);
    assert_int_equal(letters_cutoff_ms(&keeping, NOW), NOW - 30 * DAY);
}

/* More than a page: the count says so. */
static void a_long_list(void **state)
{
    struct place *place = *state;
    const struct letter_store_ops *letters = place->store->letters;
    char id[] = "d0000000000000000000000000000000";
    for (int i = 0; i < MMI_MAX_LETTERS + 5; i++) {
        snprintf(id, sizeof id, "%032x", (unsigned)i + 1);
        struct dead_letter letter = letter_of(id, i + 1);
        begin(place);
        assert_int_equal(finish(place, letters->add(place->store->handle, &letter, NOW, &place->fault)), ERR_NONE);
    }
    struct mmi_dead_letters page = list(place, NOW);
    assert_int_equal(page.count, MMI_MAX_LETTERS + 5);
    assert_int_equal(page.letters.count, MMI_MAX_LETTERS);
}

#define ON_STORE(test) cmocka_unit_test_setup_teardown(test, place_make, place_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_STORE(a_death_is_kept_once), ON_STORE(a_letter_comes_back_as_it_was), ON_STORE(a_lease_hides_it_and_ends),
        ON_STORE(a_drop_may_come_first), ON_STORE(no_secret_is_kept), ON_STORE(retention_by_count_and_days),
        ON_STORE(a_long_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
