/* Where data lives: the settings that every store has, and which store a URL names. */
#ifndef ZMART_STORE_URL_H
#define ZMART_STORE_URL_H

#include "lib/base/config.h"

#define STORE_CONFIG(X)                                                                                                \
    X(STRING, store, "store", "sqlite:./data", 1, 1000,                                                                \
      "where data lives: sqlite:DIR, or mongodb://HOST/DATABASE; one with a password belongs into the variable")       \
    X(NUMBER, store_busy_ms, "store-busy-ms", "5000", 0, 60000, "how long a locked SQLite database is waited for")     \
    X(NUMBER, store_connect_ms, "store-connect-ms", "1000", 10, 60000, "how long a connection to MongoDB may take")    \
    X(NUMBER, store_select_ms, "store-select-ms", "2000", 10, 60000,                                                   \
      "how long a MongoDB server that takes writes is waited for")                                                     \
    X(NUMBER, store_answer_ms, "store-answer-ms", "3000", 10, 60000,                                                   \
      "how long MongoDB's answer to one command is waited for")
CONFIG_DECLARE(store_config, STORE_CONFIG);

enum store_kind { STORE_UNKNOWN, STORE_SQLITE, STORE_MONGO };

/* By scheme: sqlite:, mongodb:// or mongodb+srv://, and something behind it. */
enum store_kind store_kind_of(const char *url);

enum { STORE_SHOWN_SIZE = 256 };
/* The URL for people and logs: user, password and options of a server's URL are left out; cut to the size. */
void store_url_show(const char *url, char out[STORE_SHOWN_SIZE]);

#endif
