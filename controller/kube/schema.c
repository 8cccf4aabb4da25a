/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/kube/schema.h"

#include "controller/kube/table.h"
#include "lib/hash.h"
#include "lib/json.h"

enum { SHAPE_MAX = 1 << 20 }; /* bytes of the text that the hash is of */

/* ---- the hash ---- */

/* What stands in the JSON of a field. */
static char json_type(const struct kube_field *f) {
    switch ((enum kube_type)f->type) {
    case KUBE_T_TEXT:
    case KUBE_T_PICK:
    case KUBE_T_WORD:
    case KUBE_T_CHOICE:
    case KUBE_T_SPAN:
        return 's';
    case KUBE_T_BOOL:
    case KUBE_T_MAYBE:
        return 'b';
    case KUBE_T_INT:
        return 'i';
    case KUBE_T_SIZE:
    case KUBE_T_PORT:
        return 'x'; /* a number or a string */
    case KUBE_T_TEXTS:
    case KUBE_T_PICKS:
        return 'S';
    case KUBE_T_INTS:
        return 'I';
    case KUBE_T_ONE:
        return 'o';
    case KUBE_T_MANY:
        return 'O';
    case KUBE_T_PAIRS:
    case KUBE_T_SECRETS:
        return 'm';
    case KUBE_T_END:
    case KUBE_T_REQUIRED:
    case KUBE_T_FILLED:
    case KUBE_T_LATER:
    case KUBE_T_RULE:
    case KUBE_T_COLUMN:
        break;
    }
    must(false);
    return 0;
}

/* "rules O{name s,matches O{...},}": no order of C and no number in it. */
static void put_shape(const struct kube_part *part, struct out *o) {
    struct kube_marks marks;
    out_char(o, '{');
    for (const struct kube_field *f = part->fields(); (f = kube_field_at(f, &marks)); f++) {
        out_fmt(o, "%s %c", f->path, json_type(f));
        if (f->part)
            put_shape(f->part, o);
        out_char(o, ',');
    }
    out_char(o, '}');
}

uint64_t kube_schema_hash(enum kube_kind kind) {
    struct out o = out_heap(SHAPE_MAX);
    put_shape(kube_part_of(kind), &o);
    must(!o.over);
    uint64_t hash = hash_content(out_done(&o));
    out_fini(&o);
    return hash;
}

uint64_t kube_schema_hash_all(void) {
    uint64_t hash = 0;
    for (enum kube_kind k = KUBE_NONE + 1; k < KUBE_KINDS; k++)
        if (kube_schema_is_ours(k))
            hash = hash_mix(hash, kube_schema_hash(k));
    return hash;
}

/* ---- the generation ---- */

static const struct {
    uint32_t number;
    uint64_t hash;
} generations[] = {
#define GENERATION(number, hash) {number, hash},
#include "controller/kube/schema.def"
#undef GENERATION
};

uint32_t kube_schema_generation(void) { return generations[ARRAY_LEN(generations) - 1].number; }
uint64_t kube_schema_recorded(void) { return generations[ARRAY_LEN(generations) - 1].hash; }

/* ---- judging ---- */

bool kube_schema_is_ours(enum kube_kind kind) {
    return str_eq(str_of(kube_kinds[kind].group), STR("sluice.dev"));
}

void kube_schema_name(enum kube_kind kind, struct out *o) {
    out_fmt(o, "%s.%s", kube_kinds[kind].plural, kube_kinds[kind].group);
}

static const char mend[] = "run `kubectl apply --server-side -f crds/` with the crds/ of this "
                           "version, or `sluicectl crds | kubectl apply --server-side -f -`";

static bool has_our_hash(enum kube_kind kind, const cJSON *annotations) {
    char room[17];
    struct out o = out_fixed(room, sizeof(room));
    out_hex(&o, kube_schema_hash(kind), 16);
    return str_eq(json_text(annotations, SCHEMA_HASH), out_done(&o));
}

enum schema_verdict kube_schema_judge(enum kube_kind kind, const cJSON *crd, struct why *why) {
    uint64_t generation = 0;
    const cJSON *annotations = json_get(json_get(crd, "metadata"), "annotations");
    why_clear(why);
    why_object(why, "CustomResourceDefinition %s.%s", kube_kinds[kind].plural,
               kube_kinds[kind].group);
    if (!crd) {
        why_text(why, "is missing, so there can be no %s; %s", kube_kinds[kind].kind, mend);
        return SCHEMA_MISSING;
    }
    if (has_our_hash(kind, annotations))
        return SCHEMA_FITS;
    if (json_text(annotations, SCHEMA_HASH).n > 0 &&
        str_to_u64(json_text(annotations, SCHEMA_GENERATION), UINT32_MAX, &generation) &&
        generation > kube_schema_generation())
        return SCHEMA_FITS;
    why_text(why,
             "is older than this controller (its schema is generation %llu, this one is %u), so "
             "that fields of its objects may be lost without a word; %s",
             (unsigned long long)generation, kube_schema_generation(), mend);
    return SCHEMA_OLD;
}
