#include "webhook-svc/answers.h"

#include "lib/base/clock.h"
#include "proto/ident.h"

struct text request_hex(struct call *call)
{
    char *hex = arena_alloc(call_arena(call), ID_HEX_SIZE);
    id_to_hex(call_request_id(call), hex);
    return text_of(hex);
}

static bool is_keyed(struct call *call)
{
    const struct call_meta *meta = call_meta(call);
    return has(call_meta, meta, keyed) && meta->keyed;
}

static struct webhook_store *store_of(struct call *call)
{
    struct webhook_desk *desk = call_state(call);
    return desk->store;
}

static struct answer_kept answer_new(struct call *call)
{
    char *fingerprint = arena_alloc(call_arena(call), FINGERPRINT_SIZE);
    fingerprint_make(call_body(call), fingerprint);
    return (struct answer_kept){
        .id = request_hex(call), .fingerprint = text_of(fingerprint), .at = clock_wall_ms()};
}

enum err answer_again(struct call *call, const struct record *record, void *out, bool *out_again)
{
    struct answer_kept kept;
    struct problem problem;
    *out_again = false;
    if (!is_keyed(call)) {
        return ERR_NONE;
    }
    struct answer_kept wanted = answer_new(call);
    enum err e = store_of(call)->ops->answer(store_of(call), wanted.id, call_arena(call), call_fault(call), &kept);
    if (e != ERR_NONE) {
        return e == ERR_NOT_FOUND ? ERR_NONE : e;
    }
    *out_again = true;
    if (!text_equal(kept.fingerprint, wanted.fingerprint)) {
        return fault_set(call_fault(call), ERR_IDEMPOTENCY_KEY_REUSED, NULL);
    }
    call_mark_replayed(call);
    if (!has(answer_kept, &kept, refusal)) {
        return record_unpack(record, kept.reply, call_arena(call), call_fault(call), out);
    }
    e = record_unpack(&problem_record, kept.refusal, call_arena(call), call_fault(call), &problem);
    if (e != ERR_NONE) {
        return e;
    }
    fault_from_problem(call_fault(call), &problem);
    return call_fault(call)->code;
}

enum err answer_keep(struct call *call, const struct record *record, void *out)
{
    bool again;
    if (!is_keyed(call)) {
        return ERR_NONE;
    }
    struct answer_kept kept = answer_new(call);
    kept.reply = record_pack_in(record, out, call_arena(call));
    set_has(answer_kept, &kept, reply);
    enum err e = store_of(call)->ops->answer_add(store_of(call), &kept, call_fault(call));
    return e == ERR_CONFLICT ? answer_again(call, record, out, &again) : e;
}

enum err answer_refuse(struct call *call)
{
    enum err code = call_fault(call)->code;
    struct problem problem;
    if (!is_keyed(call)) {
        return code;
    }
    struct answer_kept kept = answer_new(call);
    fault_to_problem(call_fault(call), &problem);
    kept.refusal = record_pack_in(&problem_record, &problem, call_arena(call));
    set_has(answer_kept, &kept, refusal);
    enum err e = store_of(call)->ops->answer_add(store_of(call), &kept, call_fault(call));
    if (e != ERR_NONE && e != ERR_CONFLICT) {
        return e;
    }
    call_keep(call);
    return code;
}
