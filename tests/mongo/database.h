/* Fresh databases for tests, on the server that ZMART_TEST_MONGODB names (tests/mongo/server sets it). */
#ifndef ZMART_TESTS_MONGO_DATABASE_H
#define ZMART_TESTS_MONGO_DATABASE_H

#include <mongoc/mongoc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEST_SKIPPED = 77, TEST_URL_SIZE = 512 };

/* The URL of a database that nobody has used yet. Ends the program as skipped if there is no server. */
static inline void test_database_new(char out[TEST_URL_SIZE])
{
    static int count = 0;
    const char *url = getenv("ZMART_TEST_MONGODB");
    if (!url || !url[0]) {
        printf("ZMART_TEST_MONGODB names no server\n");
        exit(TEST_SKIPPED);
    }
    const char *host = strstr(url, "://") + strlen("://");
    const char *options = strchr(url, '?') ? strchr(url, '?') : "";
    const char *path = strchr(host, '/');
    int base =
        (int)(path && path[1] && path[1] != '?' ? strcspn(url, "?") : strcspn(host, "/?") + (size_t)(host - url));
    snprintf(out, TEST_URL_SIZE, "%.*s%szt_%ld_%d%s", base, url, path && path[1] && path[1] != '?' ? "_" : "/",
             (long)getpid() % 100000, ++count, options);
}

/* Drops it. */
static inline void test_database_drop(const char *url)
{
    bson_error_t error;
    mongoc_client_t *client = mongoc_client_new(url);
    mongoc_uri_t *uri = mongoc_uri_new(url);
    mongoc_database_t *database = mongoc_client_get_database(client, mongoc_uri_get_database(uri));
    (void)mongoc_database_drop(database, &error);
    mongoc_database_destroy(database);
    mongoc_uri_destroy(uri);
    mongoc_client_destroy(client);
}

/* Takes the documents out and leaves the collections, with their indexes, and whose they are. */
static inline void test_database_empty(const char *url)
{
    bson_error_t error;
    bson_t all = BSON_INITIALIZER;
    mongoc_client_t *client = mongoc_client_new(url);
    mongoc_uri_t *uri = mongoc_uri_new(url);
    mongoc_database_t *database = mongoc_client_get_database(client, mongoc_uri_get_database(uri));
    char **names = mongoc_database_get_collection_names_with_opts(database, NULL, &error);
    if (!names) {
        printf("%s cannot be listed: %s\n", url, error.message);
        abort();
    }
    for (char **name = names; *name; name++) {
        mongoc_collection_t *collection = mongoc_database_get_collection(database, *name);
        if (strcmp(*name, "zmart_schema") != 0 &&
            !mongoc_collection_delete_many(collection, &all, NULL, NULL, &error)) {
            printf("%s cannot be emptied: %s\n", *name, error.message);
            abort();
        }
        mongoc_collection_destroy(collection);
    }
    bson_strfreev(names);
    mongoc_database_destroy(database);
    mongoc_uri_destroy(uri);
    mongoc_client_destroy(client);
    bson_destroy(&all);
}

#endif
