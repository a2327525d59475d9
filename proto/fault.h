/* What went wrong, on its way from the place that noticed to the client and the log. */
#ifndef ZMART_PROTO_FAULT_H
#define ZMART_PROTO_FAULT_H

#include "lib/base/auto.h"
#include "lib/base/mem.h"
#include "proto/errors.h"
#include "proto/record.h"

/* The wire form: the body of every NACK and of every REPLY whose status is an error. */
#define PROBLEM_ITEM_FIELDS(F, R)                                                                          \
    F(R, TEXT, pointer,   REQ, 0, 300, none, "JSON pointer of the field, or the parameter's name after ?") \
    F(R, TEXT, code,      REQ, 1, 40,  none, "what is wrong, for programs")                                \
    F(R, TEXT, message,   REQ, 0, 300, none, "what is wrong, for people")                                  \
    F(R, INT,  available, OPT, 0, INT64_MAX, none, "pieces that can be had now")
RECORD_DECLARE(problem_item, PROBLEM_ITEM_FIELDS);

enum { FAULT_MAX_ITEMS = 100, RETRY_AFTER_MAX_S = 24 * 3600 };

#define PROBLEM_FIELDS(F, R)                                                                       \
    F(R, TEXT, code,          REQ, 1, 40,  none, "the error's slug")                               \
    F(R, INT,  status,        REQ, 100, 599, none, "HTTP status")                                  \
    F(R, TEXT, detail,        OPT, 0, 400, none, "this occurrence, for people")                    \
    F(R, LIST, errors,        OPT, 0, FAULT_MAX_ITEMS, problem_item, "one item a bad field")       \
    F(R, STRS, allowed,       OPT, 0, 40, 16, "what would have been allowed")                      \
    F(R, INT,  retry_after_s, OPT, 0, RETRY_AFTER_MAX_S, none, "seconds to wait before trying again") \
    F(R, INT,  head,          OPT, 0, INT64_MAX, none, "the event log's newest position")
RECORD_DECLARE(problem, PROBLEM_FIELDS);

struct fault {
    enum err code;
    struct arena *arena;  /* items and allowed live here; borrowed; NULL: they are dropped */
    char detail[320];     /* for the client */
    char cause[320];      /* for the log only */
    struct problem_item *items;
    uint32_t item_count;
    struct text_list allowed;
    int64_t retry_after_s; /* 0: not said; more than RETRY_AFTER_MAX_S is told as that */
    int64_t head;          /* -1: not said */
    bool replayed;         /* a stored refusal, given again; travels in reply_meta */
};

void fault_init(struct fault *fault, struct arena *arena);
/* Sets code and detail (format may be NULL) and returns code, so that a function can end with it. fault may be NULL. */
enum err fault_set(struct fault *fault, enum err code, const char *format, ...) PRINTF_LIKE(3, 4);
/* What the log should know and the client must not (a library's message). */
void fault_cause(struct fault *fault, const char *format, ...) PRINTF_LIKE(2, 3);
/* One item; beyond FAULT_MAX_ITEMS they are dropped. available < 0: not said. fault may be NULL. */
void fault_add(struct fault *fault, const char *pointer, const char *code, int64_t available, const char *format,
               ...) PRINTF_LIKE(5, 6);
/* Nothing is allowed but what fault_allow adds: the list is told even if it stays empty. */
void fault_allow_only(struct fault *fault);
/* A name that would have been allowed. */
void fault_allow(struct fault *fault, const char *name);
/* The wire form; texts point into fault. */
void fault_to_problem(const struct fault *fault, struct problem *out);
/* And back; texts are copied into the fault or its arena. */
void fault_from_problem(struct fault *fault, const struct problem *problem);

#endif
