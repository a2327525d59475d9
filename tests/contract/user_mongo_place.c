#include "tests/contract/user_mongo_place.h"

#include "tests/mongo/patient.h"
#include "tests/mongo/proxy.h"

enum { ANSWER_MS = 20000 };

/* One place at a time: the tests of a program run one after the other. */
static struct mongo_pool *pool;
static struct mongo_proxy *proxy;
static char direct_url[TEST_URL_SIZE];
static enum spoil spoil_how;

static void url_give(const char *from, char *url, size_t size)
{
    assert_true(strlen(from) < size);
    snprintf(url, size, "%s", from);
}

static void place_make(char *url, size_t size)
{
    test_database_new(direct_url);
    url_give(direct_url, url, size);
}

static void proxied_make(char *url, size_t size)
{
    char through[TEST_URL_SIZE];
    test_database_new(direct_url);
    proxy = mongo_proxy_start(direct_url, through);
    url_give(through, url, size);
}

static void place_drop(const char *url)
{
    (void)url;
    mongo_pool_destroy(&pool);
    if (proxy) {
        mongo_proxy_stop(&proxy);
    }
    test_database_drop(direct_url);
}

static enum err open_with(const char *url, int64_t answer_ms, struct metrics *metrics, struct fault *fault,
                          struct user_store **out)
{
    struct store_config config = {
        .store = url, .store_connect_ms = 2000, .store_select_ms = 5000, .store_answer_ms = answer_ms};
    enum err e = pool ? ERR_NONE : patient_pool_open(&config, &user_mongo_schema, metrics, fault, &pool);
    if (e == ERR_NONE) {
        *out = user_store_new_mongo(pool);
    }
    return e;
}

static enum err place_open(const struct store_config *config, bool writer, struct metrics *metrics, struct fault *fault,
                           struct user_store **out)
{
    (void)writer;
    return open_with(config->store, ANSWER_MS, metrics, fault, out);
}

static enum err proxied_open(const struct store_config *config, bool writer, struct metrics *metrics,
                             struct fault *fault, struct user_store **out)
{
    (void)writer;
    return open_with(config->store, spoil_answer_ms(spoil_how), metrics, fault, out);
}

struct user_store *user_mongo_place_another(void)
{
    return user_store_new_mongo(pool);
}

static void choose(int how)
{
    spoil_how = (enum spoil)how;
}

static void arm(int n)
{
    mongo_proxy_spoil(proxy, n, spoil_how);
}

static bool happened(void)
{
    return mongo_proxy_spoilt(proxy);
}

static void settle(void)
{
    mongo_proxy_settle(proxy);
}

static void empty(void)
{
    mongo_proxy_settle(proxy);
    test_database_empty(direct_url);
}

const struct user_place user_mongo_place = {place_make, place_drop, place_open};
const struct user_place user_mongo_proxied_place = {proxied_make, place_drop, proxied_open};
const struct user_spoiler user_mongo_spoiler = {choose, arm, happened, settle, empty, SPOIL_COUNT};
