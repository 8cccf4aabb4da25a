/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/crd.h"

#include "controller/kube/rule.h"
#include "controller/kube/table.h"
#include "ctl/doc.h"

#include <string.h>

/* GEP-2257, and a Kubernetes quantity as lib/units.h reads it. */
#define SPAN_PATTERN "^([0-9]{1,5}(h|m|s|ms)){1,4}$"
#define SIZE_PATTERN "^([0-9]+\\.?[0-9]*|\\.[0-9]+)(|[KMGTPE]i|[numkMGTPE]|[eE][-+]?[0-9]+)$"
enum { SPAN_MOST = 28, SIZE_MOST = 64 }; /* characters */
#define SIZE_HIGH 0x1p53

static cJSON *part_schema(const struct kube_part *part, const char *prefix);

static cJSON *typed(const char *type) {
    cJSON *s = cJSON_CreateObject();
    cJSON_AddStringToObject(s, "type", type);
    return s;
}

/* ---- strings ---- */

static cJSON *rule_schema(enum kube_rule rule) {
    const struct kube_rule_form *form = kube_rule_form(rule);
    cJSON *s = typed("string");
    if (!form->may_be_empty)
        cJSON_AddNumberToObject(s, "minLength", 1);
    cJSON_AddNumberToObject(s, "maxLength", form->most);
    if (form->pattern)
        cJSON_AddStringToObject(s, "pattern", form->pattern);
    return s;
}

static cJSON *pick_schema(const char *picks) {
    cJSON *s = typed("string"), *words = cJSON_AddArrayToObject(s, "enum");
    struct str word;
    for (size_t i = 0; (word = kube_pick(picks, i)).p; i++) {
        char room[64];
        struct out o = out_fixed(room, sizeof(room) - 1);
        out_str(&o, word);
        must(!o.over);
        room[o.n] = 0;
        cJSON_AddItemToArray(words, cJSON_CreateString(room));
    }
    return s;
}

static cJSON *word_schema(const struct kube_field *f) {
    cJSON *s = typed("string"), *words = cJSON_AddArrayToObject(s, "enum");
    for (const struct model_word *w = f->words->words; w->word; w++)
        if (f->type == KUBE_T_WORD || w->number != 0)
            cJSON_AddItemToArray(words, cJSON_CreateString(w->word));
    return s;
}

static cJSON *span_schema(void) {
    cJSON *s = typed("string");
    cJSON_AddNumberToObject(s, "maxLength", SPAN_MOST);
    cJSON_AddStringToObject(s, "pattern", SPAN_PATTERN);
    return s;
}

/* ---- numbers ---- */

static cJSON *int_schema(int64_t low, int64_t high) {
    cJSON *s = typed("integer");
    cJSON_AddStringToObject(s, "format", "int64");
    cJSON_AddNumberToObject(s, "minimum", (double)low);
    cJSON_AddNumberToObject(s, "maximum", (double)high);
    return s;
}

static cJSON *size_schema(void) {
    cJSON *s = cJSON_CreateObject(), *any = cJSON_AddArrayToObject(s, "anyOf");
    cJSON_AddItemToArray(any, typed("integer"));
    cJSON_AddItemToArray(any, typed("string"));
    cJSON_AddTrueToObject(s, "x-kubernetes-int-or-string");
    cJSON_AddNumberToObject(s, "minimum", 0);
    cJSON_AddNumberToObject(s, "maximum", SIZE_HIGH);
    cJSON_AddNumberToObject(s, "maxLength", SIZE_MOST);
    cJSON_AddStringToObject(s, "pattern", SIZE_PATTERN);
    return s;
}

/* ---- lists and maps ---- */

static cJSON *list_schema(const struct kube_field *f, cJSON *element, bool required) {
    cJSON *s = typed("array");
    if (required)
        cJSON_AddNumberToObject(s, "minItems", 1);
    cJSON_AddNumberToObject(s, "maxItems", f->most);
    cJSON_AddStringToObject(s, "x-kubernetes-list-type",
                            kube_field_is_map(f)   ? "map"
                            : kube_field_is_set(f) ? "set"
                                                   : "atomic");
    if (kube_field_is_map(f))
        cJSON_AddItemToArray(cJSON_AddArrayToObject(s, "x-kubernetes-list-map-keys"),
                             cJSON_CreateString("name"));
    cJSON_AddItemToObject(s, "items", element);
    return s;
}

static cJSON *pairs_schema(const struct kube_field *f) {
    cJSON *s = typed("object");
    cJSON_AddNumberToObject(s, "maxProperties", f->most);
    cJSON_AddItemToObject(s, "additionalProperties", rule_schema(KUBE_ANY));
    return s;
}

/* ---- fields ---- */

