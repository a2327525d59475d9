/* Attributes used everywhere. AUTO(x_destroy) runs x_destroy(&variable) at every return. */
#ifndef ZMART_BASE_AUTO_H
#define ZMART_BASE_AUTO_H

#define AUTO(destroy) __attribute__((cleanup(destroy)))
#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_at, args_at) __attribute__((format(printf, format_at, args_at)))
#define NORETURN __attribute__((noreturn))

#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
