/* SPDX-License-Identifier: Apache-2.0
 *
 * yaml: libfyaml's events become cJSON on a stack of open lists and objects; see yaml.h. The line
 * at which an object starts is kept in its valueint, which cJSON uses for numbers only: it says
 * where each item of a List stands.
 */
#include "controller/kube/yaml.h"

#include "controller/kube/rule.h"
#include "controller/kube/yaml_scalar.h"
#include "lib/json.h"
#include "lib/map.h"
#include "lib/mem.h"

#include <libfyaml.h>

enum { TEXT_MAX = 64 << 20, NODE_COST = 64, ERROR_MAX = 200 };

struct anchor {
    char *name;
    const cJSON *node; /* whole, and part of the document */
};

struct open { /* a list or object that is not yet closed */
    cJSON *node;
    char *key;    /* of the value that comes next; NULL: a key comes next */
    char *anchor; /* NULL: it has none */
};

struct builder {
    struct yaml *yaml;
    struct str file;
    struct why *why;
    cJSON *root;
    struct open stack[YAML_DEPTH];
    unsigned depth;
    struct anchor anchors[YAML_ANCHORS_MAX];
    unsigned n_anchors;
    size_t copied; /* cost of what aliases have copied into this document */
};

/* ---- refusing ---- */

static int refuse_at(struct builder *b, size_t line, size_t column, const char *text) {
    b->yaml->line = (uint32_t)line;
    b->yaml->column = (uint32_t)column;
    why_object(b->why, "%.*s:%zu:%zu", STR_FMT(b->file), line, column);
    return why_text(b->why, "%s", text);
}

static int refuse(struct builder *b, struct fy_token *t, const char *text) {
    const struct fy_mark *mark = t ? fy_token_start_mark(t) : NULL;
    return refuse_at(b, mark ? (size_t)mark->line + 1 : 1, mark ? (size_t)mark->column + 1 : 1,
                     text);
}

static uint32_t line_of(struct fy_token *t) {
    const struct fy_mark *mark = t ? fy_token_start_mark(t) : NULL;
    return mark ? (uint32_t)mark->line + 1 : 1;
}

/* ---- documents ---- */

static void keep(struct yaml *y, cJSON *json, uint32_t line) {
    if (y->n == y->room) {
        y->room = y->room ? y->room * 2 : 8;
        y->documents = mem_realloc(y->documents, y->room * sizeof(*y->documents));
    }
    y->documents[y->n++] = (struct yaml_document){json, line};
}

static bool is_list(const cJSON *json) {
    return cJSON_IsObject(json) && str_eq(json_text(json, "kind"), STR("List")) &&
           str_eq(json_text(json, "apiVersion"), STR("v1")) &&
           cJSON_IsArray(json_get(json, "items"));
}

static uint32_t start_of(const cJSON *json, uint32_t otherwise) {
    return cJSON_IsObject(json) && json->valueint > 0 ? (uint32_t)json->valueint : otherwise;
}

static void keep_all(struct yaml *y, cJSON *json) {
    uint32_t line = start_of(json, 1);
    if (cJSON_IsNull(json)) {
        cJSON_Delete(json);
    } else if (is_list(json)) {
        cJSON *items = cJSON_GetObjectItemCaseSensitive(json, "items"), *item;
        while ((item = cJSON_DetachItemViaPointer(items, items->child)))
            keep(y, item, start_of(item, line));
        cJSON_Delete(json);
    } else {
        keep(y, json, line);
    }
}

static void end_document(struct builder *b) {
    if (b->root)
        keep_all(b->yaml, b->root);
    b->root = NULL;
    for (unsigned i = 0; i < b->n_anchors; i++)
        mem_free(b->anchors[i].name);
    b->n_anchors = 0;
    b->copied = 0;
}

static void give_up(struct builder *b) {
    while (b->depth > 0) {
        struct open *o = &b->stack[--b->depth];
        mem_free(o->key);
        mem_free(o->anchor);
    }
    cJSON_Delete(b->root);
    b->root = NULL;
    end_document(b);
    yaml_fini(b->yaml);
}

/* ---- nodes ---- */

/* A copy with a NUL at its end; NULL if there is one inside. */
static char *text_of(struct fy_token *t) {
    size_t n = 0;
    const char *p = t ? fy_token_get_text(t, &n) : "";
    return p && !memchr(p, 0, n) ? mem_dup(p, n) : NULL;
}

