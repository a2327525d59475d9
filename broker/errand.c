#include "broker/errand.h"

#include "broker/dispatch.h"

bool errand_start(struct broker *self, const struct errand_task *task)
{
    struct arena arena = {0};
    struct call_meta meta = {.caller = text_of(self->settings.instance)};
    const struct op_info *info = op_info(task->op);
    if (self->stopped) {
        return false;
    }
    set_has(call_meta, &meta, caller);
    struct text parts[] = {text_of(info->route), record_pack_in(&call_meta_record, &meta, &arena),
                           record_pack_in(info->request, task->in, &arena)};
    struct errand *errand = mem_alloc(sizeof *errand);
    errand->then = task->then;
    errand->state = task->state;
    bool started = parts[2].size <= FRAME_MAX_BODY &&
                   dispatch_errand(self, errand, task, parcel_of(parts, (int)ARRAY_COUNT(parts)));
    arena_release(&arena);
    if (!started) {
        mem_free(errand);
    }
    return started;
}

void errand_answered(struct broker *self, struct errand *errand, int status, struct parcel *parcel)
{
    errand->status = status;
    errand->parcel = parcel;
    DL_APPEND(self->errands_ended, errand);
}

void errands_run(struct broker *self)
{
    struct errand *errand;
    while ((errand = self->errands_ended) != NULL) {
        DL_DELETE(self->errands_ended, errand);
        struct text body = errand->parcel ? errand->parcel->parts[1] : (struct text){0};
        errand->then(self, errand->status, body, errand->state);
        parcel_drop(&errand->parcel);
        mem_free(errand);
    }
}
