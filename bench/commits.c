/* Single durable SQLite commits: one row each, WAL, synchronous=FULL, on the file system that is given.
 *     commits FOLDER SECONDS             one after the other; prints commits per second
 *     commits FOLDER SECONDS PAUSE_MS    each after a pause; prints the median of one, in microseconds */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"

enum { TIMES_MAX = 100000 };

static int by_size(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return left < right ? -1 : left > right;
}

static int run(sqlite3 *db, int64_t seconds, long pause_ms)
{
    static int64_t times_us[TIMES_MAX];
    sqlite3_stmt *insert = NULL;
    if (sqlite3_exec(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; DROP TABLE IF EXISTS t; "
                         "CREATE TABLE t(id INTEGER PRIMARY KEY, body BLOB)", NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(db, "INSERT INTO t(body) VALUES(zeroblob(300))", -1, &insert, NULL) != SQLITE_OK) {
        fprintf(stderr, "%s\n", sqlite3_errmsg(db));
        return 1;
    }
    int64_t begin_us = clock_now_us();
    int64_t end_us = begin_us + seconds * 1000000;
    int64_t count = 0;
    while (clock_now_us() < end_us) {
        if (pause_ms) {
            nanosleep(&(struct timespec){.tv_nsec = pause_ms * 1000000}, NULL);
        }
        int64_t before_us = clock_now_us();
        if (sqlite3_step(insert) != SQLITE_DONE) {
            fprintf(stderr, "%s\n", sqlite3_errmsg(db));
            return 1;
        }
        sqlite3_reset(insert);
        times_us[count++ % TIMES_MAX] = clock_now_us() - before_us;
    }
    if (pause_ms) {
        size_t kept = (size_t)(count < TIMES_MAX ? count : TIMES_MAX);
        qsort(times_us, kept, sizeof times_us[0], by_size);
        printf("%lld\n", (long long)times_us[kept / 2]);
    } else {
        printf("%.1f\n", (double)count * 1e6 / (double)(clock_now_us() - begin_us));
    }
    sqlite3_finalize(insert);
    return 0;
}

int main(int argc, char **argv)
{
    char path[1024];
    sqlite3 *db = NULL;
    if (argc < 3 || argc > 4 || snprintf(path, sizeof path, "%s/commits.db", argv[1]) >= (int)sizeof path) {
        fprintf(stderr, "usage: commits FOLDER SECONDS [PAUSE_MS]\n");
        return 2;
    }
    if (sqlite3_open(path, &db) != SQLITE_OK) {
        fprintf(stderr, "cannot open %s\n", path);
        return 1;
    }
    int status = run(db, strtoll(argv[2], NULL, 10), argc == 4 ? strtol(argv[3], NULL, 10) : 0);
    sqlite3_close(db);
    return status;
}
