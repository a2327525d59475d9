#include "lib/bus/stream.h"

/* False for an epoch that is over. */
static bool epoch_enter(struct stream *stream, int64_t epoch)
{
    if (epoch > stream->epoch) {
        bool known = stream->epoch > 0;
        *stream = (struct stream){.epoch = epoch, .whole = stream->whole, .restored = known};
    }
    return epoch == stream->epoch;
}

static struct stream_topic *topic_find(struct stream *stream, struct text name)
{
    for (int i = 0; i < stream->topic_count; i++) {
        if (text_is(name, stream->topics[i].name)) {
            return &stream->topics[i];
        }
    }
    return NULL;
}

static void topic_add(struct stream *stream, struct text name, int64_t tseq)
{
    if (stream->topic_count < STREAM_MAX_TOPICS) {
        struct stream_topic *topic = &stream->topics[stream->topic_count];
        if (text_to_string(name, topic->name, sizeof topic->name)) {
            topic->tseq = tseq;
            stream->topic_count++;
        }
    }
}

static bool is_missing(const struct stream *stream, const struct stream_topic *known, const struct event_meta *meta)
{
    if (stream->whole) {
        return stream->seq > 0 && meta->seq > stream->seq + 1;
    }
    bool new_topic = !known && stream->heard && stream->topic_count < STREAM_MAX_TOPICS;
    return known ? meta->tseq > known->tseq + 1 : new_topic && meta->tseq > 1;
}

bool stream_event(struct stream *stream, struct text topic, const struct event_meta *meta, bool *out_gap)
{
    if (!epoch_enter(stream, meta->epoch) || meta->seq <= stream->seq) {
        return false;
    }
    struct stream_topic *known = topic_find(stream, topic);
    bool gap = stream->restored || is_missing(stream, known, meta);
    if (known) {
        known->tseq = meta->tseq;
    } else {
        topic_add(stream, topic, meta->tseq);
    }
    stream->restored = false;
    stream->seq = meta->seq;
    stream->newest_seq = meta->seq > stream->newest_seq ? meta->seq : stream->newest_seq;
    *out_gap = gap;
    return true;
}

/* Of a receiver of everything: where it stands is one number. */
static bool whole_beacon(struct stream *stream, int64_t seq)
{
    bool gap = stream->restored || (stream->seq > 0 && seq > stream->seq);
    stream->restored = false;
    stream->seq = seq > stream->seq ? seq : stream->seq;
    return gap;
}

bool stream_beacon(struct stream *stream, const struct stream_head *head)
{
    if (!epoch_enter(stream, head->epoch)) {
        return false;
    }
    stream->heard = true;
    stream->newest_seq = head->seq > stream->newest_seq ? head->seq : stream->newest_seq;
    for (uint32_t i = 0; i < head->topics.count; i++) {
        if (!topic_find(stream, head->topics.items[i].topic)) {
            topic_add(stream, head->topics.items[i].topic, head->topics.items[i].tseq);
        }
    }
    return stream->whole && whole_beacon(stream, head->seq);
}
