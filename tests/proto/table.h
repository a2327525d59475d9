/* What must hold for every record's table. A broken expectation fails the running cmocka test. */
#ifndef ZMART_TESTS_PROTO_TABLE_H
#define ZMART_TESTS_PROTO_TABLE_H

#include "proto/record.h"

/* Names are unique and fit an interface, bounds are in order, members lie in the struct without overlap, prose is
 * there, flags go with the kind; nested records too. */
void table_check(const struct record *record);

#endif