static cJSON *value_schema(const struct kube_field *f, bool required) {
    switch ((enum kube_type)f->type) {
    case KUBE_T_TEXT:
        return rule_schema((enum kube_rule)f->rule);
    case KUBE_T_PICK:
        return pick_schema(f->picks);
    case KUBE_T_WORD:
    case KUBE_T_CHOICE:
        return word_schema(f);
    case KUBE_T_SPAN:
        return span_schema();
    case KUBE_T_BOOL:
    case KUBE_T_MAYBE:
        return typed("boolean");
    case KUBE_T_INT:
        return int_schema(f->low, f->high);
    case KUBE_T_SIZE:
        return size_schema();
    case KUBE_T_TEXTS:
        return list_schema(f, rule_schema((enum kube_rule)f->rule), required);
    case KUBE_T_PICKS:
        return list_schema(f, pick_schema(f->picks), required);
    case KUBE_T_INTS:
        return list_schema(f, int_schema(f->low, f->high), required);
    case KUBE_T_ONE:
        return part_schema(f->part, "");
    case KUBE_T_MANY:
        return list_schema(f, part_schema(f->part, ""), required);
    case KUBE_T_PAIRS:
        return pairs_schema(f);
    case KUBE_T_SECRETS:
    case KUBE_T_PORT: /* of Kubernetes' own kinds alone */
    case KUBE_T_END:
    case KUBE_T_REQUIRED:
    case KUBE_T_FILLED:
    case KUBE_T_LATER:
    case KUBE_T_RULE:
    case KUBE_T_COLUMN:
        break;
    }
    must(false);
    return NULL;
}

/* What the API server writes where a field is absent. Never in one that the decoder would refuse.
 */
static void add_default(cJSON *s, const struct kube_field *f, const struct kube_marks *marks) {
    if (marks->required || marks->later)
        return;
    if (f->type == KUBE_T_WORD)
        cJSON_AddStringToObject(s, "default", model_word(f->words, (uint32_t)f->low));
    else if (f->type == KUBE_T_PICK && f->def[0])
        cJSON_AddStringToObject(s, "default", f->def);
    else if (f->type == KUBE_T_BOOL && f->low)
        cJSON_AddTrueToObject(s, "default");
}

/* "How long is waited." of "How long is waited. Durations as 5s." */
static struct str first_sentence(const char *doc) {
    const char *end = strstr(doc, ". ");
    return end ? str_mk(doc, (size_t)(end - doc) + 1) : str_of(doc);
}

/* What the field says and what its part says; a first sentence that both have stands once. */
static void put_docs(struct out *o, const struct kube_field *f) {
    struct str said = str_of(f->doc), part = f->type == KUBE_T_ONE ? str_of(f->part->doc) : STR("");
    struct str first = first_sentence(f->doc);
    bool both = part.n > 0 && str_eq(first, first_sentence(f->part->doc));
    out_str(o, both ? part : said);
    if (both)
        out_str(o, str_skip(said, first.n));
    else if (part.n > 0)
        out_fmt(o, " %.*s", STR_FMT(part));
}

static void describe(cJSON *s, const struct kube_field *f, const struct kube_marks *marks) {
    char room[2048];
    struct out o = out_fixed(room, sizeof(room) - 1);
    put_docs(&o, f);
    if (marks->later)
        out_lit(&o, " NOT SUPPORTED YET: refused.");
    must(!o.over);
    room[o.n] = 0;
    cJSON_AddStringToObject(s, "description", room);
}

static cJSON *field_schema(const struct kube_field *f, const struct kube_marks *marks) {
    cJSON *value = value_schema(f, marks->required || marks->filled), *s = cJSON_CreateObject();
    describe(s, f, marks);
    add_default(s, f, marks);
    cJSON *child;
    while ((child = cJSON_DetachItemFromArray(value, 0)))
        if (strcmp(child->string, "description") == 0)
            cJSON_Delete(child); /* of the part: the field says more */
        else
            cJSON_AddItemToObject(s, child->string, child);
    cJSON_Delete(value);
    return s;
}

static void add_rules(cJSON *s, const struct kube_part *part) {
    cJSON *rules = NULL;
    for (const struct kube_field *f = part->fields(); f->type != KUBE_T_END; f++) {
        if (f->type != KUBE_T_RULE)
            continue;
        if (!rules)
            rules = cJSON_AddArrayToObject(s, "x-kubernetes-validations");
        cJSON *rule = doc_item(rules);
        cJSON_AddStringToObject(rule, "rule", f->cel);
        cJSON_AddStringToObject(rule, "message", f->what);
    }
}