/* Gives the node to the open list or object, or makes it the root. */
static void place(struct builder *b, cJSON *node) {
    must(node != NULL);
    if (b->depth == 0) {
        must(!b->root);
        b->root = node;
        return;
    }
    struct open *o = &b->stack[b->depth - 1];
    if (cJSON_IsArray(o->node)) {
        cJSON_AddItemToArray(o->node, node);
        return;
    }
    cJSON_AddItemToObject(o->node, o->key, node);
    mem_free(o->key);
    o->key = NULL;
}

static bool wants_key(const struct builder *b) {
    return b->depth > 0 && cJSON_IsObject(b->stack[b->depth - 1].node) &&
           !b->stack[b->depth - 1].key;
}

/* Called when the node is whole, so that an alias can never contain itself. Takes the name. */
static void name_anchor(struct builder *b, char *name, const cJSON *node) {
    if (name)
        b->anchors[b->n_anchors++] = (struct anchor){name, node};
}

/* *name: NULL if there is no anchor. */
static int take_anchor(struct builder *b, struct fy_token *anchor, char **name) {
    unsigned open = 0;
    *name = NULL;
    if (!anchor)
        return 0;
    for (unsigned i = 0; i < b->depth; i++)
        open += b->stack[i].anchor != NULL;
    if (b->n_anchors + open >= YAML_ANCHORS_MAX)
        return refuse(b, anchor, "there are more than 100 anchors; write the values out");
    *name = text_of(anchor);
    return *name ? 0 : refuse(b, anchor, "this anchor cannot be read");
}

static int no_tag(struct builder *b, struct fy_token *tag) {
    return tag ? refuse(b, tag, "tags are not supported; remove it, and put text in quotes") : 0;
}

static int add_key(struct builder *b, struct fy_event *e) {
    struct fy_token *t = e->scalar.value;
    if (e->scalar.anchor)
        return refuse(b, e->scalar.anchor, "a key cannot have an anchor; remove it");
    if (t && fy_token_scalar_style(t) == FYSS_PLAIN) {
        size_t n;
        const char *p = fy_token_get_text(t, &n);
        if (p && str_eq(str_mk(p, n), STR("<<")))
            return refuse(b, t, "merge keys (<<) are not supported; write the fields out");
    }
    char *key = text_of(t);
    if (!key)
        return refuse(b, t, "a NUL character is not allowed; remove it");
    b->stack[b->depth - 1].key = key;
    return 0;
}

static int plain_node(struct builder *b, struct fy_token *t, char *text, cJSON **node) {
    double number = 0;
    switch (yaml_scalar(str_of(text), &number)) {
    case YAML_NULL:
        *node = cJSON_CreateNull();
        return 0;
    case YAML_TRUE:
        *node = cJSON_CreateTrue();
        return 0;
    case YAML_FALSE:
        *node = cJSON_CreateFalse();
        return 0;
    case YAML_NUMBER:
        *node = cJSON_CreateNumber(number);
        return 0;
    case YAML_NOT_FINITE:
        return refuse(b, t, "this number is too large; put text in quotes");
    case YAML_STRING:
        *node = cJSON_CreateString(text);
        return 0;
    }
    return 0;
}

static int add_scalar(struct builder *b, struct fy_event *e) {
    struct fy_token *t = e->scalar.value;
    char *anchor = NULL, *text = NULL;
    cJSON *node = NULL;
    if (no_tag(b, e->scalar.tag) != 0)
        return -1;
    if (wants_key(b))
        return add_key(b, e);
    if (!(text = text_of(t)))
        return refuse(b, t, "a NUL character is not allowed; remove it");
    if (take_anchor(b, e->scalar.anchor, &anchor) == 0) {
        if (t && fy_token_scalar_style(t) != FYSS_PLAIN)
            node = cJSON_CreateString(text);
        else if (plain_node(b, t, text, &node) != 0)
            mem_free(anchor);
    }
    mem_free(text);
    if (!node)
        return -1;
    name_anchor(b, anchor, node);
    place(b, node);
    return 0;
}

/* Cost of a copy and height of the tree. */
static size_t cost_of(const cJSON *node, unsigned *height) {
    size_t cost = NODE_COST + (cJSON_IsString(node) ? strlen(node->valuestring) : 0) +
                  (node->string ? strlen(node->string) : 0);
    unsigned highest = 0, h;
    const cJSON *child;
    cJSON_ArrayForEach(child, node) {
        cost += cost_of(child, &h);
        highest = highest > h ? highest : h;
    }
    *height = highest + (cJSON_IsArray(node) || cJSON_IsObject(node));
    return cost;
}

