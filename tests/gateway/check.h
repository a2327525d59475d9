/* What the gateway's tests share. */
#ifndef ZMART_TESTS_GATEWAY_CHECK_H
#define ZMART_TESTS_GATEWAY_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those first */
#include <cmocka.h>

#include "proto/fault.h"

/* The index of the item with this pointer and code, or -1. */
static inline int fault_item(const struct fault *fault, const char *pointer, const char *code)
{
    for (uint32_t i = 0; i < fault->item_count; i++) {
        if (text_is(fault->items[i].pointer, pointer) && text_is(fault->items[i].code, code)) {
            return (int)i;
        }
    }
    return -1;
}

#define assert_item(fault, pointer, code) assert_true(fault_item(&(fault), pointer, code) >= 0)

#endif
