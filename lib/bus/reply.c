#include "lib/bus/reply.h"

#include "lib/base/invariant.h"

enum { STATUS_OK_MIN = 200, STATUS_OK_MAX = 299 };

enum err reply_error(const struct message *reply, struct arena *arena, struct fault *fault)
{
    const struct frame_head *head = &reply->head;
    if (head->type == FRAME_REPLY && head->status >= STATUS_OK_MIN && head->status <= STATUS_OK_MAX) {
        return ERR_NONE;
    }
    AUTO(arena_release) struct arena own = {0};
    struct problem problem;
    struct text body = message_part(reply, 1);
    if (record_unpack(&problem_record, body, arena ? arena : &own, NULL, &problem) != ERR_NONE) {
        fault_set(fault, ERR_INTERNAL, NULL);
        fault_cause(fault, "a %s with status %d carries no problem", frame_type_name(head->type), head->status);
        return ERR_INTERNAL;
    }
    enum err code = err_find(problem.code, (int)problem.status);
    if (fault) {
        fault_from_problem(fault, &problem);
        fault->code = code;
    }
    return code;
}

enum err reply_missing(enum err status, struct fault *fault)
{
    ASSERT(status != ERR_NONE);
    switch ((int)status) {
    case ERR_EXPIRED: return fault_set(fault, status, "No answer came in time.");
    case ERR_OUTCOME_UNKNOWN: return fault_set(fault, status, "The connection was lost before the answer came.");
    default:
        fault_set(fault, status, "The shop is being stopped.");
        if (fault) {
            fault->retry_after_s = 1;
        }
        return status;
    }
}

enum err reply_unpack(const struct record *record, struct text body, struct arena *arena, struct fault *fault,
                      void *out)
{
    struct fault unpacked;
    fault_init(&unpacked, arena);
    if (record_unpack(record, body, arena, &unpacked, out) == ERR_NONE) {
        return ERR_NONE;
    }
    fault_set(fault, ERR_INTERNAL, NULL);
    struct text pointer = unpacked.item_count ? unpacked.items[0].pointer : (struct text){0};
    struct text message = unpacked.item_count ? unpacked.items[0].message : (struct text){0};
    fault_cause(fault, "the reply is no %s: %.*s %.*s", record->name, TEXT_ARG(pointer), TEXT_ARG(message));
    return ERR_INTERNAL;
}