static const cJSON *find_anchor(const struct builder *b, const char *name) {
    for (unsigned i = b->n_anchors; i > 0; i--)
        if (strcmp(b->anchors[i - 1].name, name) == 0)
            return b->anchors[i - 1].node;
    return NULL;
}

static int add_alias(struct builder *b, struct fy_event *e) {
    struct fy_token *t = e->alias.anchor;
    if (wants_key(b))
        return refuse(b, t, "a key must be a word; write it out");
    char *name = text_of(t);
    const cJSON *node = name ? find_anchor(b, name) : NULL;
    mem_free(name);
    if (!node)
        return refuse(b, t, "no anchor of this name stands before it");
    unsigned height;
    b->copied += cost_of(node, &height);
    if (b->copied > YAML_ALIASES_MAX)
        return refuse(b, t, "aliases make this document too large; write the values out");
    if (b->depth + height > YAML_DEPTH)
        return refuse(b, t, "this is nested too deeply");
    cJSON *copy = cJSON_Duplicate(node, true);
    must(copy != NULL);
    cJSON_free(copy->string); /* the key under which the original stands */
    copy->string = NULL;
    place(b, copy);
    return 0;
}

static int open_node(struct builder *b, struct fy_token *t, struct fy_token *tag,
                     struct fy_token *anchor, cJSON *(*create)(void)) {
    char *name;
    if (no_tag(b, tag) != 0)
        return -1;
    if (wants_key(b))
        return refuse(b, t, "a key must be a word, not a list or an object");
    if (b->depth == YAML_DEPTH)
        return refuse(b, t, "this is nested too deeply");
    if (take_anchor(b, anchor, &name) != 0)
        return -1;
    cJSON *node = create();
    place(b, node);
    if (cJSON_IsObject(node))
        node->valueint = (int)line_of(t);
    b->stack[b->depth++] = (struct open){node, NULL, name};
    return 0;
}

/* ---- keys that are there twice ---- */

enum { FEW = 8 };

static const cJSON *twice_among_few(const cJSON *object) {
    const cJSON *a;
    cJSON_ArrayForEach(a, object) {
        for (const cJSON *b = a->next; b; b = b->next)
            if (strcmp(a->string, b->string) == 0)
                return b;
    }
    return NULL;
}

static const cJSON *twice_among_many(const cJSON *object) {
    const cJSON *found = NULL, *member;
    struct map seen;
    map_init(&seen);
    cJSON_ArrayForEach(member, object) {
        if (map_put(&seen, str_of(member->string), member->string)) {
            found = member;
            break;
        }
    }
    map_fini(&seen);
    return found;
}

static const cJSON *twice(const cJSON *object) {
    const cJSON *member = cJSON_IsObject(object) ? object->child : NULL;
    unsigned n = 0;
    for (; member && n <= FEW; member = member->next)
        n++;
    return n == 0 ? NULL : n <= FEW ? twice_among_few(object) : twice_among_many(object);
}

static int refuse_twice(struct builder *b, size_t line, size_t column, const cJSON *member) {
    struct shown room;
    char text[400];
    snprintf(text, sizeof(text), "%s is there twice in this object; remove one",
             why_show(str_of(member->string), &room));
    return refuse_at(b, line, column, text);
}

static int close_node(struct builder *b, struct fy_token *t) {
    must(b->depth > 0 && b->stack[b->depth - 1].node);
    struct open *o = &b->stack[b->depth - 1];
    const cJSON *again = twice(o->node);
    if (again) {
        const struct fy_mark *mark = t ? fy_token_start_mark(t) : NULL;
        return refuse_twice(b, (size_t)o->node->valueint, mark ? (size_t)mark->column + 1 : 1,
                            again);
    }
    b->depth--;
    name_anchor(b, o->anchor, o->node);
    return 0;
}

/* ---- the parser ---- */

static int on_event(struct builder *b, struct fy_event *e) {
    switch (e->type) {
    case FYET_SCALAR:
        return add_scalar(b, e);
    case FYET_ALIAS:
        return add_alias(b, e);
    case FYET_SEQUENCE_START:
        return open_node(b, e->sequence_start.sequence_start, e->sequence_start.tag,
                         e->sequence_start.anchor, cJSON_CreateArray);
    case FYET_MAPPING_START:
        return open_node(b, e->mapping_start.mapping_start, e->mapping_start.tag,
                         e->mapping_start.anchor, cJSON_CreateObject);
    case FYET_SEQUENCE_END:
    case FYET_MAPPING_END:
        return close_node(b, NULL);
    case FYET_DOCUMENT_END:
        end_document(b);
        return 0;
    default:
        return 0;
    }
}

