/* User stores on the MongoDB server that the test was given: a database of its own for each test. */
#ifndef ZMART_TESTS_USER_MONGO_PLACE_H
#define ZMART_TESTS_USER_MONGO_PLACE_H

#include "tests/contract/contract_user.h"

extern const struct user_place user_mongo_place;
/* A handle more on the place that was opened last, as another loop or process has it. */
struct user_store *user_mongo_place_another(void);
/* The same with a proxy in front, and what spoils a command on the way. */
extern const struct user_place user_mongo_proxied_place;
extern const struct user_spoiler user_mongo_spoiler;

#endif
