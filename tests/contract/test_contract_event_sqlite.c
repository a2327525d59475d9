/* The event log and the dead letters on SQLite. */
#include "tests/contract/contract_event.h"

int place_make(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    char folder[] = "/tmp/zmart-test-XXXXXX";
    assert_non_null(mkdtemp(folder));
    snprintf(place->url, sizeof place->url, "sqlite:%s", folder);
    place->config = (struct store_config){.store = place->url, .store_busy_ms = 50};
    fault_init(&place->fault, &place->arena);
    *state = place;
    return 0;
}

int place_drop(void **state)
{
    struct place *place = *state;
    char command[600];
    snprintf(command, sizeof command, "rm -r '%s'", place->url + strlen("sqlite:"));
    int status = system(command);
    arena_release(&place->arena);
    free(place);
    return status;
}

void place_empty(struct place *place)
{
    char file[600];
    snprintf(file, sizeof file, "%s/event.db", place->url + strlen("sqlite:"));
    assert_int_equal(unlink(file), 0);
}

static void a_second_writer_is_refused(void **state)
{
    struct place *place = *state;
    struct event_store *store = place_store(place, true, 1);
    struct event_store *second = NULL;
    assert_int_not_equal(event_store_open(&place->config, NULL, true, 1, NULL, &place->fault, &second), ERR_NONE);
    assert_null(second);
    event_store_destroy(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_second_writer_is_refused, place_make, place_drop),
    };
    return contract_event_run() + contract_event_failing_run() + contract_letter_run() +
           cmocka_run_group_tests(tests, NULL, NULL);
}