/* What libfyaml found, in its words. */
static int refuse_syntax(struct builder *b, struct fy_diag *diag) {
    void *iter = NULL;
    const struct fy_diag_error *e = fy_diag_errors_iterate(diag, &iter);
    char text[ERROR_MAX];
    snprintf(text, sizeof(text), "this is not YAML: %s",
             e && e->msg ? e->msg : "it ends too early");
    for (size_t n = strlen(text); n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '); n--)
        text[n - 1] = 0;
    return refuse_at(b, e && e->line > 0 ? (size_t)e->line : 1,
                     e && e->column > 0 ? (size_t)e->column : 1, text);
}

static int parse_events(struct builder *b, struct fy_parser *parser, struct fy_diag *diag) {
    struct fy_event *e;
    bool ended = false;
    int rc = 0;
    while (rc == 0 && (e = fy_parser_parse(parser))) {
        ended = e->type == FYET_STREAM_END;
        rc = on_event(b, e);
        fy_parser_event_free(parser, e);
    }
    if (rc == 0 && (!ended || fy_parser_get_stream_error(parser)))
        rc = refuse_syntax(b, diag);
    return rc;
}

static int parse_yaml(struct builder *b, struct str text) {
    struct fy_diag_cfg quiet;
    fy_diag_cfg_default(&quiet);
    quiet.fp = NULL;
    struct fy_diag *diag = fy_diag_create(&quiet);
    must(diag != NULL);
    fy_diag_set_collect_errors(diag, true);
    struct fy_parse_cfg cfg = {.flags = FYPCF_QUIET | FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE |
                                        FYPCF_DISABLE_MMAP_OPT | FYPCF_ALLOW_DUPLICATE_KEYS,
                               .diag = diag};
    struct fy_parser *parser = fy_parser_create(&cfg);
    must(parser != NULL);
    int rc = fy_parser_set_string(parser, text.p, text.n);
    rc = rc == 0 ? parse_events(b, parser, diag) : refuse_syntax(b, diag);
    fy_parser_destroy(parser);
    fy_diag_destroy(diag);
    return rc;
}

static const cJSON *twice_anywhere(const cJSON *json) {
    const cJSON *found = twice(json), *child;
    if (found)
        return found;
    cJSON_ArrayForEach(child, json) {
        if ((found = twice_anywhere(child)))
            return found;
    }
    return NULL;
}

static int parse_json(struct builder *b, struct str text) {
    struct why why;
    why_clear(&why);
    b->root = json_parse(text, &why);
    if (!b->root) {
        struct str column, line, at = str_of(why.field);
        uint64_t l = 1, c = 1;
        column = str_cut(at, ':', &line);
        if (!str_to_u64(line, UINT32_MAX, &l) || !str_to_u64(column, UINT32_MAX, &c))
            l = c = 1;
        return refuse_at(b, l, c, why.text);
    }
    const cJSON *again = twice_anywhere(b->root);
    if (again)
        return refuse_twice(b, 1, 1, again);
    end_document(b);
    return 0;
}

/* Bytes that are not text, before any parser sees them. */
static int check_text(struct builder *b, struct str text) {
    size_t line = 1, column = 1, good = kube_utf8(text);
    if (text.n > TEXT_MAX)
        return refuse_at(b, 1, 1, "this file is larger than 64 MiB; split it");
    if (good == text.n)
        return 0;
    for (size_t i = 0; i < good; i++) {
        column = text.p[i] == '\n' ? 1 : column + 1;
        line += text.p[i] == '\n';
    }
    return refuse_at(b, line, column,
                     text.p[good] == 0 ? "a NUL character is not allowed; remove it"
                                       : "this is not UTF-8; save the file as UTF-8");
}

int yaml_parse(struct str text, enum yaml_form form, struct str file, struct yaml *y,
               struct why *why) {
    struct builder b = {.yaml = y, .file = file, .why = why};
    *y = (struct yaml){0};
    if (str_trim(text).n == 0)
        return 0;
    if (check_text(&b, text) == 0 &&
        (form == YAML_JSON ? parse_json(&b, text) : parse_yaml(&b, text)) == 0)
        return 0;
    give_up(&b);
    return -1;
}

void yaml_fini(struct yaml *y) {
    for (size_t i = 0; i < y->n; i++)
        cJSON_Delete(y->documents[i].json);
    mem_free(y->documents);
    y->documents = NULL;
    y->n = y->room = 0;
}