/* An object of the fields whose paths begin with prefix, and are cut off it. */
static cJSON *part_schema(const struct kube_part *part, const char *prefix) {
    cJSON *s = cJSON_CreateObject(), *required = cJSON_CreateArray();
    cJSON_AddStringToObject(s, "description", part->doc);
    cJSON_AddStringToObject(s, "type", "object");
    cJSON *properties = cJSON_CreateObject();
    struct kube_marks marks;
    for (const struct kube_field *f = part->fields(); (f = kube_field_at(f, &marks)); f++) {
        must(str_starts(str_of(f->path), str_of(prefix)));
        const char *name = f->path + strlen(prefix);
        cJSON_AddItemToObject(properties, name, field_schema(f, &marks));
        if (marks.required)
            cJSON_AddItemToArray(required, cJSON_CreateString(name));
    }
    if (required->child)
        cJSON_AddItemToObject(s, "required", required);
    else
        cJSON_Delete(required);
    cJSON_AddItemToObject(s, "properties", properties);
    add_rules(s, part);
    return s;
}

/* ---- status ---- */

/* What the controller writes; as Kubernetes' metav1.Condition. */
static const char status_schema[] =
    "{\"type\":\"object\",\"description\":\"What has become of it; written by the controller.\","
    "\"properties\":{"
    "\"conditions\":{\"type\":\"array\",\"description\":\"Accepted: it can be used. ResolvedRefs: "
    "what it refers to is there and allowed. Programmed: every ready proxy serves it.\","
    "\"maxItems\":16,\"x-kubernetes-list-type\":\"map\",\"x-kubernetes-list-map-keys\":[\"type\"],"
    "\"items\":{\"type\":\"object\",\"description\":\"One condition.\","
    "\"required\":[\"type\",\"status\",\"reason\",\"message\",\"lastTransitionTime\"],"
    "\"properties\":{"
    "\"type\":{\"type\":\"string\",\"description\":\"Which condition.\",\"maxLength\":316},"
    "\"status\":{\"type\":\"string\",\"description\":\"Whether it holds.\","
    "\"enum\":[\"True\",\"False\",\"Unknown\"]},"
    "\"observedGeneration\":{\"type\":\"integer\",\"format\":\"int64\",\"minimum\":0,"
    "\"description\":\"The metadata.generation that it is about.\"},"
    "\"lastTransitionTime\":{\"type\":\"string\",\"format\":\"date-time\","
    "\"description\":\"When status changed last.\"},"
    "\"reason\":{\"type\":\"string\",\"maxLength\":1024,"
    "\"description\":\"Why, in one word for machines.\"},"
    "\"message\":{\"type\":\"string\",\"maxLength\":32768,"
    "\"description\":\"Why, in a sentence that says what to do, beginning with the field.\"}}}},"
    "\"proxies\":{\"type\":\"object\",\"description\":\"How many proxies serve it.\","
    "\"properties\":{"
    "\"summary\":{\"type\":\"string\",\"maxLength\":64,\"description\":\"current/ready.\"},"
    "\"ready\":{\"type\":\"integer\",\"format\":\"int64\",\"description\":\"Proxies that are "
    "ready.\"},"
    "\"current\":{\"type\":\"integer\",\"format\":\"int64\",\"description\":\"Those of them that "
    "serve this revision.\"},"
    "\"behind\":{\"type\":\"integer\",\"format\":\"int64\",\"description\":\"Proxies that have not "
    "acknowledged for 10 s; they are not counted otherwise.\"},"
    "\"revision\":{\"type\":\"string\",\"maxLength\":64,\"description\":\"Hash of what this object "
    "was compiled to.\"}}}}}";

static void add_column(cJSON *columns, const char *name, const char *type, const char *path,
                       int priority) {
    cJSON *column = doc_item(columns);
    cJSON_AddStringToObject(column, "name", name);
    cJSON_AddStringToObject(column, "type", type);
    cJSON_AddStringToObject(column, "jsonPath", path);
    if (priority > 0)
        cJSON_AddNumberToObject(column, "priority", priority);
}

#define CONDITION(type, field) ".status.conditions[?(@.type==\"" type "\")]." field

static void add_columns(cJSON *columns, enum kube_kind kind) {
    for (const struct kube_field *f = kube_part_of(kind)->fields(); f->type != KUBE_T_END; f++)
        if (f->type == KUBE_T_COLUMN)
            add_column(columns, f->what, "string", f->cel, 0);
    add_column(columns, "ACCEPTED", "string", CONDITION("Accepted", "status"), 0);
    if (kube_kinds[kind].scope == KUBE_NAMESPACED) { /* becomes objects that proxies serve */
        add_column(columns, "PROGRAMMED", "string", CONDITION("Programmed", "status"), 0);
        add_column(columns, "PROXIES", "string", ".status.proxies.summary", 0);
    }
    add_column(columns, "MESSAGE", "string", CONDITION("Accepted", "message"), 1);
    add_column(columns, "AGE", "date", ".metadata.creationTimestamp", 0);
}

/* ---- the whole ---- */

static cJSON *kind_schema(enum kube_kind kind) {
    cJSON *s = cJSON_CreateObject();
    cJSON_AddStringToObject(s, "description", kube_kinds[kind].doc);
    cJSON_AddStringToObject(s, "type", "object");
    cJSON *spec = part_schema(kube_part_of(kind), "spec.");
    if (cJSON_HasObjectItem(spec, "required"))
        cJSON_AddItemToArray(cJSON_AddArrayToObject(s, "required"), cJSON_CreateString("spec"));
    cJSON *properties = cJSON_AddObjectToObject(s, "properties");
    cJSON_AddItemToObject(properties, "apiVersion", typed("string"));
    cJSON_AddItemToObject(properties, "kind", typed("string"));
    cJSON_AddItemToObject(properties, "metadata", typed("object"));
    cJSON_AddItemToObject(properties, "spec", spec);
    cJSON *status = cJSON_Parse(status_schema);
    must(status);
    cJSON_AddItemToObject(properties, "status", status);
    return s;
}

static void add_metadata(cJSON *crd, enum kube_kind kind) {
    char name[128], hash[17], generation[16];
    struct out n = out_fixed(name, sizeof(name) - 1), h = out_fixed(hash, sizeof(hash) - 1);
    struct out g = out_fixed(generation, sizeof(generation) - 1);
    kube_schema_name(kind, &n);
    out_hex(&h, kube_schema_hash(kind), 16);
    out_u64(&g, kube_schema_generation());
    name[n.n] = hash[h.n] = generation[g.n] = 0;
    cJSON *metadata = cJSON_AddObjectToObject(crd, "metadata");
    cJSON_AddStringToObject(metadata, "name", name);
    cJSON *labels = cJSON_AddObjectToObject(metadata, "labels");
    cJSON_AddStringToObject(labels, "app.kubernetes.io/part-of", "sluice");
    cJSON *annotations = cJSON_AddObjectToObject(metadata, "annotations");
    cJSON_AddStringToObject(annotations, SCHEMA_GENERATION, generation);
    cJSON_AddStringToObject(annotations, SCHEMA_HASH, hash);
}

static void add_names(cJSON *spec, enum kube_kind kind) {
    char room[64], list[80];
    struct out singular = out_fixed(room, sizeof(room) - 1);
    for (const char *p = kube_kinds[kind].kind; *p; p++)
        out_char(&singular, char_lower(*p));
    room[singular.n] = 0;
    struct out o = out_fixed(list, sizeof(list) - 1);
    out_fmt(&o, "%sList", kube_kinds[kind].kind);
    list[o.n] = 0;
    cJSON *names = cJSON_AddObjectToObject(spec, "names");
    cJSON_AddStringToObject(names, "kind", kube_kinds[kind].kind);
    cJSON_AddStringToObject(names, "listKind", list);
    cJSON_AddStringToObject(names, "plural", kube_kinds[kind].plural);
    cJSON_AddStringToObject(names, "singular", room);
    cJSON_AddItemToArray(cJSON_AddArrayToObject(names, "shortNames"),
                         cJSON_CreateString(kube_kinds[kind].brief));
    cJSON_AddItemToArray(cJSON_AddArrayToObject(names, "categories"), cJSON_CreateString("sluice"));
}

cJSON *crd_of(enum kube_kind kind) {
    must(kube_schema_is_ours(kind));
    cJSON *crd = cJSON_CreateObject();
    cJSON_AddStringToObject(crd, "apiVersion", "apiextensions.k8s.io/v1");
    cJSON_AddStringToObject(crd, "kind", "CustomResourceDefinition");
    add_metadata(crd, kind);
    cJSON *spec = cJSON_AddObjectToObject(crd, "spec");
    cJSON_AddStringToObject(spec, "group", kube_kinds[kind].group);
    cJSON_AddStringToObject(spec, "scope",
                            kube_kinds[kind].scope == KUBE_CLUSTER ? "Cluster" : "Namespaced");
    add_names(spec, kind);
    cJSON *version = doc_item(cJSON_AddArrayToObject(spec, "versions"));
    cJSON_AddStringToObject(version, "name", kube_kinds[kind].version);
    cJSON_AddTrueToObject(version, "served");
    cJSON_AddTrueToObject(version, "storage");
    cJSON_AddObjectToObject(cJSON_AddObjectToObject(version, "subresources"), "status");
    add_columns(cJSON_AddArrayToObject(version, "additionalPrinterColumns"), kind);
    cJSON_AddItemToObject(cJSON_AddObjectToObject(version, "schema"), "openAPIV3Schema",
                          kind_schema(kind));
    return crd;
}
